"""Priors: log p(z) is the density of what ``sample`` returns."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from tightbound.numerics import standard_normal_log_prob
from tightbound.priors import LearnedDiagonal, StandardNormal


def test_standard_normal_with_a_scale() -> None:
    z = torch.randn(5, 3)
    torch.testing.assert_close(StandardNormal(3, scale=0.7).log_prob(z), Normal(0.0, 0.7).log_prob(z).sum(-1))


def test_learned_diagonal_starts_at_the_standard_normal_and_learns() -> None:
    prior = LearnedDiagonal(3)
    z = torch.randn(5, 3)
    torch.testing.assert_close(prior.log_prob(z), standard_normal_log_prob(z), rtol=0, atol=3e-3)
    prior.log_prob(z).sum().backward()
    torch.testing.assert_close(prior.mean.grad, z.sum(0), rtol=2e-3, atol=0)
    assert prior.raw_log_scale.grad is not None
    torch.testing.assert_close(prior.raw_log_scale.grad, (z.square() - 1).sum(0), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("prior", [StandardNormal(3, scale=0.7), LearnedDiagonal(3)])
def test_whitening_is_a_change_of_variables(prior: StandardNormal | LearnedDiagonal) -> None:
    """log p(z(ε)) + log |dz/dε| = log N(ε)."""
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    epsilon = torch.randn(3)
    jacobian = torch.func.jacrev(prior.sample)(epsilon)
    log_det = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(prior.log_prob(prior.sample(epsilon)) + log_det, standard_normal_log_prob(epsilon))
