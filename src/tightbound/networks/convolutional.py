"""Strided convolutional encoder and its mirror image as a decoder."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.layers import (
    Activation,
    Normalization,
    Positive,
    Style,
    Widths,
    check_positive,
)
from tightbound.networks.maps import Stage, check_kernel_fits, halvings, in_format_of
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register

KernelSize = Annotated[int, Ge(3)]  # at stride 2 a smaller kernel would skip pixels


@register("encoder", "convolutional")
class ConvolutionalEncoder(Encoder):
    """Convolutions of stride 2, then one fully connected layer to the features.

    Each convolution halves every axis that stays at 4 pixels or more; any C×H×W, odd and non-square too.

    Args:
        image_shape: (C, H, W).
        channels: of each convolution's output.
        kernel_size: of each convolution; an even one is reduced by 1 along an axis that is not halved.
        features: width of the features.
        activation: after every layer.
        normalization: of every layer.

    Raises:
        RecipeError: no channels, sizes below 1, a kernel below 3 or larger than the image.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        channels: Widths = (32, 64, 128),
        kernel_size: KernelSize = 4,
        features: Positive = 256,
        activation: Activation = "relu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size, features)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.feature_dim = features
        self.maps = nn.Sequential(
            *(
                _block(style, stage.convolution(a, b, bias=style.bias))
                for stage, (a, b) in zip(stages, pairwise((image_shape[0], *channels)), strict=True)
            )
        )
        self.head = style.dense(channels[-1] * math.prod(stages[-1].small), features)

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The fully connected layer's activations."""
        return self.head(self.maps(in_format_of(inputs, self)).flatten(1))


@register("decoder", "convolutional")
class ConvolutionalDecoder(Decoder):
    """The convolutional encoder mirrored: two fully connected layers, then transposed convolutions of stride 2.

    The same keys describe both: the sizes are those the encoder goes through, met again in reverse, exactly.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        channels: as in the encoder, from the image inward; the decoder goes through them backward.
        kernel_size: as in the encoder.
        features: width of the first fully connected layer.
        activation: after every layer but the last.
        normalization: of every layer but the last; ``"weight"`` also of the last.

    Raises:
        RecipeError: no channels, sizes below 1, a kernel below 3 or larger than the image.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        channels: Widths = (32, 64, 128),
        kernel_size: KernelSize = 4,
        features: Positive = 256,
        activation: Activation = "relu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size, features)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.first_map = (channels[-1], *stages[-1].small)
        self.features = style.dense(latent_dim, features)
        self.linear = style.prepare(nn.Linear(features, math.prod(self.first_map), bias=style.bias))
        self.first = nn.Sequential(style.normalize_maps(channels[-1]), style.activate())
        self.maps = nn.Sequential(
            *(
                _block(style, stage.transposed(a, b, bias=style.bias))
                for stage, (a, b) in zip(stages[:0:-1], pairwise(channels[::-1]), strict=True)
            )
        )
        self.output = style.prepare(stages[0].transposed(channels[0], out_channels, bias=True))

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The last transposed convolution's output, contiguous."""
        first = self.linear(self.features(inputs)).unflatten(1, self.first_map)
        return self.output(self.maps(self.first(in_format_of(first, self)))).contiguous()


def _block(style: Style, layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """A convolution, its normalization and its activation."""
    return nn.Sequential(style.prepare(layer), style.normalize_maps(layer.out_channels), style.activate())


def _plan(image_shape: tuple[int, int, int], channels: Widths, kernel_size: int, features: int) -> tuple[Stage, ...]:
    """The sizes from the image inward, once everything is known to be possible."""
    if not channels:
        raise RecipeError("channels must name at least one convolution; got []", hint="give channels: [32, 64]")
    check_positive("channels", *channels)
    check_positive("features", features)
    if kernel_size < 3:
        raise RecipeError(
            f"kernel_size must be at least 3, or pixels are skipped at stride 2; got {kernel_size}",
            hint="give kernel_size: 4",
        )
    check_kernel_fits(kernel_size, image_shape)
    return halvings((image_shape[1], image_shape[2]), len(channels), kernel_size)
