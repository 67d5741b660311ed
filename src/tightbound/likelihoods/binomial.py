"""Independent binomial pixels: an exact likelihood of few gray levels."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Likelihood
from tightbound.registry import register


@register("likelihood", "binomial")
class Binomial(Likelihood):
    """Gray levels k = levels·x as counts: log p(x | l) = Σ log C(n, k) + k·l + n·log σ(−l), n = levels.

    A probability of the integer gray levels themselves, so it needs neither binarization nor dequantization.

    Args:
        image_shape: (C, H, W).
        levels: the largest gray level n; the data's pixels are integers from 0 to n.
    """

    data_kind: ClassVar[str] = "levels"
    takes_logits: ClassVar[bool] = True

    def __init__(self, image_shape: tuple[int, int, int], *, levels: Annotated[int, Ge(1)] = 255) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.out_channels = image_shape[0]
        self.levels: int = levels  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log p(x | logits), summed over pixels: (B, C, H, W), (K, B, C, H, W) -> (K, B)."""
        n = self.levels
        count = (x * n).round()
        log_choose = (
            torch.lgamma(torch.full_like(count, n + 1.0)) - torch.lgamma(count + 1) - torch.lgamma(n - count + 1)
        )
        varying = (count * params + n * nn.functional.logsigmoid(-params)).sum((-3, -2, -1))
        return varying + log_choose.sum((-3, -2, -1))

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """σ(l)."""
        return params.sigmoid()

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """⌊(n + 1) σ(l)⌋ / n."""
        return ((self.levels + 1) * params.sigmoid()).floor().clamp(max=self.levels) / self.levels

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """√(p (1 − p) / n)."""
        return (params.sigmoid() * (-params).sigmoid() / self.levels).sqrt()

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """Counts over n."""
        probability = params.sigmoid()
        return torch.binomial(torch.full_like(probability, self.levels), probability, generator=generator) / self.levels
