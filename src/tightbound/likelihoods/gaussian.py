"""Independent Gaussian pixels with one noise scale."""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Likelihood
from tightbound.numerics import soft_floor
from tightbound.registry import register


@register("likelihood", "gaussian")
class Gaussian(Likelihood):
    """Pixels x ~ N(μ(z), σ²) in [0, 1] units: log p = −½ Σ ((x − μ)/σ)² + 2 log σ + log 2π.

    A density: on 8-bit pixels it grows without bound as σ shrinks on constant ones, so a learned σ has a soft floor,
    and numbers on data that were not dequantized are labeled.

    Args:
        image_shape: (C, H, W).
        scale: σ, or where it starts if learned.
        learned: whether σ is trained; one number for all pixels.
        min_scale: soft floor of a learned σ: log σ = log min + softplus(·).
        mean_activation: what maps the decoder's output to μ.
    """

    data_kind: ClassVar[str] = "continuous"

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        scale: Annotated[float, Gt(0)] = 0.1,
        learned: bool = True,
        min_scale: Annotated[float, Gt(0)] = 1e-3,
        mean_activation: Literal["none", "sigmoid"] = "none",
    ) -> None:
        super().__init__()
        if learned and scale <= min_scale:
            raise ValueError(f"expected scale above its floor min_scale = {min_scale:g}; got {scale:g}")
        self.image_shape = image_shape
        self.out_channels = image_shape[0]
        self.log_floor = math.log(min_scale)
        self.learned = learned
        self.mean_activation = mean_activation
        if learned:
            above = math.log(scale) - self.log_floor
            start = self.log_floor + math.log(math.expm1(above)) if above < 30 else math.log(scale)
            self.raw_log_scale = nn.Parameter(torch.tensor(start))
        else:
            self.register_buffer("raw_log_scale", torch.tensor(math.log(scale)))

    @property
    def log_scale(self) -> Tensor:
        """log σ, a 0-d tensor."""
        return soft_floor(self.raw_log_scale, self.log_floor) if self.learned else self.raw_log_scale

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log N(x; μ, σ²), summed over pixels: (B, C, H, W), (K, B, C, H, W) -> (K, B)."""
        log_scale = self.log_scale
        squares = (x - self.mean(params)).square().sum((-3, -2, -1)) * (-2 * log_scale).exp()
        pixels = math.prod(self.image_shape)
        return -0.5 * (squares + pixels * (2 * log_scale + math.log(2 * math.pi)))

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """μ."""
        return params.sigmoid() if self.mean_activation == "sigmoid" else params

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """μ."""
        return self.mean(params)

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """σ at every pixel."""
        return self.log_scale.exp().expand(params.shape)

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """μ + σ·noise, not clipped: it is a sample of the density that is scored."""
        noise = torch.randn(params.shape, generator=generator, dtype=params.dtype, device=params.device)
        return self.mean(params) + self.log_scale.exp() * noise
