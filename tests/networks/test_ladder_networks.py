"""The networks of a ladder written out by hand: how maps are merged, begun and brought back to the image's size.

And what PyTorch's compiler makes of them for a processor.
"""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, elu

from tightbound.networks.blocks import Block, BlockStyle
from tightbound.networks.ladder import Merge, Merging, Moments, Output, Stem
from tightbound.networks.layers import Style

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


class Part(nn.Module):
    """What a ladder repeats: a block with a gate, normalization and dropout, then moments."""

    def __init__(self) -> None:
        super().__init__()
        style = BlockStyle(Style("elu", "batch"), 8, dropout=0.4)
        self.block, self.moments = Block(style), Moments(style, 2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.moments(self.block(maps))


def compare_compiled_with_eager() -> None:
    """Outputs, all gradients and running statistics of PyTorch's own code for this processor, in float64."""
    torch.manual_seed(0)
    ours = Part().double().to(memory_format=torch.channels_last)
    twin = copy.deepcopy(ours)
    maps, weights = torch.randn(4, 8, 6, 5).double(), torch.randn(4, 120).double()
    found = []
    for call, part in ((torch.compile(ours, dynamic=False), ours), (twin, twin)):
        inputs = maps.clone(memory_format=torch.channels_last).requires_grad_()
        torch.manual_seed(1)  # of the masks
        outputs = call(inputs)
        found.append([outputs, *torch.autograd.grad(outputs, [inputs, *part.parameters()], weights), *part.buffers()])
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a processor needs a C++ compiler")
def test_code_for_a_processor_computes_what_eager_mode_does() -> None:
    code = f"from tests.networks.{Path(__file__).stem} import *; compare_compiled_with_eager()"
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
