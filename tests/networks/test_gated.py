from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d

from tightbound.errors import RecipeError
from tightbound.networks import GatedDecoder, GatedEncoder
from tightbound.networks.gated import _GATE_GAIN

from .subjects import shake
from .test_mlp import elu


def test_encoder_is_the_written_out_formula() -> None:
    """Two gated convolutions, the second of stride 2, and one over the whole 4×5 map, as six convolutions."""
    net = shake(GatedEncoder((2, 8, 10), channels=(3, 4), features=6))
    x = h = torch.rand(2, 2, 8, 10)
    for block, width, stride in zip(net.maps, (3, 4), (1, 2), strict=True):
        W, b = block[0].weight, block[0].bias
        values = conv2d(h, W[:width], b[:width], stride, padding=2)
        gates = conv2d(h, W[width:], b[width:], stride, padding=2)
        h = elu(values) / (1 + (-gates).exp())
    W, b = net.head[0].weight.reshape(12, 4, 4, 5), net.head[0].bias
    expected = elu(conv2d(h, W[:6], b[:6])) / (1 + (-conv2d(h, W[6:], b[6:])).exp())
    torch.testing.assert_close(net(x), expected.flatten(1))
    assert net.feature_dim == 6


def test_decoder_is_the_written_out_formula() -> None:
    """A gated transposed convolution of one pixel to the 4×5 map, two more up to 8×10, and a 1×1 readout."""
    net = shake(GatedDecoder(3, (1, 8, 10), 2, channels=(5, 4)))
    z = torch.randn(6, 3)
    kernel = net.linear.weight.reshape(8, 4, 5, 3).permute(3, 0, 1, 2)
    both = conv_transpose2d(z[:, :, None, None], kernel) + net.linear.bias.reshape(8, 4, 5)
    h = elu(both[:, :4]) * torch.sigmoid(both[:, 4:])
    for block, width, stride, extra in zip(net.maps, (4, 5), (2, 1), (1, 0), strict=True):
        W, b = block[0].weight, block[0].bias
        options = {"stride": stride, "padding": 2, "output_padding": extra}
        values = conv_transpose2d(h, W[:, :width], b[:width], **options)
        h = elu(values) * torch.sigmoid(conv_transpose2d(h, W[:, width:], b[width:], **options))
    readout = torch.einsum("pc,ncij->npij", net.output.weight[:, :, 0, 0], h) + net.output.bias[:, None, None]
    torch.testing.assert_close(net(z), readout)


def test_published_sizes() -> None:
    """28×28, 64 latents: each gated layer has twice the published channels, one half of them gates."""
    encoder, decoder = GatedEncoder((1, 28, 28)), GatedDecoder(64, (1, 28, 28), 1)
    convolutions = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 64)]
    weights = sum(25 * a * 2 * b + 2 * b for a, b in convolutions) + (7 * 7 * 64 * 2 * 256 + 2 * 256)
    assert sum(p.numel() for p in encoder.parameters()) == weights == 2_171_456
    transposed = [(64, 64), (64, 32), (32, 32), (32, 32), (32, 32)]
    weights = (64 * 7 * 7 * 2 * 64 + 7 * 7 * 2 * 64) + sum(25 * a * 2 * b + 2 * b for a, b in transposed) + 32 + 1
    assert sum(p.numel() for p in decoder.parameters()) == weights == 868_897


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((28, 28), [(28, 28), (14, 14), (14, 14), (7, 7), (7, 7)]),
        ((32, 32), [(32, 32), (16, 16), (16, 16), (8, 8), (8, 8)]),
        ((9, 5), [(9, 5), (5, 5), (5, 5), (5, 5), (5, 5)]),
        ((41, 17), [(41, 17), (21, 9), (21, 9), (11, 5), (11, 5)]),
    ],
)
def test_sizes(size: tuple[int, int], sizes: list[tuple[int, int]]) -> None:
    """The published maps for 28 pixels; the decoder goes back through the same ones."""
    net, mirror = GatedEncoder((3, *size), channels=(2,) * 5), GatedDecoder(2, (3, *size), 4, channels=(2,) * 5)
    seen: list[tuple[int, ...]] = []
    for block in (*net.maps, mirror.first, *mirror.maps):
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(tuple(output.shape[2:])))
    net(torch.rand(1, 3, *size))
    assert mirror(torch.randn(1, 2)).shape == (1, 4, *size)
    assert seen == [*sizes, *sizes[::-1], size]


def test_gates_do_not_shrink_the_signal() -> None:
    """activation(u) · sigmoid(v), brought to second moment 1 for independent standard-normal u, v by both gains."""
    u, v = torch.randn(2, 1_000_000)
    assert (torch.sigmoid(v) * _GATE_GAIN).square().mean().item() == pytest.approx(1.0, abs=4e-3)
    layer = GatedDecoder(1, (1, 8, 8), 400, channels=(2000,)).output
    features = (elu(u) * torch.sigmoid(v)).reshape(125, 2000, 2, 2)
    assert layer(features).square().mean().item() == pytest.approx(1.0, abs=0.05)


def test_refusals() -> None:
    with pytest.raises(RecipeError, match="kernel size 5 needs images of at least 5×5 pixels; these are 4×8"):
        GatedEncoder((1, 4, 8))
    with pytest.raises(RecipeError, match="channels must name at least one convolution"):
        GatedDecoder(3, (1, 8, 8), 1, channels=())
    with pytest.raises(RecipeError, match="channels must be at least 1; got 0"):
        GatedDecoder(3, (1, 8, 8), 1, channels=(4, 0))
    with pytest.raises(RecipeError, match="features must be at least 1; got 0"):
        GatedEncoder((1, 8, 8), features=0)
    with pytest.raises(RecipeError, match="kernel_size must be at least 3"):
        GatedEncoder((1, 8, 8), kernel_size=2)
