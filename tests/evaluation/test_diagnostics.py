from __future__ import annotations

import math

import pytest
import torch

from tightbound.evaluation import (
    active_units,
    bound_curve,
    curve_samples,
    delta_standard_error,
    ess,
    interval_of_mean,
    intervals,
    jackknife_standard_error,
    variance_of_means,
)
from tightbound.numerics import log_mean_exp


def test_ess_by_hand() -> None:
    log_weights = torch.tensor([[1.0, 1.0, 5.0], [2.0, 0.0, 5.0], [3.0, 0.0, 5.0]]).log() - 700
    torch.testing.assert_close(ess(log_weights), torch.tensor([36 / 14, 1.0, 3.0]))


def test_ess_of_zero_weights_is_zero() -> None:
    assert ess(torch.full((5,), -math.inf)) == 0
    assert ess(torch.tensor([0.0, math.nan])).isnan()


def test_ess_of_gaussian_log_weights() -> None:
    """E[w]² / E[w²] = exp(−σ²)."""
    log_weights = 0.7 * torch.randn(200_000, 8)
    torch.testing.assert_close(ess(log_weights).mean() / 200_000, torch.tensor(math.exp(-0.49)), rtol=0.01, atol=0)


def test_delta_standard_error_is_the_relative_error_of_the_mean() -> None:
    log_weights = 1.3 * torch.randn(37, 5) - 100
    weights = (log_weights + 100).exp()
    expected = weights.std(0) / math.sqrt(37) / weights.mean(0)
    torch.testing.assert_close(delta_standard_error(log_weights), expected)


def test_jackknife_by_brute_force() -> None:
    log_weights = 2 * torch.randn(23, 4) - 100
    left_out = torch.stack([log_mean_exp(torch.cat([log_weights[:k], log_weights[k + 1 :]]), 0) for k in range(23)])
    expected = ((left_out - left_out.mean(0)).square().sum(0) * 22 / 23).sqrt()
    torch.testing.assert_close(jackknife_standard_error(log_weights), expected)


def test_jackknife_grows_with_the_gap_where_one_weight_dominates() -> None:
    """Two weights 1 and exp(−g): leaving out either gives −g or 0, so se² = 1/2 · 2 · (g/2)²."""
    for gap in (5.0, 50.0, 700.0):
        log_weights = torch.tensor([0.0, -gap])
        torch.testing.assert_close(jackknife_standard_error(log_weights), torch.tensor(gap / 2))
        assert delta_standard_error(log_weights) <= 1


def test_standard_errors_agree_for_even_weights() -> None:
    log_weights = 0.1 * torch.randn(5000, 6)
    torch.testing.assert_close(
        jackknife_standard_error(log_weights), delta_standard_error(log_weights), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("standard_error", [delta_standard_error, jackknife_standard_error])
def test_standard_errors_at_the_edges(standard_error) -> None:
    assert standard_error(torch.randn(1, 2)).isnan().all()
    assert standard_error(torch.full((4,), -math.inf)).isnan()
    assert standard_error(torch.full((9,), -3.0)) < 1e-7
    one = torch.full((4,), -math.inf)
    one[2] = -1.0
    assert standard_error(one) == (math.inf if standard_error is jackknife_standard_error else 1.0)


def test_curve_points() -> None:
    assert curve_samples(1) == [1]
    assert curve_samples(100) == [1, 10, 100]
    assert curve_samples(5000) == [1, 10, 100, 1000, 5000]


def test_curve_by_brute_force() -> None:
    log_weights = 2 * torch.randn(257, 3)
    curve = bound_curve(log_weights)
    for point, size in enumerate([1, 10, 100, 257]):
        groups = [log_mean_exp(log_weights[g * size : (g + 1) * size], 0) for g in range(257 // size)]
        torch.testing.assert_close(curve[point], torch.stack(groups).mean(0))


def test_curve_never_falls_where_groups_nest() -> None:
    """Law 3, exact: the mean of parts is at most the whole."""
    curve = bound_curve(3 * torch.randn(1000, 50))
    assert (curve.diff(dim=0) >= 0).all()
    assert (curve[0] <= curve[-1]).all()


def test_intervals_are_null_where_the_weights_are_too_uneven_or_unknown() -> None:
    k = torch.tensor([0.69, 0.71, math.nan, math.inf, -math.inf])
    given = intervals(torch.zeros(5), torch.full((5,), 0.1), k, 1000)
    assert given.isnan().all(-1).tolist() == [False, True, True, True, False]
    # t(999) at 97.5 % is 1.9623; the upper end has the bias 0.1²/2 on top.
    torch.testing.assert_close(given[0], torch.tensor([-0.19623, 0.19623 + 0.005]), atol=1e-5, rtol=0)


def test_interval_of_the_mean() -> None:
    log_p, error, k = torch.tensor([-10.0, -20.0]), torch.tensor([0.3, 0.4]), torch.tensor([0.1, 0.6])
    # √(0.09 + 0.16)/2 = 0.25, t(1998) = 1.9612, mean bias (0.045 + 0.08)/2.
    assert interval_of_mean(log_p, error, k, 1000) == pytest.approx((-15.49029, -14.50971 + 0.0625), abs=1e-5)
    alone = interval_of_mean(log_p[:1], error[:1], k[:1], 50)
    assert alone == pytest.approx(intervals(log_p, error, k, 50)[0].tolist())


def test_interval_of_the_mean_is_null_if_one_image_cannot_be_trusted() -> None:
    log_p, error = torch.zeros(2), torch.full((2,), 0.1)
    for bad in (0.71, math.inf, math.nan):
        assert interval_of_mean(log_p, error, torch.tensor([0.1, bad]), 1000) is None
    assert interval_of_mean(log_p, error, torch.tensor([0.1, 0.2]), 1) is None
    assert interval_of_mean(torch.tensor([0.0, -math.inf]), error, torch.zeros(2), 1000) is None


def test_variance_of_means_subtracts_the_sampling_error() -> None:
    """Means of 4 draws of N(m, 1), m of variance 0.25: unbiased for 0.25, not for 0.5."""
    images, units = 50, 4000
    draws = 0.5 * torch.randn(images, units) + torch.randn(4, images, units)
    mean, error = draws.mean(0), draws.var(0) / 4
    variance = variance_of_means(mean.sum(0), mean.square().sum(0), error.sum(0), images)
    assert abs(float(variance.mean()) - 0.25) < 4 * float(variance.std()) / math.sqrt(units)


def test_active_units_counts_above_one_hundredth() -> None:
    assert active_units(torch.tensor([0.0099, 0.0101, 2.0, -0.001])) == 2
