"""Flow priors: log p(z) is the density of what is sampled."""

from __future__ import annotations

import pytest
import torch

from tightbound.errors import RecipeError
from tightbound.numerics import standard_normal_log_prob
from tightbound.priors import FlowPrior
from tightbound.priors.flow import maf
from tightbound.registry import Factory


def randomized(prior: FlowPrior) -> FlowPrior:
    with torch.no_grad():
        for parameter in prior.double().parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return prior


@pytest.mark.parametrize("prior", [maf(3, steps=2), FlowPrior(3, flows=(Factory("flow", "iaf", {"hidden": (9,)}),))])
def test_density_of_a_sample_by_autograd(prior: FlowPrior) -> None:
    """log p(z(ε)) = log N(ε) − log |det dz/dε|."""
    randomized(prior)
    noise = torch.randn(3)
    log_det = torch.linalg.slogdet(torch.func.jacrev(prior.sample)(noise)).logabsdet
    torch.testing.assert_close(prior.log_prob(prior.sample(noise)), standard_normal_log_prob(noise) - log_det)


def test_rows_of_any_shape() -> None:
    prior = randomized(maf(3))
    z = torch.randn(4, 2, 5, 3)
    torch.testing.assert_close(prior.log_prob(z)[1, 0, 2], prior.log_prob(z[1, 0, 2]))
    torch.testing.assert_close(prior.sample(z)[1, 0, 2], prior.sample(z[1, 0, 2]))


def test_it_learns_a_correlated_density() -> None:
    """Maximum likelihood on N(0, Σ) reaches the entropy of N(0, Σ), which a diagonal prior cannot."""
    torch.manual_seed(0)
    prior = FlowPrior(2, flows=(Factory("flow", "iaf", {"transform": "affine", "hidden": (8,)}),)).double()
    factor = torch.tensor([[1.0, 0.0], [1.8, 0.6]])
    optimizer = torch.optim.Adam(prior.parameters(), lr=0.02)
    for _ in range(400):
        optimizer.zero_grad()
        (-prior.log_prob(torch.randn(500, 2) @ factor.T).mean()).backward()
        optimizer.step()
    z = torch.randn(20_000, 2) @ factor.T
    exact = torch.distributions.MultivariateNormal(torch.zeros(2), scale_tril=factor).log_prob(z)
    with torch.no_grad():
        gap = exact - prior.log_prob(z)
    assert -4 * gap.std() / len(gap) ** 0.5 < gap.mean() < 0.02  # KL(N(0, Σ) ‖ p): not negative, and near 0


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"prior.flows: planar has no inverse, so nothing could be sampled"):
        FlowPrior(3, flows=(Factory("flow", "planar"),))
    with pytest.raises(RecipeError, match=r"prior.flows: got \[\]; expected at least one"):
        FlowPrior(3, flows=())
