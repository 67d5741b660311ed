"""Independent gray levels under a discretized logistic: an exact probability of integer pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Likelihood
from tightbound.likelihoods import levels as levels_of
from tightbound.likelihoods.location_scale import MeanActivation, activate, starting_point
from tightbound.numerics import soft_clamp
from tightbound.registry import register

# Beyond this every level is as likely as another, and float32 would have lost the differences between them.
LOG_CEILING = math.log(1e4)
FLOOR_IN_LEVELS = 1 / 40


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
        floor = FLOOR_IN_LEVELS / levels if min_scale is None else min_scale
        self.start = starting_point(scale, floor)
        self.log_floor = math.log(floor)

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log P(x), summed over pixels: (B, C, H, W), (K, B, 2C, H, W) -> (K, B)."""
        return levels_of.log_mass(x, *self._read(params), self.levels).sum((-3, -2, -1))

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x], exactly: a sum over the levels."""
        return levels_of.mean(*self._read(params), self.levels)

    def quick_mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x] before rounding: within half a level of the mean."""
        return levels_of.quick_mean(*self._read(params))

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The most probable x: the level nearest to μ, or an edge whose tail holds more."""
        return levels_of.mode(*self._read(params), self.levels)

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The standard deviation of x, exactly: a sum over the levels."""
        return levels_of.variance(*self._read(params), self.levels).sqrt()

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """The logistic variable, rounded to its level: exactly what is scored."""
        return levels_of.sample(*self._read(params), self.levels, generator)

    def logged(self, params: Tensor) -> Mapping[str, Tensor]:
        """``noise_scale``, the mean s."""
        _, log_scale = self._read(params.detach())
        return {"noise_scale": log_scale.exp().mean()}

    def _read(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """μ and log s, (*rows, C, H, W) each."""
        location, raw = params.chunk(2, -3)
        return activate(location, self.mean_activation), soft_clamp(raw + self.start, self.log_floor, LOG_CEILING)
