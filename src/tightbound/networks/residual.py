"""Residual encoder and decoder, as in Kingma et al. 2016 (inverse autoregressive flow), section 6.1."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate

from tightbound.networks.layers import Activation, Normalization, Positive, Style, check_positive
from tightbound.networks.maps import Stage, check_kernel_fits, division, in_format_of, same_size
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register

_KERNEL = 3
_LEAST_STAGES = 3  # 28, 14, 7 pixels
_LARGEST_LAST_MAP = 8


class ResidualBlock(nn.Module):
    """A pre-activation block: shortcut(x) + 0.1 · conv(activation(norm(conv(activation(norm(x)))))).

    The first convolution shrinks the map, or the second, transposed, enlarges it; the shortcut is the nearest pixel.

    Args:
        channels: of input and output.
        stage: the sizes; equal ones leave the map as it is.
        style: activation and normalization.
        enlarge: go from ``stage.small`` to ``stage.large`` instead.
    """

    branch_scale = 0.1

    def __init__(self, channels: int, stage: Stage, style: Style, *, enlarge: bool = False) -> None:
        super().__init__()
        self.size = stage.large if enlarge else stage.small
        self.resamples = stage.large != stage.small
        same = same_size(stage.small, _KERNEL)
        first = same.convolution if enlarge else stage.convolution
        second = stage.transposed if enlarge and self.resamples else same.convolution
        self.branch = nn.Sequential(
            style.normalize_maps(channels),
            style.activate(in_place=not style.bias),  # without a normalization it would overwrite the shortcut's maps
            style.prepare(first(channels, channels, bias=style.bias)),
            style.normalize_maps(channels),
            style.activate(in_place=True),
            style.prepare(second(channels, channels, bias=style.bias)),
        )

    def forward(self, maps: Float[Tensor, "N C _ _"]) -> Float[Tensor, "N C H W"]:
        """The block's output."""
        shortcut = interpolate(maps, size=self.size, mode="nearest") if self.resamples else maps
        return torch.add(shortcut, self.branch(maps), alpha=self.branch_scale)


@register("encoder", "residual")
class ResidualEncoder(Encoder):
    """A stem, stages of residual blocks, one fully connected layer to the features.

    The first block of every stage but the first halves each axis that stays at 4 pixels or more: 28, 14, 7.

    With ``normalization: batch`` it is the published TensorFlow encoder but for the stem (there the first block adds
    one gray channel to all 64 by broadcasting), the initial weights (there Xavier uniform, smaller by 1.25 where a
    layer has as many inputs as outputs) and the last map's normalization, which has no scale and shift of its own: the
    fully connected layer absorbs the scale, and the normalization after it undoes the shift.

    Args:
        image_shape: (C, H, W).
        channels: of every map.
        stages: how many map sizes; None: 3, or as many more as bring the last map to 8 pixels a side or fewer.
        blocks: residual blocks in each stage.
        features: width of the features.
        activation: before every convolution of a block and after the fully connected layer.
        normalization: of every layer.

    Raises:
        RecipeError: sizes below 1, or an image smaller than the 3×3 kernel.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        channels: Positive = 64,
        stages: Positive | None = None,
        blocks: Positive = 2,
        features: Positive = 450,
        activation: Activation = "elu",
        normalization: Normalization = "weight",
    ) -> None:
        super().__init__()
        check_positive("features", features)
        plan = _plan(image_shape, channels, stages, blocks)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.feature_dim = features
        self.stem = style.prepare(plan[0].convolution(image_shape[0], channels, bias=style.bias))
        self.blocks = nn.Sequential(*(ResidualBlock(channels, stage, style) for stage in plan))
        self.normalization = style.normalize_maps(channels, affine=False)
        self.head = style.dense(channels * math.prod(plan[-1].small), features)

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The fully connected layer's activations."""
        maps = self.blocks(self.stem(in_format_of(inputs, self)))
        return self.head(self.normalization(maps).flatten(1))


@register("decoder", "residual")
class ResidualDecoder(Decoder):
    """The residual encoder mirrored: a linear layer to the first map, residual blocks that enlarge it, a 1×1 readout.

    The linear layer is what a transposed convolution of a 1×1 map to the first map's size is. It is not normalized, and
    has no bias where the blocks after it are batch- or group-normalized: with ``normalization: batch`` this is the
    published TensorFlow decoder but for the initial weights. Where it has a bias, it is one for each value of the map.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        channels: of every map.
        stages: as in the encoder.
        blocks: residual blocks in each stage.
        activation: after the linear layer and before every convolution of a block.
        normalization: of every layer; the first and the last have ``"weight"`` only.

    Raises:
        RecipeError: sizes below 1, or an image smaller than the 3×3 kernel.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        channels: Positive = 64,
        stages: Positive | None = None,
        blocks: Positive = 2,
        activation: Activation = "elu",
        normalization: Normalization = "weight",
    ) -> None:
        super().__init__()
        plan = _plan(image_shape, channels, stages, blocks)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.first_map = (channels, *plan[-1].small)
        self.linear = style.prepare(nn.Linear(latent_dim, math.prod(self.first_map), bias=style.bias))
        self.first = style.activate(in_place=True)
        self.blocks = nn.Sequential(*(ResidualBlock(channels, stage, style, enlarge=True) for stage in reversed(plan)))
        self.normalization = style.normalize_maps(channels)
        self.output = style.prepare(nn.Conv2d(channels, out_channels, 1))

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The last convolution's output, contiguous."""
        first = self.linear(inputs).unflatten(1, self.first_map)
        maps = self.blocks(self.first(in_format_of(first, self)))
        return self.output(self.normalization(maps)).contiguous()


def _plan(image_shape: tuple[int, int, int], channels: int, stages: int | None, blocks: int) -> list[Stage]:
    """One entry a block, from the image inward."""
    check_positive("channels", channels)
    check_positive("blocks", blocks)
    if stages is not None:
        check_positive("stages", stages)
    check_kernel_fits(_KERNEL, image_shape)
    size = (image_shape[1], image_shape[2])
    plan = [same_size(size, _KERNEL)] * blocks
    done = 1
    while done < (stages or _LEAST_STAGES) or (stages is None and max(size) > _LARGEST_LAST_MAP):
        shrink = division(size, _KERNEL)
        size = shrink.small
        plan += [shrink, *[same_size(size, _KERNEL)] * (blocks - 1)]
        done += 1
    return plan
