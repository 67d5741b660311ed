"""Principal components against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest

from tightbound.report.principal import principal_components


@pytest.mark.parametrize("shape", [(50, 7), (5, 20), (40, 2)])
def test_they_are_those_of_scikit_learn_up_to_their_sign(shape: tuple[int, int]) -> None:
    from sklearn.decomposition import PCA

    codes = np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1) + 3
    reference = PCA(2).fit(codes)
    found = principal_components(codes)
    assert found is not None
    points, shares = found
    expected = reference.transform(codes)
    signs = np.sign((points * expected).sum(0))
    np.testing.assert_allclose(points * signs, expected, atol=1e-9)
    np.testing.assert_allclose(shares, reference.explained_variance_ratio_, rtol=1e-9)


def test_the_largest_entry_of_a_direction_is_positive() -> None:
    codes = np.random.default_rng(1).normal(size=(30, 5)) * [1, 8, 1, 1, 4]
    for given in (codes, -codes):
        found = principal_components(given)
        assert found is not None
        points, _ = found
        assert np.corrcoef(points[:, 0], given[:, 1])[0, 1] > 0.9
        assert np.corrcoef(points[:, 1], given[:, 4])[0, 1] > 0.9


@pytest.mark.parametrize("codes", [np.zeros((9, 3)), np.arange(9.0).reshape(9, 1), np.arange(6.0).reshape(2, 3)])
def test_there_are_none_without_two_directions(codes: np.ndarray) -> None:
    assert principal_components(codes) is None
    line = np.arange(9.0)[:, None] * [1.0, 2.0, 3.0]
    assert principal_components(line) is None
