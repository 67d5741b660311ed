"""Mixtures of Gaussians: the density against PyTorch's, its accuracy and gradients, and samples that follow it."""

from __future__ import annotations

import math

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.distributions import Categorical, Distribution, Independent, MixtureSameFamily, MultivariateNormal, Normal

from tightbound.numerics import Gaussian, mixture, mixture_log_prob, mixture_sample


def diagonal(num: int = 5, dimension: int = 3) -> Gaussian:
    return Gaussian(2 * torch.randn(num, dimension), torch.rand(num, dimension) + 0.2)


def full(num: int = 5, dimension: int = 3) -> Gaussian:
    factor = torch.randn(num, dimension, dimension).tril(-1) + torch.diag_embed(torch.rand(num, dimension) + 0.5)
    return Gaussian(2 * torch.randn(num, dimension), scale_tril=factor)


def weights(num: int = 5) -> Tensor:
    return torch.randn(num).log_softmax(0)


def reference(components: Gaussian, log_weights: Tensor) -> Distribution:
    if components.scale is not None:
        each: Distribution = Independent(Normal(components.mean, components.scale), 1)
    else:
        each = MultivariateNormal(components.mean, scale_tril=components.scale_tril)
    return MixtureSameFamily(Categorical(logits=log_weights), each)


def narrow(dimension: int = 64, num: int = 50) -> tuple[Tensor, Gaussian, Tensor]:
    """float32 points in components of scale 0.02, |mean| around 5: where float32 products lose everything."""
    mean = 5 * torch.randn(num, dimension)
    z = mean[torch.randint(num, (300,))] + 0.02 * torch.randn(300, dimension)
    scale = torch.full_like(mean, 0.02)
    return z.float(), Gaussian(mean.float(), scale.float()), torch.zeros(num).log_softmax(0).float()


@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("rows", [(), (7,), (4, 6)])
def test_log_prob(make: type, rows: tuple[int, ...]) -> None:
    components, log_weights, z = make(), weights(), 3 * torch.randn(*rows, 3)
    torch.testing.assert_close(
        mixture_log_prob(z, components, log_weights), reference(components, log_weights).log_prob(z)
    )


@pytest.mark.parametrize("make", [diagonal, full])
def test_one_component_is_the_gaussian(make: type) -> None:
    components, z, noise = make(1), torch.randn(4, 3), torch.randn(4, 4)
    torch.testing.assert_close(
        mixture_log_prob(z, components, torch.zeros(1)), components.log_prob(z.unsqueeze(1))[:, 0]
    )
    expected = components.sample(noise[:, 1:].unsqueeze(1))[:, 0]
    torch.testing.assert_close(mixture_sample(noise, components, torch.zeros(1)), expected)


@pytest.mark.parametrize("make", [diagonal, full])
def test_gradients(make: type) -> None:
    """With respect to points, means, scales and weights, to first and second order."""
    components, log_weights, z = make(), weights(), torch.randn(2, 3)
    scale = components.scale if components.scale is not None else components.scale_tril
    assert scale is not None

    def function(z: Tensor, mean: Tensor, scale: Tensor, log_weights: Tensor) -> Tensor:
        pair = (scale, None) if components.factorized else (None, scale.tril())
        return mixture_log_prob(z, Gaussian(mean, *pair), log_weights)

    inputs = tuple(t.detach().requires_grad_() for t in (z, components.mean, scale, log_weights))
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


@pytest.mark.parametrize("make", [diagonal, full])
def test_chunks_change_nothing(make: type, monkeypatch: pytest.MonkeyPatch) -> None:
    components, log_weights, z = make(), weights(), torch.randn(11, 3, requires_grad=True)
    whole = mixture_log_prob(z, components, log_weights)
    (slope,) = torch.autograd.grad(whole.sum(), z)
    monkeypatch.setattr(mixture, "_PAIRS", {"cpu": 22})
    cut = mixture_log_prob(z, components, log_weights)
    torch.testing.assert_close(cut, whole)
    torch.testing.assert_close(torch.autograd.grad(cut.sum(), z)[0], slope)


@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("distance", [1e3, 1e6])
def test_far_from_every_component(make: type, distance: float) -> None:
    """Every density underflows; its logarithm and slope do not."""
    components, log_weights = make(), weights()
    z = torch.full((1, 3), distance, requires_grad=True)
    log_prob = mixture_log_prob(z, components, log_weights)
    torch.testing.assert_close(log_prob, reference(components, log_weights).log_prob(z), rtol=1e-9, atol=0)
    (slope,) = torch.autograd.grad(log_prob.sum(), z)
    best = (components.log_prob(z.unsqueeze(1)) + log_weights).argmax()
    nearest = Gaussian(components.mean[best], *_scales(components, best))
    (expected,) = torch.autograd.grad(nearest.log_prob(z).sum(), z)
    torch.testing.assert_close(slope, expected, rtol=1e-9, atol=0)


