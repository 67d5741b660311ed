from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d

from tightbound.errors import RecipeError
from tightbound.networks import ResidualBlock, ResidualDecoder, ResidualEncoder
from tightbound.networks.layers import Style
from tightbound.networks.maps import Stage, division

from .subjects import shake
from .test_mlp import elu

PLAIN = Style("elu", "none")


def convolutions(block: ResidualBlock) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    first, second = block.branch[2], block.branch[5]
    return first.weight, first.bias, second.weight, second.bias


def test_block_is_the_written_out_formula() -> None:
    block = shake(ResidualBlock(3, Stage((6, 5), (6, 5), (3, 3), (1, 1)), PLAIN))
    x = torch.randn(2, 3, 6, 5)
    W1, b1, W2, b2 = convolutions(block)
    expected = x + 0.1 * conv2d(elu(conv2d(elu(x), W1, b1, padding=1)), W2, b2, padding=1)
    torch.testing.assert_close(block(x), expected)


def test_shrinking_block_is_the_written_out_formula() -> None:
    block = shake(ResidualBlock(3, division((8, 10), 3), PLAIN))
    x = torch.randn(2, 3, 8, 10)
    W1, b1, W2, b2 = convolutions(block)
    branch = conv2d(elu(conv2d(elu(x), W1, b1, stride=2, padding=1)), W2, b2, padding=1)
    torch.testing.assert_close(block(x), x[..., ::2, ::2] + 0.1 * branch)


def test_enlarging_block_is_the_written_out_formula() -> None:
    block = shake(ResidualBlock(3, division((8, 10), 3), PLAIN, enlarge=True))
    x = torch.randn(2, 3, 4, 5)
    W1, b1, W2, b2 = convolutions(block)
    inner = elu(conv2d(elu(x), W1, b1, padding=1))
    branch = conv_transpose2d(inner, W2, b2, stride=2, padding=1, output_padding=1)
    shortcut = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(block(x), shortcut + 0.1 * branch)


def test_weight_normalized_block_is_the_written_out_formula() -> None:
    block = shake(ResidualBlock(3, division((8, 8), 3), Style("elu", "weight"), enlarge=True))
    x = torch.randn(2, 3, 4, 4)
    first, second = block.branch[2], block.branch[5]
    g1, v1 = first.parametrizations.weight.original0, first.parametrizations.weight.original1
    g2, v2 = second.parametrizations.weight.original0, second.parametrizations.weight.original1
    W1 = g1 * v1 / v1.square().sum((1, 2, 3), keepdim=True).sqrt()
    W2 = g2 * v2 / v2.square().sum((0, 2, 3), keepdim=True).sqrt()  # (in, out, 3, 3)
    inner = elu(conv2d(elu(x), W1, first.bias, padding=1))
    branch = conv_transpose2d(inner, W2, second.bias, stride=2, padding=1, output_padding=1)
    shortcut = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    torch.testing.assert_close(block(x), shortcut + 0.1 * branch)


def test_encoder_is_the_written_out_formula() -> None:
    """A stem instead of broadcasting one channel to all, blocks, no activation before the fully connected layer."""
    net = shake(ResidualEncoder((2, 8, 8), channels=3, stages=1, blocks=1, features=6, normalization="none"))
    x = torch.rand(2, 2, 8, 8)
    stem = conv2d(x, net.stem.weight, net.stem.bias, padding=1)
    W1, b1, W2, b2 = convolutions(net.blocks[0])
    maps = stem + 0.1 * conv2d(elu(conv2d(elu(stem), W1, b1, padding=1)), W2, b2, padding=1)
    head = net.head[0]
    torch.testing.assert_close(net(x), elu(maps.reshape(2, 192) @ head.weight.T + head.bias))
    assert net.feature_dim == 6


def test_first_map_is_a_valid_transposed_convolution_of_one_pixel() -> None:
    net = shake(ResidualDecoder(5, (1, 28, 28), 1, channels=4, normalization="none"))
    z = torch.randn(3, 5)
    kernel = net.linear.weight.reshape(4, 7, 7, 5).permute(3, 0, 1, 2)
    expected = conv_transpose2d(z[:, :, None, None], kernel)
    torch.testing.assert_close((z @ net.linear.weight.T).reshape(3, 4, 7, 7), expected)
    maps = net.blocks(elu(expected + net.linear.bias.reshape(4, 7, 7)))
    readout = torch.einsum("pc,ncij->npij", net.output.weight[:, :, 0, 0], maps) + net.output.bias[:, None, None]
    torch.testing.assert_close(net(z), readout)


