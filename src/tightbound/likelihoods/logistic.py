"""Independent gray levels under a discretized logistic: an exact probability of integer pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Likelihood
from tightbound.likelihoods.location_scale import MeanActivation, activate, starting_point
from tightbound.numerics import logistic_log_mass, soft_floor
from tightbound.registry import register


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
        scale: where s starts, pixels in [0, 1] units.
        min_scale: soft floor of s. The default costs nothing: at 255 levels a bin is 39 s wide.
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
        scale: Annotated[float, Gt(0)] = 0.1,
        min_scale: Annotated[float, Gt(0)] = 1e-4,
        mean_activation: MeanActivation = "none",
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.out_channels = 2 * image_shape[0]
        self.levels: int = levels  # pyright: ignore[reportIncompatibleVariableOverride]
        self.mean_activation: MeanActivation = mean_activation
        self.start = starting_point(scale, min_scale)
        self.log_floor = math.log(min_scale)

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log P(x), summed over pixels: (B, C, H, W), (K, B, 2C, H, W) -> (K, B)."""
        return self._log_mass(x, *self._read(params)).sum((-3, -2, -1))

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x], exactly: E[k] = Σ_j P(k ≥ j)."""
        location, log_scale = self._read(params)
        total, rate = torch.zeros_like(location), (-log_scale).exp()
        for level in range(1, self.levels + 1):
            total = total + ((location - self._lower_edge(level)) * rate).sigmoid()
        return total / self.levels

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
        location, log_scale = self._read(params)
        rate = (-log_scale).exp()
        variance, below = torch.zeros_like(location), torch.zeros_like(location)
        for level in range(1, self.levels + 1):
            standardized = (location - self._lower_edge(level)) * rate
            complement = (-standardized).sigmoid()
            variance = variance + standardized.sigmoid() * (complement + 2 * below)
            below = below + complement
        return variance.sqrt() / self.levels

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
        return activate(location, self.mean_activation), soft_floor(raw + self.start, self.log_floor)

    def _lower_edge(self, level: int) -> float:
        """Where a level's bin begins."""
        return (level - 0.5) / self.levels

    def _log_mass(self, x: Tensor, location: Tensor, log_scale: Tensor) -> Tensor:
        """log P(x) of every pixel."""
        rate = (-log_scale).exp()
        gap = rate / self.levels
        first, last = x < 0.5 / self.levels, x > 1 - 0.5 / self.levels
        return logistic_log_mass((x - location) * rate - gap / 2, gap, first, last)
