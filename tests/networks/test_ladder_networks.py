"""The networks of a ladder written out by hand: how maps are merged, begun and brought back to the image's size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, elu

from tightbound.networks.blocks import BlockStyle
from tightbound.networks.ladder import Merge, Merging, Output, Stem

from .subjects import shake
from .test_blocks import CHANNELS, block_style, by_hand


def stem_by_hand(stem: Any, x: Tensor, style: BlockStyle, *, downscale: bool, gated: bool) -> Tensor:
    """A 5×5 convolution, the activation and a block."""
    first, _, block = stem.layers
    maps = elu(conv2d(x, first.weight, first.bias, stride=2 if downscale else 1, padding=2))
    return by_hand(block, maps, style, gated=gated)


def doubled(maps: Tensor, axis: int) -> Tensor:
    """Pixels at −1/4 and 1/4 of each old one's center: 3/4 of it, and 1/4 of the neighbor on that side or of itself."""
    size = maps.shape[axis]
    low = maps.index_select(axis, torch.arange(-1, size - 1).clamp(min=0))
    high = maps.index_select(axis, torch.arange(1, size + 1).clamp(max=size - 1))
    return torch.stack([0.75 * maps + 0.25 * low, 0.75 * maps + 0.25 * high], axis + 1).flatten(axis, axis + 1)


@pytest.mark.parametrize("merging", ["residual", "linear"])
def test_merge(merging: Merging) -> None:
    """A 1×1 convolution of both; the residual's block has a gate even where the ladder's blocks have none."""
    style = block_style("group", gated=False)
    merge: Any = shake(Merge(style, merging))
    first, second = torch.randn(2, 3, CHANNELS, 4, 5)
    expected = conv2d(torch.cat([first, second], 1), merge.convolution.weight, merge.convolution.bias)
    if merging == "residual":
        expected = by_hand(merge.block, expected, style, gated=True)
    torch.testing.assert_close(merge(first, second), expected)


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("downscale", [True, False])
def test_stem(gated: bool, downscale: bool) -> None:
    style, x = block_style("weight", gated=not gated), torch.rand(3, 2, 8, 6)
    stem = shake(Stem(2, style, downscale=downscale, gated=gated))
    torch.testing.assert_close(stem(x), stem_by_hand(stem, x, style, downscale=downscale, gated=gated))


@pytest.mark.parametrize("upscale", [True, False])
def test_output(upscale: bool) -> None:
    """Enlarged bilinearly, between the centers of pixels; two blocks; a 3×3 convolution."""
    style, maps = block_style("batch"), torch.randn(3, CHANNELS, 3, 4)
    output: Any = shake(Output(style, 2, 5, upscale=upscale))
    expected = doubled(doubled(maps, 2), 3) if upscale else maps
    for block in output.blocks:
        expected = by_hand(block, expected, style, gated=True)
    expected = conv2d(expected, output.convolution.weight, output.convolution.bias, padding=1)
    torch.testing.assert_close(output(maps), expected)
