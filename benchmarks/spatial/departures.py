"""What the published spatial-transformer VAE has otherwise, to measure what each change makes: a plug-in for --import.

Its log-scales are cut at −6, below which its importance-weighted code puts +6 in place of −6; its layers start as
PyTorch's do. As plug-ins, both stay out of the library and can still be trained and evaluated like everything else.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from tightbound.networks import MLPDecoder, MLPEncoder
from tightbound.networks.affine import Affine
from tightbound.numerics import Gaussian
from tightbound.posteriors import Diagonal
from tightbound.registry import register

_LEAST, _BELOW = -6.0, 6.0


@register("posterior", "diagonal_default_start")
class DefaultStartDiagonal(Diagonal):
    """``diagonal`` with bounded means, started as PyTorch starts a layer.

    Args:
        feature_dim: F.
        latent_dim: D.
        bounded_units: how many means, the last ones, are in (−1, 1).
    """

    def __init__(self, feature_dim: int, latent_dim: int, *, bounded_units: int = 18) -> None:
        super().__init__(feature_dim, latent_dim, mean_bound="tanh", bounded_units=bounded_units)
        start_as_pytorch_does(self)


@register("posterior", "diagonal_threshold")
class ThresholdDiagonal(DefaultStartDiagonal):
    """``diagonal_default_start`` with log σ = s where s > −6, and +6 elsewhere.

    Args:
        feature_dim: F.
        latent_dim: D.
        bounded_units: how many means, the last ones, are in (−1, 1).
    """

    def base(self, features: Tensor) -> Gaussian:
        """q(z | x), (B, D)."""
        mean, _ = self._mean_and_scale(features)
        log_scale = nn.functional.threshold(self.moments(features).chunk(2, dim=-1)[1], _LEAST, _BELOW)
        return Gaussian(mean, log_scale.exp())


@register("encoder", "mlp_default_start")
class DefaultStartEncoder(MLPEncoder):
    """``mlp``, started as PyTorch starts a layer.

    Args:
        image_shape: (C, H, W).
        hidden: the layers' widths.
    """

    def __init__(self, image_shape: tuple[int, int, int], *, hidden: tuple[int, ...] = (256, 256)) -> None:
        super().__init__(image_shape, hidden=hidden)
        start_as_pytorch_does(self)


@register("decoder", "mlp_default_start")
class DefaultStartDecoder(MLPDecoder):
    """``mlp``, started as PyTorch starts a layer.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P.
        hidden: the layers' widths.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden: tuple[int, ...] = (256, 256),
    ) -> None:
        super().__init__(latent_dim, image_shape, out_channels, hidden=hidden)
        start_as_pytorch_does(self)


@torch.no_grad()
def start_as_pytorch_does(module: nn.Module) -> None:
    """Weights and biases of every affine map uniform up to 1/√inputs."""
    for layer in module.modules():
        if isinstance(layer, nn.Linear | Affine):
            parts: tuple[Any, ...] = (layer.weight, layer.bias)
            bound = layer.weight.shape[1] ** -0.5
            for part in parts:
                part.uniform_(-bound, bound)
