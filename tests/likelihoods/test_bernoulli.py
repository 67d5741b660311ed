from __future__ import annotations

import pytest
import torch
from scipy import stats

from tightbound.likelihoods import Bernoulli

SHAPE = (1, 1, 2)


@pytest.mark.parametrize("shape", [SHAPE, (3, 4, 5)])  # a pixel of three colors is three independent binary ones
def test_against_scipy(shape: tuple[int, int, int]) -> None:
    x, params = torch.randint(0, 2, (2, *shape)).double(), torch.randn(3, 2, *shape)
    expected = stats.bernoulli.logpmf(x.numpy(), params.sigmoid().numpy()).sum((-1, -2, -3))
    assert Bernoulli(shape).out_channels == shape[0]
    torch.testing.assert_close(Bernoulli(shape).log_prob(x, params), torch.tensor(expected))


def test_it_does_not_saturate() -> None:
    params = torch.tensor([800.0, -800.0]).reshape(1, 1, *SHAPE)
    right, wrong = torch.tensor([1.0, 0.0]).reshape(1, *SHAPE), torch.tensor([0.0, 1.0]).reshape(1, *SHAPE)
    assert Bernoulli(SHAPE).log_prob(right, params).item() == 0
    assert Bernoulli(SHAPE).log_prob(wrong, params).item() == -1600
