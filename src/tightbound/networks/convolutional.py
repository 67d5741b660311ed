"""Strided convolutional encoder and its mirror image as a decoder."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.layers import (
    Activation,
    KernelSize,
    Normalization,
    Positive,
    Style,
    Widths,
    check_name,
    check_positive,
)
from tightbound.networks.maps import Stage, check_kernel_fits, divisions, in_format_of, same_size
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register

Stride = Annotated[int, Ge(2), Le(3)]
Upsample = Literal["transposed", "nearest"]


@register("encoder", "convolutional")
class ConvolutionalEncoder(Encoder):
    """Strided convolutions, then one fully connected layer to the features.

    Each convolution divides every axis by the stride that keeps 4 pixels (3 at stride 3) or more; any C×H×W, odd and
    non-square too, and every pixel is read.

    Args:
        image_shape: (C, H, W).
        channels: of each convolution's output.
        kernel_size: of each convolution; an even one is reduced by 1 along an axis that is not divided. Where the
            parity of stride and kernel agree (4 at stride 2, 5 at stride 3), the windows lie symmetrically.
        stride: of each convolution.
        features: width of the features; null: no fully connected layer, the features are the last map's values.
        activation: after every layer.
        normalization: of every layer.

    Raises:
        RecipeError: no channels, sizes below 1, a kernel below 3 or larger than the image, another stride.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        channels: Widths = (32, 64, 128),
        kernel_size: KernelSize = 4,
        stride: Stride = 2,
        features: Positive | None = 256,
        activation: Activation = "relu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size, stride, features)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        values = channels[-1] * math.prod(stages[-1].small)
        self.feature_dim = values if features is None else features
        self.maps = nn.Sequential(
            *(
                _block(style, stage.convolution(a, b, bias=style.bias))
                for stage, (a, b) in zip(stages, pairwise((image_shape[0], *channels)), strict=True)
            )
        )
        self.head = nn.Identity() if features is None else style.dense(values, features)

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The last layer's activations."""
        return self.head(self.maps(in_format_of(inputs, self)).flatten(1))


@register("decoder", "convolutional")
class ConvolutionalDecoder(Decoder):
    """The convolutional encoder mirrored: two fully connected layers, then strided transposed convolutions.

    The same keys describe both: the sizes are those the encoder goes through, met again in reverse, exactly.
    A transposed convolution whose kernel is no multiple of the stride makes some pixels from more values than others,
    which can show as a checkerboard; ``upsample: nearest`` replaces the last one, which makes the image (Odena,
    Dumoulin and Olah 2016, Deconvolution and checkerboard artifacts).

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        channels: as in the encoder, from the image inward; the decoder goes through them backward.
        kernel_size: as in the encoder.
        stride: as in the encoder.
        features: width of the first fully connected layer; null: there is only the second, from z to the first map.
        upsample: the last step to the image: ``transposed`` convolution, or resizing to the ``nearest`` pixel and a
            convolution of stride 1, whose kernel is reduced by 1 if even.
        activation: after every layer but the last.
        normalization: of every layer but the last; ``"weight"`` also of the last.

    Raises:
        RecipeError: as the encoder; also ``upsample: nearest`` where the image is too small to be shrunk first.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        channels: Widths = (32, 64, 128),
        kernel_size: KernelSize = 4,
        stride: Stride = 2,
        features: Positive | None = 256,
        upsample: Upsample = "transposed",
        activation: Activation = "relu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size, stride, features)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.first_map = (channels[-1], *stages[-1].small)
        self.features = nn.Identity() if features is None else style.dense(latent_dim, features)
        inputs = latent_dim if features is None else features
        self.linear = style.prepare(nn.Linear(inputs, math.prod(self.first_map), bias=style.bias))
        self.first = nn.Sequential(style.normalize_maps(channels[-1]), style.activate(in_place=True))
        self.maps = nn.Sequential(
            *(
                _block(style, stage.transposed(a, b, bias=style.bias))
                for stage, (a, b) in zip(stages[:0:-1], pairwise(channels[::-1]), strict=True)
            )
        )
        self.output = _output(style, stages[0], channels[0], out_channels, upsample)

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The last convolution's output, contiguous."""
        first = self.linear(self.features(inputs)).unflatten(1, self.first_map)
        return self.output(self.maps(self.first(in_format_of(first, self)))).contiguous()


def _block(style: Style, layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """A convolution, its normalization and its activation."""
    return nn.Sequential(style.prepare(layer), style.normalize_maps(layer.out_channels), style.activate(in_place=True))


def _output(style: Style, stage: Stage, inputs: int, outputs: int, upsample: Upsample) -> nn.Module:
    """The last step, from the map next to the image to (N, outputs, H, W)."""
    check_name("upsample", upsample, get_args(Upsample))
    if upsample == "transposed":
        return style.prepare(stage.transposed(inputs, outputs, bias=True))
    if stage.small == stage.large:
        height, width = stage.large
        raise RecipeError(
            f"upsample 'nearest' has no effect: images of {height}×{width} pixels are not shrunk",
            hint="give upsample: transposed, or larger images",
        )
    same = same_size(stage.large, max(stage.kernel))
    return nn.Sequential(
        nn.Upsample(size=stage.large, mode="nearest"), style.prepare(same.convolution(inputs, outputs, bias=True))
    )


def _plan(
    image_shape: tuple[int, int, int], channels: Widths, kernel_size: int, stride: int, features: int | None
) -> tuple[Stage, ...]:
    """The sizes from the image inward, once everything is known to be possible."""
    if not channels:
        raise RecipeError("channels must name at least one convolution; got []", hint="give channels: [32, 64]")
    check_positive("channels", *channels)
    if features is not None:
        check_positive("features", features)
    if stride not in (2, 3):
        raise RecipeError(f"stride must be 2 or 3; got {stride}", hint="give stride: 2")
    if kernel_size < 3:
        raise RecipeError(
            f"kernel_size must be at least 3, or pixels are skipped; got {kernel_size}",
            hint=f"give kernel_size: {stride + 2}",
        )
    check_kernel_fits(kernel_size, image_shape)
    return divisions((image_shape[1], image_shape[2]), len(channels), kernel_size, stride)
