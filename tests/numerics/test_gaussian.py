"""The Gaussian value type against PyTorch's multivariate normal."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence

from tightbound.numerics import Gaussian, standard_normal_log_prob


def diagonal(batch: int = 3, dimension: int = 4) -> Gaussian:
    return Gaussian(torch.randn(batch, dimension), torch.rand(batch, dimension) + 0.2)


def full(batch: int = 3, dimension: int = 4) -> Gaussian:
    factor = torch.randn(batch, dimension, dimension).tril(-1) + torch.diag_embed(torch.rand(batch, dimension) + 0.5)
    return Gaussian(torch.randn(batch, dimension), scale_tril=factor)


def reference(gaussian: Gaussian) -> MultivariateNormal:
    factor = gaussian.scale_tril if gaussian.scale_tril is not None else torch.diag_embed(gaussian.scale)
    return MultivariateNormal(gaussian.mean, scale_tril=factor)


@pytest.mark.parametrize("make", [diagonal, full])
def test_log_prob_and_its_shortcut(make: type) -> None:
    gaussian: Gaussian = make()
    noise = torch.randn(7, 3, 4)
    z, log_prob = gaussian.sample_and_log_prob(noise)
    expected = reference(gaussian).log_prob(z)
    torch.testing.assert_close(log_prob, expected)
    torch.testing.assert_close(gaussian.log_prob(z), expected)
    torch.testing.assert_close(gaussian.standardize(z), noise)


def test_sample_is_mean_plus_factor_times_noise() -> None:
    gaussian = full()
    noise = torch.randn(7, 3, 4)
    by_hand = torch.stack(
        [torch.stack([gaussian.mean[b] + gaussian.scale_tril[b] @ noise[k, b] for b in range(3)]) for k in range(7)]
    )
    torch.testing.assert_close(gaussian.sample(noise), by_hand)
    torch.testing.assert_close(gaussian.sample(noise[0]), by_hand[0])


@pytest.mark.parametrize("p", [diagonal, full])
@pytest.mark.parametrize("q", [diagonal, full])
def test_kl(q: type, p: type) -> None:
    left, right = q(), p()
    kl = left.kl(right)
    torch.testing.assert_close(kl.sum(-1), kl_divergence(reference(left), reference(right)))
    assert kl.shape == ((3, 4) if left.factorized and right.factorized else (3, 1))


@pytest.mark.parametrize("make", [diagonal, full])
def test_kl_equals_its_samples(make: type) -> None:
    q, p = make(), diagonal()
    z, log_q = q.sample_and_log_prob(torch.randn(100_000, 3, 4))
    ratio = log_q - p.log_prob(z)
    error = ratio.std(0) / 100_000**0.5
    assert bool(((ratio.mean(0) - q.kl(p).sum(-1)).abs() < 4 * error).all())


def test_kl_to_a_prior_without_batch() -> None:
    q, p = full(), Gaussian(torch.zeros(4), torch.full((4,), 0.7))
    wide = Gaussian(p.mean.expand(3, 4), p.scale.expand(3, 4))
    torch.testing.assert_close(q.kl(p), q.kl(wide))


def test_detach_cuts_the_parameters_and_only_them() -> None:
    mean, scale = torch.zeros(1, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    z = torch.randn(5, 1, 2, requires_grad=True)
    Gaussian(mean, scale).detach().log_prob(z).sum().backward()
    assert mean.grad is None
    assert scale.grad is None
    torch.testing.assert_close(z.grad, -z)


def test_full_covariance_is_stable_in_float32_at_128() -> None:
    generator = torch.Generator().manual_seed(0)
    lower = torch.randn(2, 128, 128, generator=generator).tril(-1) / 128**0.5 + torch.eye(128)
    scale = torch.linspace(-4, 2, 128).exp()
    exact = Gaussian(torch.zeros(2, 128), scale_tril=scale.unsqueeze(-1) * lower)
    assert exact.scale_tril is not None
    single = Gaussian(exact.mean.float(), scale_tril=exact.scale_tril.float())
    noise = torch.randn(50, 2, 128, generator=generator)
    z, log_prob = single.sample_and_log_prob(noise.float())
    expected = exact.sample_and_log_prob(noise)[1].float()
    torch.testing.assert_close(log_prob, expected, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(single.log_prob(z), expected, rtol=1e-5, atol=5e-3)


def test_exactly_one_scale() -> None:
    zero, eye = torch.zeros(2), torch.eye(2)
    for scales in ({}, {"scale": zero + 1, "scale_tril": eye}):
        with pytest.raises(ValueError, match="exactly one of scale and scale_tril"):
            Gaussian(zero, **scales)


def test_standard_normal() -> None:
    noise = torch.randn(5, 3)
    expected: Tensor = torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(-1)
    torch.testing.assert_close(standard_normal_log_prob(noise), expected)
