"""Laws 2 and 3: the contract by sampling at D = 16 and 64, and the order of the bounds."""

from __future__ import annotations

import pytest
import torch

from tests.laws.laws import bounds_are_ordered, contract_by_sampling
from tests.laws.subjects import combinations, linear_gaussian, small_images, small_vae
from tightbound.evaluation import pareto_k
from tightbound.flows import AutoregressiveStep, Planar, Zuko
from tightbound.flows.sylvester import SylvesterStep
from tightbound.posteriors import FlowPosterior, Hamiltonian
from tightbound.registry import Factory


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance"])
@pytest.mark.parametrize("latent_dim", [16, 64])
def test_mean_weight_is_the_evidence(posterior: str, latent_dim: int) -> None:
    model = linear_gaussian(latent_dim, posterior=posterior, widen=1.05)
    x, _ = model.simulate(2, torch.Generator().manual_seed(1))
    contract_by_sampling(model, x, pareto_k, num_samples=100_000)


FLOWS = {
    "iaf": {"repeat": 2, "hidden": (80,)},
    "iaf, affine": {"repeat": 2, "hidden": (80,), "transform": "affine"},
    "planar": {"repeat": 2},
    "sylvester": {"columns": 8},
    "sylvester, householder": {"basis": "householder"},
    "sylvester, triangular": {"basis": "triangular"},
    "zuko": {"flow": "MAF", "transforms": 2, "hidden": (70,)},
}


@pytest.mark.parametrize("flow", list(FLOWS))
@pytest.mark.parametrize("latent_dim", [16, 64])
def test_mean_weight_of_a_flow_is_the_evidence(flow: str, latent_dim: int) -> None:
    """A base near the exact posterior of a blurred image, carried on by a flow near the identity."""
    model = linear_gaussian(latent_dim, noise=4.0, widen=1.08)
    base = model.posterior
    factory = Factory("flow", flow.partition(",")[0], FLOWS[flow])
    model.posterior = FlowPosterior(64, latent_dim, flows=(factory,))
    model.posterior.start = base
    near_identity(model.posterior)
    x, _ = model.simulate(2, torch.Generator().manual_seed(1))
    contract_by_sampling(model, x, pareto_k, num_samples=100_000)


HAMILTONIAN = {
    "tempered": {"beta_0": 0.97},
    "free": {"tempering": "free", "beta_0": 0.97},
    "untempered": {"tempering": "none"},
    "with iaf": {"tempering": "none", "flows": (Factory("flow", "iaf", {"hidden": (160,), "transform": "affine"}),)},
}


@pytest.mark.parametrize("name", list(HAMILTONIAN))
@pytest.mark.parametrize("latent_dim", [16, 64])
def test_mean_weight_of_a_hamiltonian_posterior_is_the_evidence(name: str, latent_dim: int) -> None:
    """From near the exact posterior of a blurred image; β_0 is near 1, as √β_0 to the power D is in the weights."""
    model = linear_gaussian(latent_dim, noise=4.0, widen=1.04)
    base = model.posterior
    model.posterior = Hamiltonian(64, latent_dim, steps=2, step_size=0.2, **HAMILTONIAN[name])
    model.posterior.start = base
    model.noise_size = model.posterior.noise_size
    for step in model.posterior.flow.modules():
        if isinstance(step, AutoregressiveStep):
            with torch.no_grad():
                step.network.output.parametrizations.weight.original0.mul_(0.05)
                step.network.output.bias[2 * latent_dim :].sub_(0.01)
    x, _ = model.simulate(2, torch.Generator().manual_seed(1))
    contract_by_sampling(model, x, pareto_k, num_samples=100_000)


def near_identity(posterior: FlowPosterior) -> None:
    """Weak flows, but not so weak that a missing log-determinant could hide in the standard error."""
    with torch.no_grad():
        for step in posterior.flow.modules():
            if isinstance(step, Planar):
                u, w, _ = step.head.bias.view(step.repeat, -1).split((step.latent_dim, step.latent_dim, 1), dim=-1)
                u.zero_()
                w.mul_(4.0)  # û = −0.3 w/|w|² is then short
                step.head.weight.mul_(0.02)
            elif isinstance(step, SylvesterStep):
                step.head.weight.mul_(0.02)
                step.head.bias[: step.widths[0]].mul_(4.0 if step.rank < 64 else 1.5)
            elif isinstance(step, AutoregressiveStep):
                output = step.network.output.parametrizations.weight.original0
                output.mul_(0.05 if step.transform == "affine" else 1.0)
                step.network.output.bias[posterior.start.noise_size :].sub_(0.02)
            elif isinstance(step, Zuko):
                for parameter in step.parameters():
                    parameter.mul_(0.2)
    z, features = torch.randn(500, 1, posterior.noise_size), 0.1 * torch.randn(1, 64)
    _, log_det = posterior.flow(z, features)
    assert log_det.mean().abs() > 0.03, f"too weak: {log_det.mean():.3f}"


@pytest.mark.parametrize(("posterior", "prior", "likelihood"), list(combinations()))
def test_bounds_are_ordered(posterior: str, prior: str, likelihood: str) -> None:
    model = small_vae(posterior, prior, likelihood, 3)
    with torch.no_grad():
        bounds_are_ordered(model.draw(small_images(likelihood), 64).log_weight)
