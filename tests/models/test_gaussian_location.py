"""The Gaussian location model: statistics against all points, the evidence against a dense normal, and its maximum."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from tests.laws.laws import contract_by_quadrature, contract_by_sampling, evidence_on_grid
from tightbound.core import Step
from tightbound.errors import RecipeError
from tightbound.evaluation import Annealing, annealed, bidirectional, importance, pareto_k
from tightbound.models import GaussianLocation
from tightbound.models.gaussian_location import maximum_likelihood, statistics
from tightbound.objectives import ELBO
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.registry import Factory

STANDARD = Factory("posterior", "standard")
PLANAR = Factory("flow", "planar", {"repeat": 2, "amortized": False})
IAF = Factory("flow", "iaf", {"hidden": (6,), "activation": "tanh", "transform": "affine"})
POSTERIORS = {
    "mean field": Factory("posterior", "diagonal"),
    "planar": Factory("posterior", "flow", {"flows": (PLANAR,)}),
    "iaf": Factory("posterior", "flow", {"flows": (IAF,)}),
    "hamiltonian": Factory("posterior", "hamiltonian", {"steps": 3, "step_size": 0.2}),
    "untempered": Factory("posterior", "hamiltonian", {"steps": 3, "step_size": 0.2, "tempering": "none"}),
}


def location(rows: int, dimension: int, posterior: Factory = POSTERIORS["mean field"], **others: bool):
    """A model with a Δ and a σ of its own."""
    model = GaussianLocation((1, rows, dimension), posterior=posterior, log_scale=0.0, **others)
    with torch.no_grad():
        model.shift += torch.linspace(-1, 1, dimension) + 0.2
        model.log_scale += torch.linspace(-0.3, 0.4, dimension)
    return model


def data(rows: int, dimension: int, sets: int = 2) -> Tensor:
    return 0.4 + 1.1 * torch.randn(sets, 1, rows, dimension)


def test_statistics_stand_for_all_points() -> None:
    x, model = data(7, 3), location(7, 3)
    z = torch.randn(5, 2, 3)
    scale = model.log_scale.exp()
    each = Normal((z + model.shift)[:, :, None], scale).log_prob(x.squeeze(1)).sum((-2, -1))
    torch.testing.assert_close(model.log_likelihood_at(x, z), each, rtol=0, atol=1e-12)
    draw = model.draw(x, 5)
    torch.testing.assert_close(draw.log_likelihood, model.decode(*draw.latents).log_prob(x), rtol=0, atol=1e-12)


def test_evidence_is_a_dense_normal() -> None:
    """Every row and every dimension in one vector: covariance 1 1ᵀ ⊗ I + I ⊗ diag σ²."""
    x, model = data(4, 3), location(4, 3)
    shared = torch.kron(torch.ones(4, 4), torch.eye(3))
    own = torch.kron(torch.eye(4), torch.diag((2 * model.log_scale).exp()))
    dense = MultivariateNormal(model.shift.repeat(4), shared + own).log_prob(x.flatten(1))
    torch.testing.assert_close(model.log_evidence(x), dense, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 30.0])
def test_the_maximum_of_the_evidence(scale: float) -> None:
    """Δ = x̄ and σ = the sample standard deviation up to τ/N²; the slope of the exact evidence is 0 there."""
    x = 0.4 + scale * torch.randn(3, 1, 50, 2)
    shift, found = maximum_likelihood(x)
    torch.testing.assert_close(shift, x.mean((1, 2)))
    torch.testing.assert_close(found, x.std((1, 2)), rtol=1e-3 if scale == 1 else 0.01, atol=0)
    for index in range(3):
        model = GaussianLocation((1, 50, 2))
        with torch.no_grad():
            model.shift.copy_(shift[index])
            model.log_scale.copy_(found[index].log())
        model.log_evidence(x[index : index + 1]).sum().backward()
        assert model.shift.grad is not None
        assert model.log_scale.grad is not None
        assert model.shift.grad.abs().max() < 1e-9
        assert model.log_scale.grad.abs().max() < 1e-9


def test_the_maximum_where_scatter_is_large() -> None:
    """S > N (N − 1), where the other form of the root is the accurate one: the slope still vanishes."""
    x = 1e3 * torch.randn(1, 1, 3, 1)
    _, scale = maximum_likelihood(x)
    tau, scatter = scale.square().item(), (x - x.mean()).square().sum().item()
    slope = -2 / (2 * tau) + scatter / (2 * tau**2) - 1 / (2 * (tau + 3))
    assert abs(slope) < 1e-12 / tau * 1e3


@pytest.mark.parametrize("name", list(POSTERIORS))
def test_contract_by_quadrature(name: str) -> None:
    model = location(3, 1, POSTERIORS[name])
    points = (161, 201) if model.noise_size == 2 else (801, 1001)
    contract_by_quadrature(model, data(3, 1), points=points)


def test_evidence_on_a_grid() -> None:
    x, model = data(3, 2), location(3, 2)
    torch.testing.assert_close(evidence_on_grid(model, x, 201), model.log_evidence(x), rtol=0, atol=1e-9)


def exact(model: GaussianLocation, x: Tensor, widen: float) -> None:
    """Writes the exact posterior, its scale times ``widen``, into a mean field; of one data set."""
    count, mean, _ = statistics(x).split((1, model.latent_dim, model.latent_dim), -1)
    precision = count[0] * (-2 * model.log_scale).exp()
    with torch.no_grad():
        center = precision / (1 + precision) * (mean[0] - model.shift)
        model.posterior.moments.bias.copy_(torch.cat([center, (widen / (1 + precision).sqrt()).log()]))


@pytest.mark.parametrize("name", ["mean field", "planar", "iaf", "hamiltonian", "untempered"])
def test_contract_by_sampling_in_16_dimensions(name: str) -> None:
    """Few rows of large σ: the exact posterior is then near a base that flows and short trajectories start from."""
    model = location(2, 16)
    x = data(2, 16, 1)
    with torch.no_grad():
        model.log_scale += 0.5
    exact(model, x, 1.08)
    base = model.posterior
    factory = {
        "mean field": POSTERIORS["mean field"],
        "planar": Factory("posterior", "flow", {"flows": (Factory("flow", "planar", {"repeat": 2}),)}),
        "iaf": Factory("posterior", "flow", {"flows": (Factory("flow", "iaf", {"hidden": (40,)}),)}),
        "hamiltonian": Factory("posterior", "hamiltonian", {"steps": 3, "step_size": 0.05, "beta_0": 0.97}),
        "untempered": Factory("posterior", "hamiltonian", {"steps": 3, "step_size": 0.05, "tempering": "none"}),
    }[name]
    model.posterior = factory(feature_dim=0, latent_dim=16)
    if name == "mean field":
        model.posterior = base
    else:
        model.posterior.start = base
        near_identity(model.posterior)
    model.noise_size = model.posterior.noise_size
    contract_by_sampling(model, x, pareto_k, num_samples=100_000)


def near_identity(posterior: torch.nn.Module) -> None:
    """Flows move samples a little, so that the weights stay even."""
    with torch.no_grad():
        for step in posterior.modules():
            if hasattr(step, "head") and hasattr(step, "sets"):
                step.head.bias.mul_(0.3)
            if hasattr(step, "transform"):
                step.network.output.parametrizations.weight.original0.mul_(0.3)
                step.network.output.bias[16:].add_(3.0)


def test_every_evaluation_finds_the_evidence() -> None:
    model = location(5, 2)
    exact(model, x := data(5, 2, 1), 1.2)
    known = model.log_evidence(x).mean().item()
    found = importance(model, x, 2000, exact=True)
    assert found.log_likelihood == pytest.approx(known, abs=4 * (found.standard_error or 0))
    chains = annealed(model, x, 64, Annealing(temperatures=50))
    assert chains.log_likelihood == pytest.approx(known, abs=4 * (chains.standard_error or 0))
    between = bidirectional(model, x, 64, Annealing(temperatures=50), simulated=8)
    assert between.simulated_gap is not None
    assert between.simulated_gap + 4 * (between.simulated_gap_error or 0) > 0
    assert between.simulated_gap < 0.2


def test_simulated_rows_share_a_latent() -> None:
    model = location(4000, 3)
    x, epsilon = model.simulate(2, torch.Generator().manual_seed(0))
    assert x.shape == (2, 1, 4000, 3)
    scale = model.log_scale.exp()
    assert ((x.mean((1, 2)) - epsilon - model.shift).abs() < 5 * scale / math.sqrt(4000)).all()
    assert ((x.squeeze(1).std(1) / scale - 1).abs() < 5 / math.sqrt(2 * 4000)).all()


def test_the_missing_half_is_in_the_loss_alone() -> None:
    """The loss grows by ½ Σ (x_i − Δ)²/σ²; the ELBO that is logged, and the weights, do not change."""
    x = data(6, 3)
    model, right = location(6, 3, missing_half=True), location(6, 3)
    noise, now = torch.randn(4, 2, 3), Step(torch.tensor(0), torch.tensor(0.0))
    wrong_loss, right_loss = (ELBO()(m.draw(x, 4, noise=noise), now) for m in (model, right))
    square = (x.squeeze(1) - model.shift).square() / (2 * model.log_scale).exp()
    torch.testing.assert_close(wrong_loss.value - right_loss.value, 0.5 * square.sum((1, 2)).mean())
    torch.testing.assert_close(wrong_loss.parts["elbo"], right_loss.parts["elbo"])
    torch.testing.assert_close(model.draw(x, 4, noise=noise).log_weight, right.draw(x, 4, noise=noise).log_weight)


def test_the_missing_half_is_refused_as_a_bound() -> None:
    recipe = {"name": "mistake", "model": {"kind": "gaussian_location", "missing_half": True}, "objective": "iwae"}
    with pytest.raises(RecipeError, match="is a function of the true likelihood; model 'gaussian_location'"):
        build(load_recipe(recipe), DataFacts((1, 6, 3), "continuous"))


def test_images_of_several_channels_are_refused() -> None:
    with pytest.raises(RecipeError, match="one channel of N rows"):
        GaussianLocation((3, 8, 8))


def test_what_a_trajectory_follows_is_the_joint_density_row_by_row() -> None:
    """log N(z; 0, I) + Σ_i log N(x_i; z + Δ, diag σ²) by PyTorch's own densities, its slope by autograd."""
    model, x, z = GaussianLocation((1, 7, 3)), torch.randn(2, 1, 7, 3), torch.randn(4, 2, 3, requires_grad=True)
    with torch.no_grad():
        model.shift.normal_()
        model.log_scale.normal_()
    rows = Normal((z + model.shift).unsqueeze(-2), model.log_scale.exp())
    expected = Normal(0.0, 1.0).log_prob(z).sum(-1) + rows.log_prob(x.squeeze(1)).sum((-1, -2))
    found = model.target(x, model.encode(x))(z)
    torch.testing.assert_close(found, expected)
    parts = (z, model.shift, model.log_scale)
    for a, b in zip(torch.autograd.grad(found.sum(), parts), torch.autograd.grad(expected.sum(), parts), strict=True):
        torch.testing.assert_close(a, b)
