"""Gaussian posteriors: the proposal is the density it claims, and stop_density stops what it should."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tightbound.errors import RecipeError
from tightbound.networks.head import Head
from tightbound.numerics import Gaussian
from tightbound.posteriors import Diagonal, FullCovariance
from tightbound.posteriors.gaussian import GaussianPosterior

POSTERIORS = [Diagonal, FullCovariance]


def randomized(
    kind: type[GaussianPosterior], feature_dim: int = 5, latent_dim: int = 3, **options: Any
) -> GaussianPosterior:
    posterior = kind(feature_dim, latent_dim, log_scale_offset=-1.0, **options)  # pyright: ignore[reportCallIssue]
    with torch.no_grad():
        for parameter in posterior.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return posterior


@pytest.mark.parametrize("kind", POSTERIORS)
def test_log_q_is_the_density_of_z_by_autograd(kind: type[GaussianPosterior]) -> None:
    """log q(z) = log N(noise) − log |det dz/dnoise|, the determinant from autograd."""
    posterior, features, noise = randomized(kind), torch.randn(1, 5), torch.randn(3)

    def sample(noise: torch.Tensor) -> torch.Tensor:
        return posterior.propose(features, 1, noise=noise.reshape(1, 1, 3)).z.reshape(3)

    log_det = torch.linalg.slogdet(torch.func.jacrev(sample)(noise)).logabsdet
    normal = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum()
    proposal = posterior.propose(features, 1, noise=noise.reshape(1, 1, 3))
    torch.testing.assert_close(proposal.log_q.squeeze(), normal - log_det)


@pytest.mark.parametrize("kind", POSTERIORS)
def test_offset_shifts_every_log_scale(kind: type[GaussianPosterior]) -> None:
    torch.manual_seed(0)
    plain = kind(5, 3)  # pyright: ignore[reportCallIssue]
    torch.manual_seed(0)
    narrow = kind(5, 3, log_scale_offset=-3.0)  # pyright: ignore[reportCallIssue]
    features = torch.randn(2, 5)
    shift = narrow.base(features).log_scale_det - plain.base(features).log_scale_det
    torch.testing.assert_close(shift, torch.full((2,), -9.0), rtol=0, atol=2e-2)


@pytest.mark.parametrize("kind", POSTERIORS)
def test_stop_density_leaves_only_the_path_through_z(kind: type[GaussianPosterior]) -> None:
    """The score term vanishes: d log q / d parameters is the path derivative alone."""
    posterior, features, noise = randomized(kind), torch.randn(2, 5), torch.randn(4, 2, 3)
    stopped = posterior.propose(features, 4, noise=noise, stop_density=True)
    plain = posterior.propose(features, 4, noise=noise)
    torch.testing.assert_close(stopped.log_q, plain.log_q)
    weight = posterior.moments.weight
    assert weight is not None
    (path,) = torch.autograd.grad(stopped.log_q.sum(), weight)
    z = plain.z.detach().requires_grad_()
    (slope,) = torch.autograd.grad(posterior.base(features).detach().log_prob(z).sum(), z)
    (expected,) = torch.autograd.grad((plain.z * slope).sum(), weight)
    torch.testing.assert_close(path, expected)


@pytest.mark.parametrize("kind", POSTERIORS)
def test_bounded_means_are_tanh_of_the_last_units(kind: type[GaussianPosterior]) -> None:
    """Nothing else changes: neither the other means nor the covariance, and samples reach beyond the bound."""
    plain, bounded = (randomized_alike(kind, **options) for options in ({}, {"mean_bound": "tanh", "bounded_units": 2}))
    features = 3 * torch.randn(4, 5)
    free, base = plain.base(features), bounded.base(features)
    torch.testing.assert_close(base.mean, torch.cat((free.mean[:, :1], free.mean[:, 1:].tanh()), dim=1))
    torch.testing.assert_close(base.log_scale_det, free.log_scale_det)
    every = randomized_alike(kind, mean_bound="tanh")
    torch.testing.assert_close(every.base(features).mean, free.mean.tanh())
    proposal = bounded.propose(features, 200, noise=torch.randn(200, 4, 3))
    assert proposal.z.abs()[..., 1:].max() > 1
    torch.testing.assert_close(proposal.log_q, base.log_prob(proposal.z))


def randomized_alike(kind: type[GaussianPosterior], **options: Any) -> GaussianPosterior:
    """The same weights whatever the options are."""
    torch.manual_seed(3)
    return randomized(kind, **options)


@pytest.mark.parametrize("kind", POSTERIORS)
def test_a_bound_without_units_or_units_without_a_bound_are_refused(kind: type[GaussianPosterior]) -> None:
    with pytest.raises(RecipeError, match="bounded_units: it has no effect without a bound"):
        kind(5, 3, bounded_units=2)  # pyright: ignore[reportCallIssue]
    with pytest.raises(RecipeError, match="bounded_units: got 4; expected at most 3, as there are no more latent"):
        kind(5, 3, mean_bound="tanh", bounded_units=4)  # pyright: ignore[reportCallIssue]


def test_full_covariance_starts_diagonal_and_has_a_positive_diagonal() -> None:
    posterior = FullCovariance(5, 4)
    factor = posterior.base(torch.randn(2, 5)).scale_tril
    assert factor is not None
    assert torch.equal(factor, torch.diag_embed(factor.diagonal(dim1=-2, dim2=-1)))
    factor = randomized(FullCovariance, latent_dim=4).base(100 * torch.randn(50, 5)).scale_tril
    assert factor is not None
    assert factor.diagonal(dim1=-2, dim2=-1).min() > 0
    assert factor.triu(1).abs().max() == 0


def test_full_covariance_trains_at_128_in_float32() -> None:
    """Gradient descent to a strongly correlated target: KL falls to zero, nothing overflows."""
    torch.set_default_dtype(torch.float32)
    posterior = FullCovariance(0, 128)
    generator = torch.Generator().manual_seed(0)
    target_factor = torch.randn(128, 128, generator=generator).tril(-1) / 128**0.5 + torch.eye(128)
    target = Gaussian(torch.zeros(128), scale_tril=0.3 * target_factor)
    optimizer = torch.optim.Adam(posterior.parameters(), lr=0.05)
    features = torch.zeros(1, 0)
    start = posterior.base(features).kl(target).item()
    for _ in range(400):
        optimizer.zero_grad()
        kl = posterior.base(features).kl(target).sum()
        kl.backward()
        optimizer.step()
    assert start > 500
    assert 0 <= kl.item() < 0.5


@pytest.mark.parametrize("kind", POSTERIORS)
def test_not_amortized_is_one_gaussian_for_every_image(kind: type[GaussianPosterior]) -> None:
    posterior = randomized(kind, feature_dim=0)
    base = posterior.base(torch.zeros(3, 0))
    assert torch.equal(base.mean[0], base.mean[2])
    base.log_prob(torch.zeros(3, 3)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in posterior.parameters())


def test_weight_normalized_head_is_the_written_out_formula() -> None:
    """Salimans & Kingma 2016, eq. 2; at the start it is the head that is not normalized."""
    torch.manual_seed(0)
    plain = Head(5, 4)
    torch.manual_seed(0)
    head = Head(5, 4, normalization="weight")
    features = torch.randn(6, 5)
    torch.testing.assert_close(head(features), plain(features))
    g, v = (head.get_parameter(f"parametrizations.weight.original{i}") for i in (0, 1))
    with torch.no_grad():
        g.add_(torch.rand_like(g))
        v.add_(torch.randn_like(v))
    torch.testing.assert_close(head(features), features @ (g * v / v.square().sum(1, keepdim=True).sqrt()).T)


def test_batch_normalized_head_is_the_written_out_formula() -> None:
    """Over the images of a batch in training mode, by the running statistics in evaluation mode."""
    head, features = Head(5, 4, normalization="batch"), torch.randn(6, 5)
    outputs = features @ head.weight.T
    expected = (outputs - outputs.mean(0)) / (outputs.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(head(features), expected)
    running = 0.9 + 0.1 * outputs.var(0)
    torch.testing.assert_close(head.eval()(features), (outputs - 0.1 * outputs.mean(0)) / (running + 1e-5).sqrt())


@pytest.mark.parametrize("kind", POSTERIORS)
@pytest.mark.parametrize("normalization", ["weight", "batch"])
def test_normalized_moments_keep_the_contract_in_eval_mode(kind: type[GaussianPosterior], normalization: str) -> None:
    """An image's density depends on no other image, and log q is that of z; only batch statistics need the mode."""
    posterior, features = randomized(kind, normalization=normalization), torch.randn(4, 5)
    mixes = not torch.allclose(posterior.base(features).mean[0], posterior.base(features[:2]).mean[0])
    assert mixes == (normalization == "batch") == ("batch_dependent" in posterior.capabilities)
    assert posterior.capabilities >= kind.capabilities
    posterior.eval()
    proposal = posterior.propose(features, 2, noise=torch.randn(2, 4, 3))
    alone = posterior.base(features[:1])
    torch.testing.assert_close(alone.log_prob(proposal.z[:, :1]), proposal.log_q[:, :1])


def test_a_normalization_of_one_gaussian_for_every_image_is_refused() -> None:
    with pytest.raises(RecipeError, match="normalization 'batch' has no effect on a posterior that is the same for ev"):
        Diagonal(0, 3, normalization="batch")