def standardized(maps: Tensor) -> Tensor:
    """Batch statistics of each channel; eps is 1e-5."""
    mean, variance = maps.mean((0, 2, 3), keepdim=True), maps.var((0, 2, 3), correction=0, keepdim=True)
    return (maps - mean) / (variance + 1e-5).sqrt()


def test_batch_normalized_networks_are_the_published_ones_but_for_the_stem() -> None:
    """The last map is normalized before it is flattened, and the decoder's first map is not; no bias but the last."""
    net = ResidualEncoder((1, 8, 8), channels=3, stages=1, blocks=1, features=6, normalization="batch")
    first, second = net.blocks[0].branch[2], net.blocks[0].branch[5]
    stem = conv2d(x := torch.rand(4, 1, 8, 8), net.stem.weight, padding=1)
    inner = standardized(conv2d(elu(standardized(stem)), first.weight, padding=1))
    maps = standardized(stem + 0.1 * conv2d(elu(inner), second.weight, padding=1))
    features = standardized((maps.flatten(1) @ net.head[0].weight.T)[:, :, None, None]).flatten(1)
    torch.testing.assert_close(net(x), elu(features))

    mirror = ResidualDecoder(2, (1, 8, 8), 1, channels=3, stages=1, blocks=1, normalization="batch")
    first, second = mirror.blocks[0].branch[2], mirror.blocks[0].branch[5]
    start = elu(((z := torch.randn(4, 2)) @ mirror.linear.weight.T).reshape(4, 3, 8, 8))
    inner = standardized(conv2d(elu(standardized(start)), first.weight, padding=1))
    maps = standardized(start + 0.1 * conv2d(elu(inner), second.weight, padding=1))
    torch.testing.assert_close(mirror(z), conv2d(maps, mirror.output.weight, mirror.output.bias))
    assert [n for n, _ in (*net.named_parameters(), *mirror.named_parameters()) if n.endswith("bias")] == [
        *("blocks.0.branch.0.bias", "blocks.0.branch.3.bias", "head.1.bias"),
        *("blocks.0.branch.0.bias", "blocks.0.branch.3.bias", "normalization.bias", "output.bias"),
    ]


@pytest.mark.parametrize(
    ("size", "stages", "sides"),
    [
        ((28, 28), None, [28, 28, 14, 14, 7, 7]),
        ((32, 32), None, [32, 32, 16, 16, 8, 8]),
        ((8, 8), None, [8, 8, 4, 4, 4, 4]),
        ((64, 64), None, [64, 64, 32, 32, 16, 16, 8, 8]),
        ((64, 64), 2, [64, 64, 32, 32]),
        ((218, 178), None, [218, 218, 109, 109, 55, 55, 28, 28, 14, 14, 7, 7]),
    ],
)
def test_stages(size: tuple[int, int], stages: int | None, sides: list[int]) -> None:
    """The published maps for 28 pixels; more stages for larger images, fewer halvings for small ones."""
    net = ResidualEncoder((1, *size), channels=1, stages=stages, features=1)
    assert [block.size[0] for block in net.blocks] == sides
    mirror = ResidualDecoder(2, (1, *size), 1, channels=1, stages=stages)
    assert [block.size[0] for block in mirror.blocks] == [sides[0], *sides[:-1]][::-1]


def test_published_size() -> None:
    """28×28: 12 convolutions of 64 maps, the stem, and 3136 -> 450."""
    net = ResidualEncoder((1, 28, 28), normalization="none")
    weights = sum(p.numel() for p in net.parameters() if p.dim() > 1)
    assert weights == 12 * 64 * 64 * 9 + 64 * 9 + 3136 * 450


def test_refusals() -> None:
    with pytest.raises(
        RecipeError, match=r"kernel size 3 needs images of at least 3×3 pixels; these are 1×1\n.*kind: mlp"
    ):
        ResidualEncoder((1, 1, 1))
    with pytest.raises(RecipeError, match="channels must be at least 1; got 0"):
        ResidualDecoder(3, (1, 8, 8), 1, channels=0)
    with pytest.raises(RecipeError, match="blocks must be at least 1; got 0"):
        ResidualEncoder((1, 8, 8), blocks=0)
    with pytest.raises(RecipeError, match="stages must be at least 1; got 0"):
        ResidualEncoder((1, 8, 8), stages=0)
    with pytest.raises(RecipeError, match="features must be at least 1; got 0"):
        ResidualEncoder((1, 8, 8), features=0)
