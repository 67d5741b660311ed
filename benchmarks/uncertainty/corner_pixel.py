"""The published image-wise noise as it was, to measure what pooling it changes: `tightbound --import ...`.

Its one scale an image is read from the corner pixel of the scale map. Tightbound averages the map. As a plug-in, the
variant stays out of the library and can still be trained and evaluated like everything else.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from annotated_types import Gt
from torch import Tensor

from tightbound.core import Likelihood
from tightbound.likelihoods import Gaussian
from tightbound.registry import register


@register("likelihood", "gaussian_corner")
class CornerGaussian(Likelihood):
    """N(μ, σ²) with σ of the whole image from pixel (0, 0) of the scale map; the mean is a sigmoid.

    Args:
        image_shape: (C, H, W).
        scale: where σ starts.
        min_scale: soft floor of σ.
    """

    data_kind: ClassVar[str] = "continuous"

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        scale: Annotated[float, Gt(0)] = 1.0,
        min_scale: Annotated[float, Gt(0)] = 1e-3,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.pixelwise = Gaussian(
            image_shape, noise="pixelwise", scale=scale, min_scale=min_scale, mean_activation="sigmoid"
        )
        self.out_channels = self.pixelwise.out_channels

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """log p(x | params) (K, B) nats."""
        return self.pixelwise.log_prob(x, self._spread(params))

    def mean(self, params: Tensor) -> Tensor:
        """μ."""
        return self.pixelwise.mean(params)

    def mode(self, params: Tensor) -> Tensor:
        """μ."""
        return self.pixelwise.mode(params)

    def std(self, params: Tensor) -> Tensor:
        """σ at every pixel."""
        return self.pixelwise.std(self._spread(params))

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """μ + σ·noise."""
        return self.pixelwise.sample(self._spread(params), generator)

    def logged(self, params: Tensor) -> dict[str, Tensor]:
        """The mean σ."""
        return dict(self.pixelwise.logged(self._spread(params)))

    def _spread(self, params: Tensor) -> Tensor:
        """The corner of each scale map, at every pixel."""
        mean, raw = params.split(self.image_shape[0], dim=-3)
        return torch.cat([mean, raw[..., :1, :1].expand_as(raw)], -3)
