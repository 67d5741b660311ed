from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, softplus

from tightbound.errors import RecipeError
from tightbound.networks import ResizeConvolutionalDecoder, ResizeConvolutionalEncoder

from .subjects import shake


def test_encoder_is_the_written_out_formula() -> None:
    net = shake(ResizeConvolutionalEncoder((2, 13, 16), channels=(5, 6), kernel_size=3, features=7))
    _, first, _, _, second, _ = net.maps
    linear = net.head[0]
    x = torch.rand(3, 2, 13, 16)
    maps = softplus(conv2d(x, first.weight, first.bias, stride=2, padding=1))
    maps = conv2d(maps, second.weight, second.bias, stride=2, padding=1)  # the last one is not activated
    assert maps.shape == (3, 6, 4, 4)
    torch.testing.assert_close(net(x), softplus(maps.flatten(1) @ linear.weight.T + linear.bias))


def test_decoder_is_the_written_out_formula() -> None:
    net = shake(ResizeConvolutionalDecoder(3, (1, 13, 16), 2, channels=(5, 6), kernel_size=3, features=7))
    _, dense, linear, _ = net.dense
    first, second = (layer for layer in net.maps if isinstance(layer, nn.Conv2d))
    z = torch.randn(4, 3)
    h = softplus(z @ dense[0].weight.T + dense[0].bias)
    maps = softplus(h @ linear.weight.T + linear.bias).reshape(4, 6, 4, 4)
    maps = softplus(interpolate(conv2d(maps, first.weight, first.bias, padding=1), (7, 8)))
    maps = softplus(interpolate(conv2d(maps, second.weight, second.bias, padding=1), (13, 16)))
    torch.testing.assert_close(net(z), conv2d(maps, net.output.weight, net.output.bias, padding=1))


def test_batch_normalization_follows_the_activation_and_precedes_the_first_layer() -> None:
    """With unit scales and no shift, each map that a convolution reads has mean 0 and variance 1 over the batch."""
    decoder = ResizeConvolutionalDecoder(3, (1, 16, 16), 2, channels=(5, 6), kernel_size=3, normalization="batch")
    encoder = ResizeConvolutionalEncoder((1, 16, 16), channels=(5, 6), kernel_size=3, normalization="batch")
    read: list[torch.Tensor] = []
    layers = [layer for net in (decoder, encoder) for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        if layer is not decoder.output:
            layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    decoder(5 + 3 * torch.randn(40, 3)), encoder(torch.rand(40, 1, 16, 16))
    assert len(read) == len(layers) - 1 == 4
    for maps in read:
        torch.testing.assert_close(maps.mean((0, 2, 3)), torch.zeros(maps.shape[1]), atol=1e-5, rtol=0)
        torch.testing.assert_close(maps.var((0, 2, 3), correction=0), torch.ones(maps.shape[1]), atol=1e-2, rtol=0)


def test_sizes_are_those_of_the_published_networks() -> None:
    """328,520 values with the map to mean and log-scale and 32 biases before a normalization, and 306,615."""
    encoder = ResizeConvolutionalEncoder((1, 28, 28), normalization="batch")
    decoder = ResizeConvolutionalDecoder(64, (1, 28, 28), 1, normalization="batch")
    assert _size(encoder) + 32 + 450 * 128 + 128 == 328_520
    assert _size(decoder) == 306_615
    assert decoder.first_map == (32, 4, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_size": 4}, "kernel_size must be odd and at least 3; got 4"),
        ({"channels": ()}, "channels must name at least one convolution"),
        ({"kernel_size": 9}, "needs images of at least 9×9 pixels"),
        ({"features": 0}, "features must be at least 1; got 0"),
    ],
)
def test_what_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        ResizeConvolutionalEncoder((1, 8, 8), **options)


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())
