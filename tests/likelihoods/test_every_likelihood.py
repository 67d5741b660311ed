"""Each likelihood is normalized, and its mean, mode and uncertainty map are those of its samples."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.likelihoods.subjects import CONTINUOUS, DISCRETE, LIKELIHOODS, levels_of, outputs
from tightbound.core import Likelihood, PixelDistribution

SAMPLES = 100_000


def every_image(likelihood: Likelihood) -> Tensor:
    """All images of two pixels: (n, *image_shape)."""
    levels = levels_of(likelihood)
    values = [k / levels for k in range(levels + 1)]
    return torch.tensor(list(itertools.product(values, values))).reshape(-1, *likelihood.image_shape)


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 1, 1)])
@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_sum_to_one(name: str, shape: tuple[int, int, int]) -> None:
    likelihood = DISCRETE[name](shape)
    images, params = every_image(likelihood), 2 * outputs(likelihood, 4, 1)
    log_prob = likelihood.log_prob(images, params.expand(-1, len(images), -1, -1, -1))
    torch.testing.assert_close(log_prob.logsumexp(1), torch.zeros(4), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 1, 1)])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_densities_integrate_to_one(name: str, shape: tuple[int, int, int]) -> None:
    likelihood = CONTINUOUS[name](shape)
    axis = torch.linspace(-6, 6, 401)
    images = torch.cartesian_prod(axis, axis).reshape(-1, *shape)
    params = 0.3 * outputs(likelihood, 1, 1)  # σ well above the grid's spacing of 0.03
    with torch.no_grad():
        log_prob = likelihood.log_prob(images, params.expand(-1, len(images), -1, -1, -1))
    log_integral = log_prob.logsumexp(1) + 2 * math.log(12 / 400)
    torch.testing.assert_close(log_integral, torch.zeros(1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_mean_and_uncertainty_map_are_those_of_samples(name: str) -> None:
    likelihood = LIKELIHOODS[name]((2, 2, 3))
    params = outputs(likelihood)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        p = PixelDistribution(likelihood, params)
        mean, std = p.mean, p.stddev
        samples = likelihood.sample(params.expand(SAMPLES, *params.shape), generator)
    error = samples.std(0) / SAMPLES**0.5
    assert bool((error > 0).all())
    assert bool(((samples.mean(0) - mean).abs() < 4 * error).all())
    squares = (samples - mean).square()
    error = squares.std(0) / SAMPLES**0.5
    assert bool(((squares.mean(0) - std.square()).abs() < 4 * error).all())


@pytest.mark.parametrize("name", [name for name in DISCRETE if name not in ("logistic, 8 bits", "mixture")])
def test_mode_is_the_most_probable_image(name: str) -> None:
    likelihood = DISCRETE[name]((2, 1, 1))
    images, params = every_image(likelihood), 2 * outputs(likelihood, 300, 1)
    log_prob = likelihood.log_prob(images, params.expand(-1, len(images), -1, -1, -1))
    modes = likelihood.mode(params)[:, 0]
    reached = (modes.unsqueeze(1) - images).abs().flatten(2).sum(-1).argmin(1, keepdim=True)
    torch.testing.assert_close(images[reached[:, 0]], modes)
    torch.testing.assert_close(log_prob.gather(1, reached)[:, 0], log_prob.max(1).values, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_mode_of_a_gaussian_is_its_mean(name: str) -> None:
    likelihood = CONTINUOUS[name]((2, 2, 3))
    params = outputs(likelihood, 1, 1).requires_grad_()
    mode = likelihood.mode(params)
    torch.testing.assert_close(mode, likelihood.mean(params), rtol=0, atol=0)
    slope = torch.func.grad(lambda x: likelihood.log_prob(x, params.detach()).sum())(mode.detach()[0])
    torch.testing.assert_close(slope, torch.zeros_like(slope), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_finite_differences_and_reach_every_channel(name: str) -> None:
    likelihood = LIKELIHOODS[name]((2, 2, 3))
    levels = levels_of(likelihood)
    x = (torch.rand(2, 2, 2, 3) * levels).round() / levels  # the edge levels among them
    params = outputs(likelihood, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda params: likelihood.log_prob(x, params), (params,))
    (slope,) = torch.autograd.grad(likelihood.log_prob(x, params).sum(), params)
    assert bool((slope != 0).all())
