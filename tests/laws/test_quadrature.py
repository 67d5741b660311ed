"""Law 1: every posterior × prior × likelihood keeps the evidence contract, to 1e-6, by numerical integration."""

from __future__ import annotations

import pytest
import torch

from tests.laws.laws import contract_by_quadrature, evidence_on_grid
from tests.laws.subjects import (
    combinations,
    integrable,
    linear_gaussian,
    small_images,
    small_spatial_vae,
    small_vae,
    variants,
)

POINTS = {1: (801, 1001), 2: (161, 201)}  # of the two grids, an axis, by the dimensions of the noise


@pytest.mark.parametrize(
    ("latent_dim", "posterior", "prior", "likelihood"),
    [(d, *parts) for parts in combinations() for d in integrable(parts[0])],
)
def test_every_combination(posterior: str, prior: str, likelihood: str, latent_dim: int) -> None:
    model = small_vae(posterior, prior, likelihood, latent_dim)
    contract_by_quadrature(model, small_images(likelihood), points=POINTS[model.noise_size])


@pytest.mark.parametrize(
    ("latent_dim", "posterior"), [(d, name) for name in variants("posterior") for d in integrable(name)]
)
def test_every_variant(posterior: str, latent_dim: int) -> None:
    model = small_vae(posterior, "standard_normal", "bernoulli", latent_dim)
    contract_by_quadrature(model, small_images("bernoulli"), points=POINTS[model.noise_size])


@pytest.mark.parametrize("prior", variants("prior"))
@pytest.mark.parametrize("latent_dim", [1, 2])
def test_every_flow_prior(prior: str, latent_dim: int) -> None:
    model = small_vae("full_covariance", prior, "bernoulli", latent_dim)
    contract_by_quadrature(model, small_images("bernoulli"), points=POINTS[latent_dim])


def test_other_networks() -> None:
    model = small_vae("diagonal", "standard_normal", "bernoulli", 2, network_kind="skip_mlp")
    contract_by_quadrature(model, small_images("bernoulli"), points=(161, 201))


@pytest.mark.parametrize(
    ("posterior", "likelihood", "applied_to"),
    [
        ("diagonal, bounded means", "bernoulli", "probabilities"),
        ("full_covariance", "gaussian", "parameters"),
        ("flow", "bernoulli", "parameters"),
    ],
)
def test_a_decoder_that_warps(posterior: str, likelihood: str, applied_to: str) -> None:
    model = small_spatial_vae(posterior, likelihood, applied_to)
    contract_by_quadrature(model, small_images(likelihood), points=(49, 61))


@pytest.mark.parametrize("posterior", ["full_covariance", "flow, full covariance and iaf"])
def test_four_dimensions(posterior: str) -> None:
    model = small_vae(posterior, "learned_diagonal", "bernoulli", 4, spread=0.1)
    contract_by_quadrature(model, small_images("bernoulli", 1), points=(33, 41))


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance", "flow", "flow, sylvester"])
def test_not_amortized(posterior: str) -> None:
    model = small_vae(posterior, "standard_normal", "bernoulli", 2, amortized=False)
    contract_by_quadrature(model, small_images("bernoulli"), points=(121, 161))


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance", "flow", "flow, full covariance and iaf"])
def test_stop_density_changes_no_value(posterior: str) -> None:
    model = small_vae(posterior, "standard_normal", "gaussian", 2)
    contract_by_quadrature(model, small_images("gaussian"), points=(121, 161), stop_density=True)


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance"])
def test_linear_gaussian_against_closed_form(posterior: str) -> None:
    model = linear_gaussian(2, posterior=posterior, side=2, widen=1.2)
    x = torch.rand(3, 1, 2, 2)
    contract_by_quadrature(model, x, points=(161, 201))
    torch.testing.assert_close(evidence_on_grid(model, x, 201), model.log_evidence(x), rtol=0, atol=1e-9)
