"""Gated convolutional encoder and decoder, as in van den Berg et al. 2018 (Sylvester normalizing flows)."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.layers import Activation, KernelSize, Normalization, Positive, Style, Widths, check_positive
from tightbound.networks.maps import Stage, check_kernel_fits, division, in_format_of, same_size
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register

# 1 / √E[sigmoid(u)²] for u ~ N(0, 1): what a gate takes from its input's size.
_GATE_GAIN = 1.8462


class Gate(nn.Module):
    """(N, 2C, ...) -> (N, C, ...): activation(a) · sigmoid(b) of the two halves a, b of the channels.

    Both halves come of one affine layer, which reads its input once.

    Args:
        activation: of the first half, which it may overwrite. The layer before must not read its output again, as
            convolutions, normalizations and affine layers do not: PyTorch would not notice.
    """

    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.activation = activation

    def forward(self, halves: Tensor) -> Tensor:
        """The gated values."""
        values, gates = halves.unsafe_chunk(2, dim=1)  # PyTorch forbids to overwrite a chunk as it is a view of all
        return self.activation(values) * torch.sigmoid(gates)


@register("encoder", "gated")
class GatedEncoder(Encoder):
    """Gated convolutions, the last one over the whole map: y = activation(norm(W x + b)) · sigmoid(norm(V x + c)).

    The second convolution, the fourth and so on halve each axis that stays at 4 pixels or more: 28, 14, 7. The last
    one leaves one pixel of as many channels as there are features; it is what a fully connected layer is. With
    ``activation: none`` these are the networks of the paper's own code.

    Args:
        image_shape: (C, H, W).
        channels: of each convolution's output but the last.
        kernel_size: of these convolutions; an even one is reduced by 1 along an axis that is not halved.
        features: channels of the last convolution.
        activation: of the half that is gated.
        normalization: of every layer, both halves.

    Raises:
        RecipeError: no channels, sizes below 1, a kernel below 3 or larger than the image.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        channels: Widths = (32, 32, 64, 64, 64),
        kernel_size: KernelSize = 5,
        features: Positive = 256,
        activation: Activation = "elu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        check_positive("features", features)
        stages = _plan(image_shape, channels, kernel_size)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.feature_dim = features
        widths = pairwise((image_shape[0], *channels))
        layers = [stage.convolution(a, 2 * b, bias=style.bias) for stage, (a, b) in zip(stages, widths, strict=True)]
        self.maps = nn.Sequential(
            *(_gated_maps(style, layer, gain=_GATE_GAIN if i else 1.0) for i, layer in enumerate(layers))
        )
        last = nn.Linear(channels[-1] * math.prod(stages[-1].small), 2 * features, bias=style.bias)
        self.head = nn.Sequential(
            style.prepare(last, gain=_GATE_GAIN),
            style.normalize_features(2 * features),
            Gate(style.activate(in_place=True)),
        )

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The last convolution's values, gated."""
        return self.head(self.maps(in_format_of(inputs, self)).flatten(1))


@register("decoder", "gated")
class GatedDecoder(Decoder):
    """Gated transposed convolutions, the first one from one pixel to the whole first map, and a 1×1 readout.

    The sizes are those the gated encoder goes through, met again in reverse, exactly. The first map is made by a fully
    connected layer, which is what that transposed convolution is, but for a bias of each value instead of each channel.

    Args:
        latent_dim: D, the channels of the one pixel.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        channels: of each transposed convolution's output but the first, from the image inward; the decoder goes
            through them backward. The first map has as many as the one after it.
        kernel_size: as in the encoder.
        activation: of the half that is gated.
        normalization: of every layer but the last, both halves; ``"weight"`` also of the last.

    Raises:
        RecipeError: as the encoder.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        channels: Widths = (32, 32, 32, 32, 64),
        kernel_size: KernelSize = 5,
        activation: Activation = "elu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        stages = _plan(image_shape, channels, kernel_size)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.first_map = (2 * channels[-1], *stages[-1].small)
        self.linear = style.prepare(nn.Linear(latent_dim, math.prod(self.first_map), bias=style.bias))
        self.first = nn.Sequential(style.normalize_maps(2 * channels[-1]), Gate(style.activate(in_place=True)))
        widths = pairwise((channels[-1], *reversed(channels)))
        layers = (
            stage.transposed(a, 2 * b, bias=style.bias) for stage, (a, b) in zip(stages[::-1], widths, strict=True)
        )
        self.maps = nn.Sequential(*(_gated_maps(style, layer, gain=_GATE_GAIN) for layer in layers))
        self.output = style.prepare(nn.Conv2d(channels[0], out_channels, 1), gain=_GATE_GAIN)

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The readout, contiguous."""
        first = self.linear(inputs).unflatten(1, self.first_map)
        return self.output(self.maps(self.first(in_format_of(first, self)))).contiguous()


def _gated_maps(style: Style, layer: nn.Conv2d | nn.ConvTranspose2d, *, gain: float) -> nn.Sequential:
    """A convolution to both halves, their normalization and the gate."""
    return nn.Sequential(
        style.prepare(layer, gain=gain), style.normalize_maps(layer.out_channels), Gate(style.activate(in_place=True))
    )


def _plan(image_shape: tuple[int, int, int], channels: Widths, kernel_size: int) -> list[Stage]:
    """The sizes from the image inward, one stage a convolution, once everything is known to be possible."""
    if not channels:
        raise RecipeError("channels must name at least one convolution; got []", hint="give channels: [32, 32, 64]")
    check_positive("channels", *channels)
    if kernel_size < 3:
        raise RecipeError(
            f"kernel_size must be at least 3, or pixels are skipped; got {kernel_size}", hint="give kernel_size: 5"
        )
    check_kernel_fits(kernel_size, image_shape)
    size, stages = (image_shape[1], image_shape[2]), []
    for index in range(len(channels)):
        stages.append(division(size, kernel_size) if index % 2 else same_size(size, kernel_size))
        size = stages[-1].small
    return stages
