"""Independent gray levels under a discretized logistic: an exact probability of integer pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Likelihood
from tightbound.likelihoods.location_scale import MeanActivation, activate, starting_point
from tightbound.numerics import logistic_log_mass, soft_clamp
from tightbound.registry import register

# Beyond this every level is as likely as another, and float32 would have lost the differences between them.
_LOG_CEILING = math.log(1e4)
_FLOOR_IN_LEVELS = 1 / 40
_PROBABILITIES = 2**18  # of pixels × levels at a time: they stay in the caches


@register("likelihood", "discretized_logistic")
class DiscretizedLogistic(Likelihood):
    """Gray levels k = levels·x: P(k) = σ((x + ½/levels − μ)/s) − σ((x − ½/levels − μ)/s), edge bins with their tails.

    A logistic variable with location μ and scale s, rounded to the nearest of the levels: level 0 has all mass below
    its bin and the last level all mass above, so the levels' probabilities sum to one exactly. Kingma et al. 2016
    (IAF), appendix; the bins are those of Salimans et al. 2017 (PixelCNN++), §2.1, eq. 2, without their threshold on
    small probabilities: everything is in closed form in log space.

    The decoder gives C maps of μ, then C maps of log s.

    Args:
        image_shape: (C, H, W).
        levels: the largest gray level L; the data's pixels are integers from 0 to L.
        scale: where s starts, pixels in [0, 1] units; the decoder's maps are added to its logarithm.
        min_scale: soft floor of s; None is a fortieth of a level, which costs nothing: a bin is then 40 s wide.
        mean_activation: what maps the decoder's output to μ.

    Raises:
        ValueError: a scale that starts below its floor.
    """

    data_kind: ClassVar[str] = "levels"

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        levels: Annotated[int, Ge(1)] = 255,
        scale: Annotated[float, Gt(0), Le(100)] = 0.1,
        min_scale: Annotated[float, Gt(0)] | None = None,
        mean_activation: MeanActivation = "none",
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.out_channels = 2 * image_shape[0]
        self.levels: int = levels  # pyright: ignore[reportIncompatibleVariableOverride]
        self.mean_activation: MeanActivation = mean_activation
        floor = _FLOOR_IN_LEVELS / levels if min_scale is None else min_scale
        self.start = starting_point(scale, floor)
        self.log_floor = math.log(floor)

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log P(x), summed over pixels: (B, C, H, W), (K, B, 2C, H, W) -> (K, B)."""
        return self._log_mass(x, *self._read(params)).sum((-3, -2, -1))

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x], exactly: E[k] = Σ_j q_j with q_j = P(k ≥ j)."""
        return self._over_levels(params, lambda standardized: standardized.sigmoid_().sum(-1)) / self.levels

    def quick_mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x] before rounding, s·(log(1 + e^{μ/s}) − log(1 + e^{(μ−1)/s})): within half a level of the mean.

        For what is computed at every training step, where a sum over the levels would cost more than the step.
        """
        location, log_scale = self._read(params)
        scale, softplus = log_scale.exp(), nn.functional.softplus
        return scale * (softplus(location / scale) - softplus((location - 1) / scale))

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The most probable x: the level nearest to μ, or an edge whose tail holds more."""
        location, log_scale = self._read(params)
        inner = max(self.levels - 1, 1)
        nearest = (location * self.levels).round().clamp(1, inner) / self.levels
        choices = torch.stack([nearest, torch.zeros_like(nearest), torch.ones_like(nearest)])
        best = self._log_mass(choices, location, log_scale).argmax(0, keepdim=True)
        return choices.gather(0, best).squeeze(0)

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The standard deviation of x, exactly.

        Var k = Σ_i Σ_j [P(k ≥ max(i, j)) − P(k ≥ i) P(k ≥ j)] = Σ_j q_j [(1 − q_j) + 2 Σ_{i<j} (1 − q_i)] with
        q_j = P(k ≥ j): every term is positive, so that nothing cancels where k hardly varies.
        """

        def variance(standardized: Tensor) -> Tensor:
            complement = (-standardized).sigmoid_()
            twice_below = complement.cumsum(-1).mul_(2).sub_(complement)  # (1 − q_j) + 2 Σ_{i<j} (1 − q_i)
            return (standardized.sigmoid_() * twice_below).sum(-1)

        return self._over_levels(params, variance).sqrt() / self.levels

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """The logistic variable μ + s·logit(u), u uniform, rounded to its level: exactly what is scored."""
        location, log_scale = self._read(params)
        uniform = torch.rand(location.shape, generator=generator, dtype=location.dtype, device=location.device)
        continuous = location + log_scale.exp() * uniform.logit()
        return (continuous.clamp(0, 1) * self.levels).round() / self.levels

    def logged(self, params: Tensor) -> Mapping[str, Tensor]:
        """``noise_scale``, the mean s."""
        _, log_scale = self._read(params.detach())
        return {"noise_scale": log_scale.exp().mean()}

    def _read(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log s, (*rows, C, H, W) each."""
        location, raw = params.chunk(2, -3)
        return activate(location, self.mean_activation), soft_clamp(raw + self.start, self.log_floor, _LOG_CEILING)

    def _over_levels(self, params: Tensor, reduce: Callable[[Tensor], Tensor]) -> Tensor:
        """``reduce`` of (μ − lower edge of level j)/s (pixels, levels), j from 1 to L, some pixels at a time.

        logit P(k ≥ j) is what it reduces, in place; shaped (*rows, C, H, W) again.
        """
        location, log_scale = self._read(params)
        edges = (torch.arange(1, self.levels + 1, dtype=location.dtype, device=location.device) - 0.5) / self.levels
        pixels = max(1, _PROBABILITIES // self.levels)
        pairs = zip(location.flatten().split(pixels), (-log_scale).exp().flatten().split(pixels), strict=True)
        parts = [reduce((mu.unsqueeze(-1) - edges) * rate.unsqueeze(-1)) for mu, rate in pairs]
        return torch.cat(parts).reshape(location.shape)

    def _log_mass(self, x: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        """log P(x) of every pixel."""
        rate = (-log_scale).exp()
        gap = rate / self.levels
        first, last = x < 0.5 / self.levels, x > 1 - 0.5 / self.levels
        return logistic_log_mass((x - location) * rate - gap / 2, gap, first, last)
