"""Each likelihood is normalized, and its mean, mode and uncertainty map are those of its samples."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scipy import stats
from torch import Tensor

from tightbound.core import Likelihood
from tightbound.likelihoods import Bernoulli, Binomial, Gaussian

SHAPE = (1, 1, 2)
SAMPLES = 100_000


def discrete(likelihood: Likelihood, levels: int) -> Tensor:
    """Every image of two pixels: (n, 1, 1, 2)."""
    values = [k / levels for k in range(levels + 1)]
    return torch.tensor(list(itertools.product(values, values))).reshape(-1, *SHAPE)


@pytest.mark.parametrize(("likelihood", "levels"), [(Bernoulli(SHAPE), 1), (Binomial(SHAPE, trials=16), 16)])
def test_probabilities_sum_to_one(likelihood: Likelihood, levels: int) -> None:
    params = 3 * torch.randn(4, 1, *SHAPE)
    images = discrete(likelihood, levels)
    log_prob = likelihood.log_prob(images, params.expand(4, len(images), *SHAPE))
    torch.testing.assert_close(log_prob.logsumexp(1), torch.zeros(4), rtol=0, atol=1e-12)


def test_bernoulli_against_scipy() -> None:
    x, params = torch.tensor([1.0, 0.0]).reshape(1, *SHAPE), torch.randn(3, 1, *SHAPE)
    expected = stats.bernoulli.logpmf(x.numpy(), params.sigmoid().numpy()).sum((-1, -2, -3))
    torch.testing.assert_close(Bernoulli(SHAPE).log_prob(x, params), torch.tensor(expected))


def test_bernoulli_does_not_saturate() -> None:
    params = torch.tensor([800.0, -800.0]).reshape(1, 1, *SHAPE)
    right, wrong = torch.tensor([1.0, 0.0]).reshape(1, *SHAPE), torch.tensor([0.0, 1.0]).reshape(1, *SHAPE)
    assert Bernoulli(SHAPE).log_prob(right, params).item() == 0
    assert Bernoulli(SHAPE).log_prob(wrong, params).item() == -1600


def test_binomial_against_scipy() -> None:
    x, params = torch.tensor([3 / 16, 1.0]).reshape(1, *SHAPE), torch.randn(3, 1, *SHAPE)
    expected = stats.binom.logpmf((16 * x).numpy(), 16, params.sigmoid().numpy()).sum((-1, -2, -3))
    torch.testing.assert_close(Binomial(SHAPE, trials=16).log_prob(x, params), torch.tensor(expected))


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
@pytest.mark.parametrize("learned", [True, False])
def test_gaussian_against_scipy(learned: bool, activation: str) -> None:
    likelihood = Gaussian(SHAPE, scale=0.3, learned=learned, mean_activation=activation)  # pyright: ignore
    x, params = torch.rand(1, *SHAPE), torch.randn(3, 1, *SHAPE)
    mean = params.sigmoid() if activation == "sigmoid" else params
    expected = stats.norm.logpdf(x.numpy(), mean.numpy(), 0.3).sum((-1, -2, -3))
    torch.testing.assert_close(likelihood.log_prob(x, params).detach(), torch.tensor(expected))


def test_gaussian_integrates_to_one() -> None:
    likelihood = Gaussian(SHAPE, scale=0.4)
    axis = torch.linspace(-6, 6, 401)
    images = torch.cartesian_prod(axis, axis).reshape(-1, *SHAPE)
    params = torch.tensor([0.2, 0.9]).reshape(1, 1, *SHAPE).expand(1, len(images), *SHAPE)
    with torch.no_grad():
        log_integral = likelihood.log_prob(images, params).logsumexp(1) + 2 * math.log(12 / 400)
    torch.testing.assert_close(log_integral, torch.zeros(1), rtol=0, atol=1e-10)


def test_learned_noise_has_a_floor_and_a_gradient() -> None:
    likelihood = Gaussian(SHAPE, scale=0.1, min_scale=0.05)
    with torch.no_grad():
        likelihood.raw_log_scale.fill_(-50.0)
    assert math.isclose(likelihood.log_scale.exp().item(), 0.05, rel_tol=1e-12)
    likelihood = Gaussian(SHAPE, scale=0.1, min_scale=0.05)
    likelihood.log_prob(torch.rand(2, *SHAPE), torch.rand(3, 2, *SHAPE)).sum().backward()
    assert likelihood.raw_log_scale.grad is not None
    assert likelihood.raw_log_scale.grad.abs() > 0
    with pytest.raises(ValueError, match="above its floor"):
        Gaussian(SHAPE, scale=1e-4)


@pytest.mark.parametrize(
    "likelihood",
    [
        Bernoulli(SHAPE),
        Binomial(SHAPE, trials=16),
        Gaussian(SHAPE, scale=0.3),
        Gaussian(SHAPE, scale=0.3, mean_activation="sigmoid"),
    ],
)
def test_moments_are_those_of_samples(likelihood: Likelihood) -> None:
    params = torch.tensor([0.4, -1.3]).reshape(1, *SHAPE)
    with torch.no_grad():
        samples = likelihood.sample(params.expand(SAMPLES, *SHAPE), torch.Generator().manual_seed(0))
        mean, std = likelihood.mean(params)[0], likelihood.std(params)[0]
    error = samples.std(0) / SAMPLES**0.5
    assert bool(((samples.mean(0) - mean).abs() < 4 * error).all())
    squares = (samples - mean).square()
    error = squares.std(0) / SAMPLES**0.5
    assert bool(((squares.mean(0) - std.square()).abs() < 4 * error).all())


@pytest.mark.parametrize(("likelihood", "levels"), [(Bernoulli(SHAPE), 1), (Binomial(SHAPE, trials=16), 16)])
def test_mode_is_the_most_probable_image(likelihood: Likelihood, levels: int) -> None:
    params = torch.tensor([0.4, -1.3]).reshape(1, 1, *SHAPE)
    images = discrete(likelihood, levels)
    best = images[likelihood.log_prob(images, params.expand(1, len(images), *SHAPE)).argmax()]
    torch.testing.assert_close(likelihood.mode(params)[0, 0], best)
