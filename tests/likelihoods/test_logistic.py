"""The discretized logistic against SciPy, its exact moments, and its arithmetic in float32 far from the data."""

from __future__ import annotations

import pytest
import torch
from scipy import stats
from torch import Tensor

from tightbound.likelihoods import DiscretizedLogistic

SHAPE = (2, 2, 3)


def scale_and_location(likelihood: DiscretizedLogistic, location: Tensor, scale: Tensor) -> Tensor:
    """The params (*, 2C, H, W) that give them: a fixed point, as the scale's bounds are nearly the identity."""
    raw = scale.log() - likelihood.start
    for _ in range(20):
        raw = raw + scale.log() - likelihood._read(torch.cat([location, raw], -3))[1]
    return torch.cat([location, raw], -3)


@pytest.mark.parametrize("levels", [1, 3, 255])
def test_against_differences_of_the_distribution_function(levels: int) -> None:
    likelihood = DiscretizedLogistic(SHAPE, levels=levels, min_scale=1e-20)
    # No far tails, where the difference of SciPy's numbers has no digits left.
    location, scale = 0.5 + 0.2 * torch.randn(4, 5, *SHAPE), 0.3 * torch.rand(4, 5, *SHAPE) + 0.2
    x = (torch.rand(5, *SHAPE) * levels).round() / levels
    x[0, 0, 0, 0], x[1, 0, 0, 0] = 0, 1
    edges = [(x - 0.5 / levels).numpy(), (x + 0.5 / levels).numpy()]
    edges[0][x.numpy() == 0], edges[1][x.numpy() == 1] = -torch.inf, torch.inf
    low, high = (stats.logistic.cdf(edge, location.numpy(), scale.numpy()) for edge in edges)
    expected = torch.tensor(high - low).log().sum((-3, -2, -1))
    log_prob = likelihood.log_prob(x, scale_and_location(likelihood, location, scale))
    torch.testing.assert_close(log_prob, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("levels", [1, 3, 255])
def test_moments_are_sums_over_the_levels(levels: int) -> None:
    likelihood = DiscretizedLogistic((1, 1, 1), levels=levels)
    params = torch.tensor([-0.4, 0.01, 0.3, 0.97, 1.5]).repeat_interleave(4).reshape(-1, 1, 1, 1)
    params = torch.cat([params, torch.tensor([-9.0, -3.0, 0.0, 4.0]).repeat(5).reshape(-1, 1, 1, 1)], 1)
    x = torch.arange(levels + 1).reshape(-1, 1, 1, 1) / levels
    log_prob = likelihood.log_prob(x, params.unsqueeze(1).expand(-1, levels + 1, -1, -1, -1))
    value, p = x.flatten(), log_prob.exp()
    mean = p @ value
    variance = (p * (value - mean.unsqueeze(1)).square()).sum(1)
    torch.testing.assert_close(likelihood.mean(params).flatten(), mean)
    torch.testing.assert_close(likelihood.std(params).flatten(), variance.sqrt(), rtol=1e-6, atol=1e-12)
    assert ((likelihood.quick_mean(params).flatten() - mean).abs() < 0.5 / levels).all()


def test_a_spread_far_below_a_level_keeps_its_digits_in_float32() -> None:
    """E[k²] − E[k]² would have none: k is about 200."""
    likelihood = DiscretizedLogistic((1, 1, 1), min_scale=1e-5)
    location, scale = torch.full((1, 1, 1), 200.1 / 255), torch.full((1, 1, 1), 1.5e-4)
    params = scale_and_location(likelihood, location, scale)
    exact, single = likelihood.std(params), likelihood.std(params.float())
    assert exact.item() * 255 < 0.01
    torch.testing.assert_close(single.double(), exact, rtol=0.01, atol=0)


@pytest.mark.parametrize("location", [-30.0, -0.5, 0.0, 100 / 255, 0.7, 1.0, 30.0])
@pytest.mark.parametrize("raw", [-1e4, -20.0, 0.0, 20.0, 60.0, 90.0, 1e4])
def test_float32_is_float64_far_out(location: float, raw: float) -> None:
    """Values and gradients at the smallest scale that the floor allows and at huge ones; gradcheck covers float64."""
    likelihood = DiscretizedLogistic((1, 1, 1))
    x = torch.tensor([0, 1, 100, 254, 255]).reshape(-1, 1, 1, 1) / 255
    values, slopes = [], []
    for dtype in (torch.float64, torch.float32):
        params = torch.tensor([location, raw], dtype=dtype).reshape(1, 1, 2, 1, 1).expand(1, 5, 2, 1, 1)
        params = params.clone().requires_grad_()
        log_prob = likelihood.log_prob(x.to(dtype), params)
        values.append(log_prob.double().detach())
        (slope,) = torch.autograd.grad(log_prob.sum(), params)
        slope[..., 0, :, :] *= likelihood.logged(params)["noise_scale"]  # ∂/∂(μ/s), of order one in a bin
        slopes.append(slope.double())
    # s ≥ 1e-4 and x is rounded to 3e-8, so the argument of a sigmoid, up to 20 in a bin, is off by up to 6e-4.
    torch.testing.assert_close(values[1], values[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-3, atol=0.02)


def test_the_mean_scale_is_logged() -> None:
    likelihood = DiscretizedLogistic(SHAPE, min_scale=1e-20)
    scale = torch.rand(1, 2, *SHAPE) + 0.01
    logged = likelihood.logged(scale_and_location(likelihood, torch.zeros_like(scale), scale))
    assert {name: value.item() for name, value in logged.items()} == pytest.approx({"noise_scale": scale.mean().item()})


def test_a_start_below_the_floor_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected scale above its floor min_scale = 0\.2; got 0\.1"):
        DiscretizedLogistic(SHAPE, min_scale=0.2)


@pytest.mark.parametrize("levels", [1, 3, 255, 65_535])
def test_the_floor_costs_nothing_whatever_the_number_of_levels(levels: int) -> None:
    """At the smallest scale a level's own bin has all but e^{-20} of the mass on either side."""
    likelihood = DiscretizedLogistic((1, 1, 1), levels=levels)
    x = torch.tensor([0, levels // 2, levels]).reshape(-1, 1, 1, 1) / levels
    params = torch.cat([x, torch.full_like(x, -1e4)], 1).unsqueeze(0)
    assert (likelihood.log_prob(x, params).abs() < 1e-8).all()
    assert likelihood.std(params).max() * levels < 1e-4


def test_the_scale_starts_where_it_is_said_and_has_a_gradient_at_the_floor() -> None:
    likelihood = DiscretizedLogistic((1, 1, 1), scale=0.3, min_scale=0.05)
    params = torch.zeros(1, 1, 2, 1, 1)
    assert likelihood.logged(params)["noise_scale"].item() == pytest.approx(0.3, rel=1e-4)
    params[..., 1, :, :] = -9
    params.requires_grad_()
    scale = likelihood._read(params)[1].exp()
    assert scale.item() == pytest.approx(0.05, rel=1e-3)
    (slope,) = torch.autograd.grad(scale.sum(), params)
    assert slope[..., 1, :, :].item() > 1e-6


def test_the_quick_mean_is_within_half_a_level_in_float32_at_any_scale() -> None:
    likelihood = DiscretizedLogistic((1, 1, 1))
    locations, raw = torch.meshgrid(torch.linspace(-1, 2, 13), torch.linspace(-20, 40, 13), indexing="ij")
    params = torch.stack([locations.flatten(), raw.flatten()], 1).reshape(-1, 2, 1, 1)
    error = likelihood.quick_mean(params.float()).double() - likelihood.mean(params)
    assert error.abs().max() < 0.51 / 255


def test_more_pixels_than_one_pass_takes() -> None:
    """The moments go over pixels in blocks; a block of its own for each pixel gives the same."""
    likelihood = DiscretizedLogistic((1, 40, 40))
    params = torch.randn(2, 2, 40, 40)
    alone = DiscretizedLogistic((1, 1, 1))
    pixels = params.permute(0, 2, 3, 1).reshape(-1, 2, 1, 1)
    for moment in ("mean", "std"):
        expected = torch.cat([getattr(alone, moment)(pixel.unsqueeze(0)) for pixel in pixels[::37]]).flatten()
        torch.testing.assert_close(getattr(likelihood, moment)(params).flatten()[::37], expected, rtol=1e-13, atol=0)
