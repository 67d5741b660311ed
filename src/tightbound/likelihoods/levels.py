"""A gray level under a discretized logistic: log-probability, moments, mode and sample, each pixel by itself.

A logistic variable of location μ and scale s, pixels in [0, 1] units, rounded to the nearest of the levels k / L, k
from 0 to L: level 0 has all mass below its bin and L all above, so that the levels' probabilities sum to one exactly.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from tightbound.numerics import logistic_log_mass

_PROBABILITIES = 2**18  # of pixels × levels at a time: they stay in the caches


def log_mass(x: Tensor, location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """log P(x) of every pixel: log [σ((x + ½/L − μ)/s) − σ((x − ½/L − μ)/s)], edge bins with their tails.

    All three broadcast. Salimans et al. 2017 (PixelCNN++), §2.1, eq. 2, without their threshold on small probabilities.
    """
    rate = (-log_scale).exp()
    gap = rate / levels
    first, last = x < 0.5 / levels, x > 1 - 0.5 / levels
    return logistic_log_mass((x - location) * rate - gap / 2, gap, first, last)


def mean(location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """E[x], exactly: E[k] = Σ_j q_j with q_j = P(k ≥ j)."""
    return _over_levels(location, log_scale, levels, lambda logit: logit.sigmoid_().sum(-1)) / levels


def quick_mean(location: Tensor, log_scale: Tensor) -> Tensor:
    """E[x] before rounding, s·(log(1 + e^{μ/s}) − log(1 + e^{(μ−1)/s})): within half a level of the mean.

    For what is computed at every training step, where a sum over the levels would cost more than the step.
    """
    scale = log_scale.exp()
    return scale * (softplus(location / scale) - softplus((location - 1) / scale))


def variance(location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """Var x, exactly.

    Var k = Σ_i Σ_j [P(k ≥ max(i, j)) − P(k ≥ i) P(k ≥ j)] = Σ_j q_j [(1 − q_j) + 2 Σ_{i<j} (1 − q_i)] with
    q_j = P(k ≥ j): every term is positive, so that nothing cancels where k hardly varies.
    """

    def of_logits(logit: Tensor) -> Tensor:
        complement = (-logit).sigmoid_()
        twice_below = complement.cumsum(-1).mul_(2).sub_(complement)  # (1 − q_j) + 2 Σ_{i<j} (1 − q_i)
        return (logit.sigmoid_() * twice_below).sum(-1)

    return _over_levels(location, log_scale, levels, of_logits) / levels**2


def mode(location: Tensor, log_scale: Tensor, levels: int) -> Tensor:
    """The most probable x: the level nearest to μ, or an edge whose tail holds more."""
    nearest = (location * levels).round().clamp(1, max(levels - 1, 1)) / levels
    choices = torch.stack([nearest, torch.zeros_like(nearest), torch.ones_like(nearest)])
    best = log_mass(choices, location, log_scale, levels).argmax(0, keepdim=True)
    return choices.gather(0, best).squeeze(0)


def sample(location: Tensor, log_scale: Tensor, levels: int, generator: torch.Generator | None) -> Tensor:
    """The logistic variable μ + s·logit(u), u uniform, rounded to its level: exactly what is scored."""
    uniform = torch.rand(location.shape, generator=generator, dtype=location.dtype, device=location.device)
    continuous = location + log_scale.exp() * uniform.logit()
    return (continuous.clamp(0, 1) * levels).round() / levels


def _over_levels(location: Tensor, log_scale: Tensor, levels: int, reduce: Callable[[Tensor], Tensor]) -> Tensor:
    """``reduce`` of logit P(k ≥ j) (pixels, L), j from 1 to L, some pixels at a time; it may work in place."""
    edges = (torch.arange(1, levels + 1, dtype=location.dtype, device=location.device) - 0.5) / levels
    pixels = max(1, _PROBABILITIES // levels)
    pairs = zip(location.flatten().split(pixels), (-log_scale).exp().flatten().split(pixels), strict=True)
    parts = [reduce((mu.unsqueeze(-1) - edges) * rate.unsqueeze(-1)) for mu, rate in pairs]
    return torch.cat(parts).reshape(location.shape)
