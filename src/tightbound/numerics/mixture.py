"""Mixtures of Gaussians at many points: log Σ_m w_m N(z; m-th), without an array of points × components × units."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.numerics.gaussian import Gaussian

_LOG_2_PI = math.log(2 * math.pi)
# Pairs of a point and a component taken at a time. On a CPU the distances of a chunk (512 KiB) stay in the caches:
# twice as fast as all at once at D = 16. A GPU wants few and large steps.
_PAIRS = {"cpu": 2**16}
_PAIRS_ELSEWHERE = 2**20


def mixture_log_prob(
    z: Float[Tensor, "*rows D"], components: Gaussian, log_weights: Float[Tensor, " M"]
) -> Float[Tensor, "*rows"]:
    """log Σ_m w_m N(z; μ_m, Σ_m) in nats, for diagonal components or ones with a Cholesky factor.

    Diagonal components: with z and μ measured from the middle of the means, all distances at once are one product,

        Σ_d (z_d − μ_md)²/σ_md² = z² · (1/σ_m²) − 2 z · (μ_m/σ_m²) + Σ_d μ_md²/σ_md².

    The terms cancel where components are narrow and far apart, so this is float64 whatever the type of z: at scale
    0.02, |μ| around 5 and D = 64 it is off by 1e-7 nats, where float32 is off by 1 nat. Components with a Cholesky
    factor L_m are whitened by L_m⁻¹, as products too. Sums are in log space: far from every component is no harder.

    Args:
        z: points.
        components: M Gaussians, mean (M, D) and scale (M, D) or scale_tril (M, D, D).
        log_weights: log w_m; normalized by the caller.
    """
    if components.scale is None:
        log_terms = _with_factors(components, log_weights, _wide(z))
    elif _wide(z) == torch.float64:
        log_terms = _expanded(components, log_weights)
    else:
        log_terms = _direct(components, log_weights)
    points = z.reshape(-1, z.shape[-1])
    parts = [log_terms(part).logsumexp(-1).to(z.dtype) for part in points.split(_chunk(points, len(log_weights)))]
    return torch.cat(parts).reshape(z.shape[:-1])


def mixture_sample(
    noise: Float[Tensor, "*rows N"], components: Gaussian, log_weights: Float[Tensor, " M"]
) -> Float[Tensor, "*rows D"]:
    """A sample of the mixture for each row of standard-normal noise (*rows, D + 1).

    Φ of the first entry, against the cumulated weights, chooses the component; the rest is that Gaussian's noise. No
    gradient reaches the weights: the choice jumps.

    Args:
        noise: (*rows, D + 1).
        components: M Gaussians over D units.
        log_weights: log w_m.
    """
    wide = _wide(noise)
    uniform = torch.special.ndtr(noise[..., 0].to(wide)).detach()
    edges = log_weights.detach().to(wide).exp().cumsum(0)[:-1]
    chosen = torch.searchsorted(edges, uniform.contiguous())
    scale, scale_tril = components.scale, components.scale_tril
    one = Gaussian(
        components.mean[chosen],
        None if scale is None else scale[chosen],
        None if scale_tril is None else scale_tril[chosen],
    )
    return one.sample(noise[..., 1:])


LogTerms = Callable[[Tensor], Tensor]  # points (n, D) -> log w_m N(z; m-th) (n, M)


def _expanded(components: Gaussian, log_weights: Tensor) -> LogTerms:
    """Diagonal components by one matrix product, in float64."""
    assert components.scale is not None
    center = components.mean.detach().double().mean(0)  # of no effect on the value, so it needs no gradient
    mean, scale = components.mean.double() - center, components.scale.double()
    precision = scale.square().reciprocal()
    weighted = precision * mean
    factors = torch.cat([-0.5 * precision, weighted], -1).T
    constant = _constant(log_weights.double(), scale) - 0.5 * (weighted * mean).sum(-1)

    def log_terms(z: Tensor) -> Tensor:
        z = z.double() - center
        return torch.addmm(constant, torch.cat([z.square(), z], -1), factors)

    return log_terms


def _direct(components: Gaussian, log_weights: Tensor) -> LogTerms:
    """Diagonal components unit by unit, for devices without float64 (Apple's): slower, and exact in float32."""
    assert components.scale is not None
    mean, scale = components.mean, components.scale
    constant = _constant(log_weights, scale)
    return lambda z: constant - 0.5 * ((z.unsqueeze(-2) - mean) / scale).square().sum(-1)


def _with_factors(components: Gaussian, log_weights: Tensor, wide: torch.dtype) -> LogTerms:
    """Components of full covariance: L_m⁻¹ (z − μ_m) for all m as one product."""
    assert components.scale_tril is not None
    center = components.mean.detach().to(wide).mean(0)
    factor = components.scale_tril.to(wide)
    identity = torch.eye(factor.shape[-1], dtype=wide, device=factor.device)
    inverse = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    shift = (inverse @ (components.mean.to(wide) - center).unsqueeze(-1)).flatten()
    constant = _constant(log_weights.to(wide), factor.diagonal(dim1=-2, dim2=-1))

    def log_terms(z: Tensor) -> Tensor:
        whitened = torch.addmm(-shift, z.to(wide) - center, inverse.flatten(0, 1).T)
        return constant - 0.5 * whitened.unflatten(-1, factor.shape[:2]).square().sum(-1)

    return log_terms


def _constant(log_weights: Tensor, scale: Tensor) -> Tensor:
    """log w_m − Σ log σ_m − (D/2) log 2π (M)."""
    return log_weights - scale.log().sum(-1) - 0.5 * scale.shape[-1] * _LOG_2_PI


def _chunk(points: Tensor, num_components: int) -> int:
    """How many points are taken at a time: compiled all, as the loop would be unrolled."""
    if torch.compiler.is_compiling():
        return max(1, len(points))
    return max(1, _PAIRS.get(points.device.type, _PAIRS_ELSEWHERE) // num_components)


def _wide(like: Tensor) -> torch.dtype:
    """float64 where the device has it."""
    return like.dtype if like.device.type == "mps" else torch.float64