def _scales(components: Gaussian, index: Tensor) -> tuple[Tensor | None, Tensor | None]:
    scale, factor = components.scale, components.scale_tril
    return None if scale is None else scale[index], None if factor is None else factor[index]


def test_narrow_components_in_float32() -> None:
    """Within the rounding of a float32 result of some 150 nats, where products in float32 are off by a nat."""
    z, components, log_weights = narrow()
    assert components.scale is not None
    wide = Gaussian(components.mean.double(), components.scale.double())
    exact = reference(wide, log_weights.double()).log_prob(z.double())
    torch.testing.assert_close(mixture_log_prob(z, components, log_weights).double(), exact, rtol=0, atol=2e-5)
    in_float64 = mixture_log_prob(z.double(), wide, log_weights.double())
    torch.testing.assert_close(in_float64, exact, rtol=0, atol=1e-6)
    precision = components.scale**-2
    squares = torch.cat([z.square(), z], -1) @ torch.cat([precision, -2 * precision * components.mean], -1).T
    naive = -0.5 * (squares + (precision * components.mean.square()).sum(-1))
    constant = log_weights - components.scale.log().sum(-1) - 32 * math.log(2 * math.pi)
    assert ((naive + constant).logsumexp(-1).double() - exact).abs().max() > 0.5


@pytest.mark.parametrize("factorized", [True, False])
def test_without_float64(factorized: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs where the device has no float64: good to a hundredth of a nat of about 150 in the same case."""
    z, components, log_weights = narrow()
    assert components.scale is not None
    wide = Gaussian(components.mean.double(), components.scale.double())
    exact = reference(wide, log_weights.double()).log_prob(z.double())
    monkeypatch.setattr(mixture, "_wide", lambda like: like.dtype)
    if not factorized:
        components = Gaussian(components.mean, scale_tril=torch.diag_embed(components.scale))
    torch.testing.assert_close(mixture_log_prob(z, components, log_weights).double(), exact, rtol=0, atol=1e-2)


def test_the_first_entry_of_the_noise_chooses() -> None:
    """Φ(−0.6) = 0.27, Φ(0) = 0.5 and Φ(1.3) = 0.90 against weights 0.4, 0.3, 0.3; the ends stay inside."""
    components = diagonal(3, 2)
    assert components.scale is not None
    noise = torch.tensor([[-0.6, 0.1, 0.2], [0.0, 0.1, 0.2], [1.3, 0.1, 0.2], [-40.0, 0.1, 0.2], [40.0, 0.1, 0.2]])
    chosen = torch.tensor([0, 1, 2, 0, 2])
    expected = components.mean[chosen] + components.scale[chosen] * noise[:, 1:]
    torch.testing.assert_close(mixture_sample(noise, components, torch.tensor([0.4, 0.3, 0.3]).log()), expected)


def test_samples_in_one_dimension_follow_the_density() -> None:
    """F(z) is uniform for z drawn from F: Kolmogorov and Smirnov's test."""
    components, log_weights = diagonal(4, 1), weights(4)
    z = mixture_sample(torch.randn(20_000, 2), components, log_weights)
    assert components.scale is not None
    uniform = torch.special.ndtr((z - components.mean.T) / components.scale.T) @ log_weights.exp()
    assert stats.kstest(uniform.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("make", [diagonal, full])
def test_moments_of_samples(make: type) -> None:
    components, log_weights = make(), weights()
    z = mixture_sample(torch.randn(100_000, 4), components, log_weights)
    factor = components.scale_tril if components.scale is None else torch.diag_embed(components.scale)
    assert factor is not None
    weight = log_weights.exp()
    mean = weight @ components.mean
    second = torch.einsum("m,mij->ij", weight, factor @ factor.mT + torch.einsum("mi,mj->mij", *[components.mean] * 2))
    products = torch.einsum("ni,nj->nij", z, z)
    assert bool(((z.mean(0) - mean).abs() < 4 * z.std(0) / 100_000**0.5).all())
    assert bool(((products.mean(0) - second).abs() < 4 * products.std(0) / 100_000**0.5).all())
