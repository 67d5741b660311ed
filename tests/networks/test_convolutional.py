from __future__ import annotations

import pytest
import torch
from torch import nn
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
    sizes = set()
    for _ in range(2):
        decoder = ConvolutionalDecoder(3, (1, 16, 16), 2, channels=channels, features=None)
        encoder = ConvolutionalEncoder((1, 16, 16), channels=channels, features=None)
        sizes.add((_size(decoder), _size(encoder)))
    assert channels == [5, 6]
    assert len(sizes) == 1


@pytest.mark.parametrize(
    ("kernel", "features", "squares", "corner"),
    [
        (3, 1.5795765660094991, 1265.324225715479, -0.42578259492962606),
        (4, 0.6016591219253595, 444.4377630663969, 0.045550599072574305),
        (5, 0.8313535603451567, 578.6970239756299, -0.3308233407314579),
    ],
)
def test_a_seed_gives_the_weights_it_always_gave(kernel: int, features: float, squares: float, corner: float) -> None:
    """Recorded before the keys stride and upsample: runs of then can be repeated."""
    encoder = ConvolutionalEncoder((2, 13, 10), channels=(5, 6), features=7, kernel_size=kernel)
    decoder = ConvolutionalDecoder(3, (2, 13, 10), 2, channels=(5, 6), features=7, kernel_size=kernel)
    found = encoder(torch.linspace(0, 1, 260).reshape(1, 2, 13, 10)).sum().item()
    image = decoder(torch.tensor([[0.3, -0.7, 1.1]]))
    assert found == pytest.approx(features, rel=1e-12)
    assert image.square().sum().item() == pytest.approx(squares, rel=1e-12)
    assert image[0, 1, 12, 9].item() == pytest.approx(corner, rel=1e-12)


KEYS = {"channels": (32, 32), "kernel_size": 5, "stride": 3, "features": None}


def test_size_of_the_uncertainty_networks() -> None:
    """28 -> 9 -> 3 and back: k·k·in·out + out values in each convolution, none in a fully connected layer."""
    encoder = ConvolutionalEncoder((1, 28, 28), **KEYS)
    decoder = ConvolutionalDecoder(32, (1, 28, 28), 2, **KEYS, upsample="nearest")
    assert encoder.feature_dim == 3 * 3 * 32
    assert _size(encoder) == (25 * 32 + 32) + (25 * 32 * 32 + 32)
    assert _size(decoder) == (32 * 288 + 288) + (25 * 32 * 32 + 32) + (25 * 32 * 2 + 2)


