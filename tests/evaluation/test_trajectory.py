"""Trajectories: a Hamiltonian posterior's own is that of its draw, and Hamiltonian Monte Carlo keeps the posterior."""

from __future__ import annotations

import math

import pytest
import torch

from tests.laws.subjects import linear_gaussian, small_images, small_vae
from tightbound.evaluation import trajectories
from tightbound.numerics import generator_for
from tightbound.recipes.build import build
from tightbound.recipes.components import load_components
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe


@pytest.mark.parametrize("name", ["hamiltonian, untempered", "hamiltonian, with iaf", "hamiltonian, over a flow"])
def test_the_posteriors_own_leads_to_its_sample(name: str) -> None:
    model, x = small_vae(name, "learned_diagonal", "bernoulli", 2), small_images("bernoulli")
    found = trajectories(model, x, 7, index=[4, 0, 9], seed=3)
    assert found.own
    assert len(found.epsilon) == len(found.energy_error) == 4 + (name == "hamiltonian, with iaf")
    noise = torch.stack([torch.randn(model.noise_size, generator=generator_for(3, "trajectory", i)) for i in (4, 0, 9)])
    with torch.no_grad():
        (z,) = model.draw(x, 1, noise=noise.unsqueeze(0)).latents
        torch.testing.assert_close(model.latents_at(found.epsilon)[0][-1], z[0])
    assert torch.equal(found.energy_error[0], torch.zeros(3))
    torch.testing.assert_close(found.acceptance, (-found.energy_error[-1]).exp().clamp(max=1))


def test_without_a_step_of_its_own_it_is_hamiltonian_monte_carlo() -> None:
    """Flows over another Hamiltonian posterior follow the target too, but have no step to show."""
    load_components()
    flows = [{"kind": "iaf", "transform": "affine", "hidden": [8]}]
    outer = {"steps": 0, "tempering": "none", "flows": flows, "base": {"kind": "hamiltonian", "steps": 2}}
    sections = {"latent_dim": 2, "posterior": {"kind": "hamiltonian", **outer}, "likelihood": "bernoulli"}
    model = build(load_recipe({"name": "steps", "model": sections}), DataFacts((1, 4, 4), "binary", 1)).model
    assert "follows_target" in model.posterior.capabilities
    found = trajectories(model, torch.rand(3, 1, 4, 4).round(), 4, index=[0, 1, 2])
    assert not found.own
    assert found.epsilon.shape == (5, 3, 2)


def test_energy_errors_are_differences_of_the_energy() -> None:
    """Untempered, from N(0, I): H(z_K, ρ_K) − H(z_0, ρ_0) is what the weight says of it: log N N − log w."""
    model, x = small_vae("hamiltonian, untempered", "standard_normal", "bernoulli", 2), small_images("bernoulli")
    found = trajectories(model, x, 7, index=[0, 1, 2])
    noise = torch.stack([torch.randn(model.noise_size, generator=generator_for(0, "trajectory", i)) for i in range(3)])
    with torch.no_grad():
        encoding = model.encode(x)
        z, log_q, _ = model.posterior.start.propose(encoding.features, 1, noise=noise[None, :, :2])
        log_weight_before = model.target(x, encoding)(z) - log_q
        log_weight = model.draw(x, 1, noise=noise.unsqueeze(0)).log_weight
    torch.testing.assert_close(found.energy_error[-1], (log_weight_before - log_weight)[0])


@pytest.mark.parametrize("steps", [3, 10])
def test_hamiltonian_monte_carlo_has_the_acceptance_it_was_tuned_for(steps: int) -> None:
    """From exact posterior samples, E[exp(−energy error)] = 1 (Jarzynski), and about 0.65 would be accepted."""
    model = linear_gaussian(6, side=4, noise=1.0)
    x, _ = model.simulate(2000, torch.Generator().manual_seed(0))
    found = trajectories(model, x, steps, index=range(2000))
    assert not found.own
    assert found.epsilon.shape == (steps + 1, 2000, 6)
    weights = (-found.energy_error[-1]).exp()
    assert abs(float(weights.mean()) - 1) < 4 * float(weights.std()) / math.sqrt(2000)
    assert 0.55 < float(found.acceptance.mean()) < 0.75
