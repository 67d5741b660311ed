"""Laws 2 and 3: the contract by sampling at D = 16 and 64, and the order of the bounds."""

from __future__ import annotations

import pytest
import torch

from tests.laws.laws import bounds_are_ordered, contract_by_sampling
from tests.laws.subjects import combinations, linear_gaussian, small_images, small_vae
from tightbound.evaluation import pareto_k


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance"])
@pytest.mark.parametrize("latent_dim", [16, 64])
def test_mean_weight_is_the_evidence(posterior: str, latent_dim: int) -> None:
    model = linear_gaussian(latent_dim, posterior=posterior, widen=1.05)
    x, _ = model.simulate(2, torch.Generator().manual_seed(1))
    contract_by_sampling(model, x, pareto_k, num_samples=100_000)


@pytest.mark.parametrize(("posterior", "prior", "likelihood"), list(combinations()))
def test_bounds_are_ordered(posterior: str, prior: str, likelihood: str) -> None:
    model = small_vae(posterior, prior, likelihood, 3)
    with torch.no_grad():
        bounds_are_ordered(model.draw(small_images(likelihood), 64).log_weight)