def _size(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def test_encoder_and_an_affine_head_are_the_published_convolutions() -> None:
    """The published last convolution reads the padded 3×3 map at one place: an affine map of our features."""
    net = shake(ConvolutionalEncoder((1, 28, 28), **KEYS))
    first, second = (block[0] for block in net.maps)
    kernel, bias = torch.randn(7, 32, 5, 5), torch.randn(7)
    x = torch.rand(4, 1, 28, 28)
    maps = conv2d(x, first.weight, first.bias, stride=3, padding=1).clamp(min=0)
    maps = conv2d(maps, second.weight, second.bias, stride=3, padding=1).clamp(min=0)
    published = conv2d(maps, kernel, bias, stride=3, padding=1)
    assert published.shape == (4, 7, 1, 1)
    head = kernel[..., 1:4, 1:4].reshape(7, 288)
    torch.testing.assert_close(net(x) @ head.T + bias, published.flatten(1))


def test_decoder_is_the_published_chain() -> None:
    """z as a 1×1 map -> 3 -> 9 by transposed convolutions, the nearest pixel to 28, a convolution of stride 1."""
    net = shake(ConvolutionalDecoder(32, (1, 28, 28), 2, **KEYS, upsample="nearest"))
    first, bias = torch.randn(32, 32, 5, 5), torch.randn(32)
    with torch.no_grad():  # of a 1×1 map, only the middle of the kernel is not cut off by the padding
        net.linear.weight.copy_(first[..., 1:4, 1:4].reshape(32, 288).T)
        net.linear.bias.copy_(bias.repeat_interleave(9))
    z = torch.randn(5, 32)
    maps = conv_transpose2d(z[:, :, None, None], first, bias, stride=3, padding=1).clamp(min=0)
    inner = net.maps[0][0]
    maps = conv_transpose2d(maps, inner.weight, inner.bias, stride=3, padding=1).clamp(min=0)
    assert maps.shape == (5, 32, 9, 9)
    nearest = torch.arange(28) * 9 // 28
    last = net.output[1]
    # A transposed convolution of stride 1 is a convolution by the turned kernel.
    turned = last.weight.flip(2, 3).transpose(0, 1)
    published = conv_transpose2d(maps[..., nearest, :][..., nearest], turned, last.bias, padding=2)
    torch.testing.assert_close(net(z), published)


@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize(
    "shape", [(1, 7, 5), (1, 28, 28), (2, 5, 31), (3, 64, 64), (1, 105, 105), (3, 218, 178), (3, 178, 218)]
)
def test_every_pixel_of_any_image_counts(shape: tuple[int, int, int], stride: int) -> None:
    """Without activations the two networks are affine, and no pixel's column or row of the map is 0."""
    keys = {"channels": (4, 3, 2), "kernel_size": 5, "stride": stride, "features": None, "activation": "none"}
    encoder = shake(ConvolutionalEncoder(shape, **keys))
    x, y = torch.rand(2, 1, *shape, requires_grad=True)
    origin = encoder(torch.zeros(1, *shape))
    torch.testing.assert_close(
        encoder(0.3 * x - 2 * y) - origin, 0.3 * (encoder(x) - origin) - 2 * (encoder(y) - origin)
    )
    (slope,) = torch.autograd.grad((encoder(x) * torch.randn(encoder.feature_dim)).sum(), x)
    assert (slope != 0).all()
    small = min(shape[1:]) < 8  # not shrunk at stride 3: then there is nothing to resize
    upsample = "transposed" if small else "nearest"
    decoder = shake(ConvolutionalDecoder(3, shape, 2, **keys, upsample=upsample))
    z = torch.randn(2, 3)
    assert decoder(z).shape == (2, 2, *shape[1:])
    torch.testing.assert_close(
        decoder(z.sum(0, keepdim=True)) + decoder(torch.zeros(1, 3)), decoder(z).sum(0, keepdim=True)
    )
    assert (decoder(z)[0] != decoder(z)[1]).all()


def test_encoder_without_features_ends_at_its_map() -> None:
    net = shake(ConvolutionalEncoder((3, 16, 17), channels=(5,), features=None))
    layer = net.maps[0][0]
    x = torch.rand(2, 3, 16, 17)
    torch.testing.assert_close(net(x), conv2d(x, layer.weight, layer.bias, stride=2, padding=1).clamp(min=0).flatten(1))
    assert net.feature_dim == 5 * 8 * 8


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
    with pytest.raises(RecipeError, match=r"kernel_size must be at least 3, .*; got 2\n.*kernel_size: 5"):
        ConvolutionalEncoder((1, 8, 8), kernel_size=2, stride=3)
    with pytest.raises(RecipeError, match="stride must be 2 or 3; got 4"):
        ConvolutionalDecoder(3, (1, 8, 8), 1, stride=4)
    with pytest.raises(RecipeError, match=r"unknown upsample 'nearst'; known: transposed, nearest\n.*'nearest'"):
        ConvolutionalDecoder(3, (1, 8, 8), 1, upsample="nearst")
    with pytest.raises(
        RecipeError, match=r"upsample 'nearest' has no effect: images of 7×5 pixels are not shrunk\n.*transposed"
    ):
        ConvolutionalDecoder(3, (1, 7, 5), 1, kernel_size=5, stride=3, upsample="nearest")
