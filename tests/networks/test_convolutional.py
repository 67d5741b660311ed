from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from tightbound.errors import RecipeError
from tightbound.networks import ConvolutionalDecoder, ConvolutionalEncoder

from .subjects import shake


def test_encoder_is_the_written_out_formula() -> None:
    net = shake(ConvolutionalEncoder((3, 16, 17), channels=(5, 6), features=7))
    first, second = (block[0] for block in net.maps)
    head = net.head[0]
    x = torch.rand(2, 3, 16, 17)
    maps = conv2d(x, first.weight, first.bias, stride=2, padding=1).clamp(min=0)
    maps = conv2d(maps, second.weight, second.bias, stride=2, padding=1).clamp(min=0)
    assert maps.shape == (2, 6, 4, 4)
    torch.testing.assert_close(net(x), (maps.reshape(2, 96) @ head.weight.T + head.bias).clamp(min=0))
    assert net.feature_dim == 7


def test_decoder_is_the_written_out_formula() -> None:
    net = shake(ConvolutionalDecoder(3, (1, 16, 17), 2, channels=(5, 6), features=7))
    z = torch.randn(4, 3)
    h = (z @ net.features[0].weight.T + net.features[0].bias).clamp(min=0)
    maps = (h @ net.linear.weight.T + net.linear.bias).clamp(min=0).reshape(4, 6, 4, 4)
    inner = net.maps[0][0]
    maps = conv_transpose2d(maps, inner.weight, inner.bias, 2, 1).clamp(min=0)  # 4 -> 8
    expected = conv_transpose2d(maps, net.output.weight, net.output.bias, 2, 1, (0, 1))  # 8 -> 16 and 17
    torch.testing.assert_close(net(z), expected)


def test_channels_given_as_a_list_are_left_alone() -> None:
    channels = [5, 6]
    ConvolutionalDecoder(3, (1, 16, 16), 2, channels=channels)
    ConvolutionalEncoder((1, 16, 16), channels=channels)
    assert channels == [5, 6]


def test_refusals() -> None:
    with pytest.raises(
        RecipeError, match=r"kernel size 4 needs images of at least 4×4 pixels; these are 1×1\n.*kind: mlp"
    ):
        ConvolutionalEncoder((3, 1, 1))
    with pytest.raises(RecipeError, match="kernel size 9 needs images of at least 9×9 pixels; these are 12×8"):
        ConvolutionalDecoder(3, (1, 12, 8), 1, kernel_size=9)
    with pytest.raises(RecipeError, match="channels must be at least 1; got 0"):
        ConvolutionalEncoder((1, 8, 8), channels=(8, 0))
    with pytest.raises(RecipeError, match="channels must name at least one convolution"):
        ConvolutionalDecoder(3, (1, 8, 8), 1, channels=())
    with pytest.raises(RecipeError, match="features must be at least 1; got 0"):
        ConvolutionalEncoder((1, 8, 8), features=0)
    with pytest.raises(RecipeError, match=r"kernel_size must be at least 3, .*; got 2"):
        ConvolutionalEncoder((1, 8, 8), kernel_size=2)
