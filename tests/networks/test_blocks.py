"""Residual blocks written out by hand: every order of layers, gate, normalization, resampling and setting."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d, conv_transpose2d, elu, group_norm

from tightbound.networks.blocks import Block, BlockStyle, Order, Resampling
from tightbound.networks.layers import Normalization, Style

from .subjects import shake

CHANNELS = 8
ALL_SET: dict[str, Any] = {
    "kernel_size": 5,
    "groups": 2,
    "inner_channels": 12,
    "branch_scale": 0.3,
    "dropout": 0.4,
}


def block_style(normalization: Normalization = "none", **options: Any) -> BlockStyle:
    return BlockStyle(Style("elu", normalization), CHANNELS, **options)


def normalized(maps: Tensor, norm: Any, normalization: Normalization) -> Tensor:
    """Groups of 4 channels; of batches, the batch's own moments in training and the running ones after it."""
    if normalization == "group":
        return group_norm(maps, maps.shape[1] // 4, norm.weight, norm.bias)
    if normalization == "batch":
        moments = (None, None) if norm.training else (norm.running_mean, norm.running_var)
        return batch_norm(maps, *moments, norm.weight, norm.bias, norm.training)
    return maps


def kept_channels(maps: Tensor, dropout: float) -> Tensor:
    """One coin for each channel of each image, for all its pixels: 1 / (1 − p) or 0."""
    return torch.empty(*maps.shape[:2], 1, 1).bernoulli_(1 - dropout) / (1 - dropout)


def by_hand(block: Any, x: Tensor, style: BlockStyle, resampling: Resampling = "none", *, gated: bool) -> Tensor:
    """after(x' + branch_scale · branch(x')), x' = before(x), of the block's own weights.

    Which layers there are, their kernels, groups and channels, is read from the style alone.
    """
    kernel, inner = style.kernel_size, style.inner_channels or style.channels
    convolutions = iter([layer for layer in block.branch if isinstance(layer, nn.Conv2d)])
    norms = iter([layer for layer in block.branch if isinstance(layer, nn.GroupNorm | nn.BatchNorm2d)])
    if resampling == "up":
        x = conv_transpose2d(x, block.before.weight, block.before.bias, stride=2, padding=1, output_padding=1)
    elif resampling == "down":
        x = conv2d(x, block.before.weight, block.before.bias, stride=2, padding=1)
    elif inner != style.channels:
        x = conv2d(x, block.before.weight, block.before.bias)
    h = x
    for letter in style.order:
        if letter == "b":
            h = normalized(h, next(norms, None), style.style.normalization)
        elif letter == "a":
            h = elu(h)
        elif letter == "c":
            layer = next(convolutions)
            assert layer.weight.shape == (inner, inner // style.groups, kernel, kernel)
            h = conv2d(h, layer.weight, layer.bias, padding=kernel // 2, groups=style.groups)
        elif block.training and style.dropout:
            h = h * kept_channels(h, style.dropout)
    if gated:
        layer = next(convolutions)
        a, b = conv2d(h, layer.weight, layer.bias).chunk(2, 1)
        h = elu(a) * torch.sigmoid(b)
    assert next(convolutions, None) is next(norms, None) is None
    y = x + style.branch_scale * h
    return y if inner == style.channels else conv2d(y, block.after.weight, block.after.bias)


@pytest.mark.parametrize("order", get_args(Order))
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("normalization", get_args(Normalization))
@pytest.mark.parametrize("resampling", get_args(Resampling))
@pytest.mark.parametrize("options", [{}, {"inner_channels": 4}, ALL_SET], ids=["plain", "narrow", "all set"])
def test_a_block_is_the_written_out_formula(
    order: Order, gated: bool, normalization: Normalization, resampling: Resampling, options: dict[str, Any]
) -> None:
    """In training, with the same coins for dropout, and after it; the input is left as it was."""
    style = block_style(normalization, order=order, gated=gated, **options)
    block, x = shake(Block(style, resampling)), torch.randn(3, CHANNELS, 5, 6)
    before = x.clone()
    for training in (True, False):
        torch.manual_seed(1)
        y = block.train(training)(x)
        torch.manual_seed(1)
        torch.testing.assert_close(y, by_hand(block, before, style, resampling, gated=gated))
    assert torch.equal(x, before)


@pytest.mark.parametrize("gated", [True, False])
def test_a_block_overrides_the_gate_of_its_style(gated: bool) -> None:
    style, x = block_style(gated=not gated), torch.randn(2, CHANNELS, 3, 3)
    block = shake(Block(style, gated=gated))
    torch.testing.assert_close(block(x), by_hand(block, x, style, gated=gated))
