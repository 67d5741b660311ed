"""β-NLL: its gradients are Seitzer's, and nothing but the gradient of training knows of it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.laws.subjects import randomize
from tightbound.core import Likelihood, Step
from tightbound.likelihoods import Bernoulli, Gaussian
from tightbound.models import VAE
from tightbound.objectives import ELBO
from tightbound.registry import Factory
from tightbound.training import TrainingStep

SHAPE = (2, 2, 3)
NOISE = ["imagewise", "pixelwise"]


def gradient(likelihood: Likelihood, x: Tensor, params: Tensor) -> Tensor:
    """What training follows."""
    score = likelihood.surrogate(x, params)
    assert score is not None
    return torch.autograd.grad(score.sum(), params)[0]


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("noise", NOISE)
def test_gradients_of_a_gaussian_are_the_closed_formulas(noise: str, beta: float) -> None:
    """∂/∂μ = σ^{2β} (x − μ)/σ² and ∂/∂σ² = σ^{2β} ½ ((x − μ)²/σ⁴ − 1/σ²), by the chain rule through σ and μ."""
    likelihood = Gaussian(
        SHAPE,
        noise=noise,  # pyright: ignore[reportArgumentType]
        scale=0.3,
        min_scale=0.05,
        mean_activation="sigmoid",
        beta_nll=beta,
    )
    x, params = torch.rand(3, *SHAPE), torch.randn(4, 3, 4, 2, 3).requires_grad_()
    output, raw = params.detach().chunk(2, -3)
    raw = raw.mean((-2, -1), keepdim=True) if noise == "imagewise" else raw
    above = raw.exp() * (0.3 / 0.05 - 1)  # σ = min (1 + above), so ∂ log σ / ∂raw = above / (1 + above)
    mean, variance = output.sigmoid(), (0.05 * (1 + above)).square()
    along_mean = variance**beta * (x - mean) / variance
    along_variance = variance**beta * 0.5 * ((x - mean).square() / variance.square() - 1 / variance)
    along_raw = along_variance * 2 * variance * above / (1 + above)
    if noise == "imagewise":  # every entry of the map is a sixth of the mean that all six pixels share
        along_raw = along_raw.mean((-2, -1), keepdim=True).expand_as(output)
    expected = torch.cat([along_mean * mean * (1 - mean), along_raw], -3)
    torch.testing.assert_close(gradient(likelihood, x, params), expected)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_gradients_of_a_bernoulli_are_the_closed_formula(beta: float) -> None:
    """∂/∂l = (p (1 − p))^β (x − p)."""
    x, params = torch.randint(0, 2, (3, *SHAPE)).double(), torch.randn(4, 3, *SHAPE).requires_grad_()
    p = params.detach().sigmoid()
    expected = (p * (1 - p)) ** beta * (x - p)
    torch.testing.assert_close(gradient(Bernoulli(SHAPE, beta_nll=beta), x, params), expected)


@pytest.mark.parametrize("noise", NOISE)
def test_zero_is_the_likelihood(noise: str) -> None:
    likelihood = Gaussian(SHAPE, noise=noise, beta_nll=0.0)  # pyright: ignore[reportArgumentType]
    x, params = torch.rand(3, *SHAPE), torch.randn(4, 3, 4, 2, 3).requires_grad_()
    log_prob = likelihood.log_prob(x, params)
    torch.testing.assert_close(likelihood.surrogate(x, params), log_prob)
    torch.testing.assert_close(gradient(likelihood, x, params), torch.autograd.grad(log_prob.sum(), params)[0])


def test_without_it_there_is_no_surrogate() -> None:
    x, params = torch.rand(3, *SHAPE), torch.randn(4, 3, 4, 2, 3)
    for likelihood, given in ((Gaussian(SHAPE, noise="pixelwise"), params), (Bernoulli(SHAPE), params[:, :, :2])):
        assert not likelihood.has_surrogate
        assert likelihood.surrogate(x, given) is None


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("bernoulli", {}),
        ("gaussian, imagewise", {"noise": "imagewise"}),
        ("gaussian, pixelwise", {"noise": "pixelwise"}),
    ],
)
def test_weights_and_the_logged_bound_are_those_of_the_likelihood(name: str, options: dict[str, str]) -> None:
    kind = name.partition(",")[0]
    plain, weighted = (
        randomize(VAE((1, 2, 2), latent_dim=2, likelihood=Factory("likelihood", kind, {**options, **more})))
        for more in ({}, {"beta_nll": 0.5})
    )
    assert weighted.likelihood.has_surrogate
    x, noise = torch.rand(3, 1, 2, 2).round(), torch.randn(1, 3, 2)
    first, second = plain.draw(x, 1, noise=noise), weighted.draw(x, 1, noise=noise)
    assert torch.equal(first.log_weight, second.log_weight)
    start = Step(torch.tensor(0), torch.tensor(0.0))
    first, second = (TrainingStep(model, ELBO())(x, noise, start) for model in (plain, weighted))
    assert first.value != second.value
    assert all(torch.equal(first.parts[key], second.parts[key]) for key in first.parts)
