"""Convolutions normalized after their activation, and a decoder that grows its maps by resizing."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.layers import Activation, KernelSize, Normalization, Positive, Style, Widths, check_positive
from tightbound.networks.maps import Stage, check_kernel_fits, divisions, in_format_of, same_size
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register


@register("encoder", "resize_convolutional")
class ResizeConvolutionalEncoder(Encoder):
    """Convolutions of stride 2, each activated and then normalized, and one fully connected layer to the features.

    The last convolution is not activated. Under batch normalization the image itself is normalized too.

    Args:
        image_shape: (C, H, W).
        channels: of each convolution's output.
        kernel_size: of each convolution, odd; n pixels become ⌈n / 2⌉, unless fewer than 4 would be left.
        features: width of the features.
        activation: after every layer but the last convolution.
        normalization: after every activation.

    Raises:
        RecipeError: no channels, sizes below 1, an even kernel or one below 3 or larger than the image.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        channels: Widths = (16, 32, 32),
        kernel_size: KernelSize = 5,
        features: Positive = 450,
        activation: Activation = "softplus",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size, features)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        maps: list[nn.Module] = [_normalize_inputs(style, nn.BatchNorm2d, image_shape[0])]
        inputs = (image_shape[0], *channels)
        for i, stage in enumerate(stages):
            last = i == len(stages) - 1  # normalized right away, it needs no bias beside that of the normalization
            maps.append(style.prepare(stage.convolution(inputs[i], channels[i], bias=style.bias or not last)))
            maps += [*([] if last else [style.activate(in_place=True)]), style.normalize_maps(channels[i])]
        self.maps = nn.Sequential(*maps)
        self.head = _dense(style, channels[-1] * math.prod(stages[-1].small), features)
        self.feature_dim = features

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The fully connected layer's activations, normalized."""
        return self.head(self.maps(in_format_of(inputs, self)).flatten(1))


@register("decoder", "resize_convolutional")
class ResizeConvolutionalDecoder(Decoder):
    """Two fully connected layers, then convolutions of stride 1, after each of which the map is resized.

    Resizing to the nearest pixel in place of a transposed convolution leaves no checkerboard (Odena, Dumoulin and Olah
    2016, Deconvolution and checkerboard artifacts). The same keys describe both networks: the maps have the sizes that
    the encoder goes through, in reverse. Under batch normalization the latents themselves are normalized too; another
    one would take out their length.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        channels: as in the encoder, from the image inward; the decoder goes through them backward.
        kernel_size: as in the encoder, odd.
        features: width of the first fully connected layer.
        activation: after every layer but the output.
        normalization: after every activation but the last; ``"weight"`` of all layers.

    Raises:
        RecipeError: as the encoder.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        channels: Widths = (16, 32, 32),
        kernel_size: KernelSize = 5,
        features: Positive = 450,
        activation: Activation = "softplus",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size, features)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.first_map = (channels[-1], *stages[-1].small)
        self.dense = nn.Sequential(
            _normalize_inputs(style, nn.BatchNorm1d, latent_dim),
            _dense(style, latent_dim, features),
            style.prepare(nn.Linear(features, math.prod(self.first_map))),
            style.activate(in_place=True),
        )
        maps: list[nn.Module] = []
        for i, stage in reversed(list(enumerate(stages))):
            same = same_size(stage.small, kernel_size)
            # The activation stands before the resizing, which copies pixels: the same map, of fewer values.
            maps += [
                style.normalize_maps(channels[i]),
                style.prepare(same.convolution(channels[i], channels[max(i - 1, 0)], bias=True)),
                style.activate(in_place=True),
                nn.Upsample(size=stage.large, mode="nearest"),
            ]
        self.maps = nn.Sequential(*maps)
        last = same_size(stages[0].large, kernel_size)
        self.output = style.prepare(last.convolution(channels[0], out_channels, bias=True))

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The last convolution's output, contiguous."""
        first = self.dense(inputs).unflatten(1, self.first_map)
        return self.output(self.maps(in_format_of(first, self))).contiguous()


def _dense(style: Style, inputs: int, outputs: int) -> nn.Sequential:
    """A fully connected layer, its activation and its normalization."""
    layer = style.prepare(nn.Linear(inputs, outputs))
    return nn.Sequential(layer, style.activate(in_place=True), style.normalize_features(outputs))


def _normalize_inputs(style: Style, batch_norm: type[nn.Module], width: int) -> nn.Module:
    """Batch normalization of what comes in: within one image or latent vector, mean and length say much."""
    return batch_norm(width) if style.normalization == "batch" else nn.Identity()


def _plan(image_shape: tuple[int, int, int], channels: Widths, kernel_size: int, features: int) -> tuple[Stage, ...]:
    """The sizes from the image inward, once everything is known to be possible."""
    if not channels:
        raise RecipeError("channels must name at least one convolution; got []", hint="give channels: [16, 32]")
    check_positive("channels", *channels)
    check_positive("features", features)
    if kernel_size < 3 or kernel_size % 2 == 0:
        raise RecipeError(f"kernel_size must be odd and at least 3; got {kernel_size}", hint="give kernel_size: 5")
    check_kernel_fits(kernel_size, image_shape)
    return divisions((image_shape[1], image_shape[2]), len(channels), kernel_size)
