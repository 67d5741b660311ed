from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tightbound.errors import RecipeError
from tightbound.networks import MLPDecoder, MLPEncoder, SkipMLPDecoder, SkipMLPEncoder

from .subjects import shake


def elu(u: Tensor) -> Tensor:
    return torch.where(u > 0, u, u.exp() - 1)


def test_encoder_is_the_written_out_product() -> None:
    net = shake(MLPEncoder((2, 3, 4), hidden=(7, 5), activation="elu"))
    x = torch.rand(6, 2, 3, 4)
    (W1, b1), (W2, b2) = ((block[0].weight, block[0].bias) for block in net.layers)
    torch.testing.assert_close(net(x), elu(elu(x.reshape(6, 24) @ W1.T + b1) @ W2.T + b2))
    assert net.feature_dim == 5


def test_decoder_is_the_written_out_product() -> None:
    net = shake(MLPDecoder(3, (1, 4, 5), 2, hidden=(7,), activation="tanh"))
    z = torch.randn(6, 3)
    hidden = torch.tanh(z @ net.layers[0][0].weight.T + net.layers[0][0].bias)
    expected = hidden @ net.output.weight.T + net.output.bias
    torch.testing.assert_close(net(z), expected.reshape(6, 2, 4, 5))


def test_group_normalization_is_the_written_out_one() -> None:
    net = shake(MLPEncoder((1, 4, 4), hidden=(32,), activation="none", normalization="group"))
    layer, norm, _ = net.layers[0]
    x = torch.rand(3, 1, 4, 4)
    groups = (x.flatten(1) @ layer.weight.T).reshape(3, 2, 16)
    mean = groups.mean(-1, keepdim=True)
    variance = (groups - mean).square().mean(-1, keepdim=True)
    standardized = ((groups - mean) / (variance + 1e-5).sqrt()).reshape(3, 32)
    torch.testing.assert_close(net(x), standardized * norm.weight + norm.bias)


def test_encoder_without_hidden_layers_gives_the_pixels() -> None:
    x = torch.rand(4, 3, 2, 5)
    net = MLPEncoder((3, 2, 5), hidden=())
    assert net.feature_dim == 30
    assert torch.equal(net(x), x.reshape(4, 30))


@pytest.mark.parametrize("normalization", ["none", "weight"])
def test_affine_is_the_decoder(normalization: str) -> None:
    net = shake(MLPDecoder(3, (1, 4, 5), 2, hidden=(), normalization=normalization))
    weight, bias = net.affine()
    z = torch.randn(10, 3)
    torch.testing.assert_close(net(z).flatten(1), z @ weight.T + bias, rtol=0, atol=1e-12)


def test_other_networks_are_not_affine() -> None:
    assert MLPDecoder(3, (1, 4, 5), 2, hidden=(7,)).affine() is None
    assert SkipMLPDecoder(3, (1, 4, 5), 2, hidden=(7,)).affine() is None


def test_skip_encoder_is_the_written_out_product() -> None:
    net = shake(SkipMLPEncoder((1, 3, 4), hidden=(7, 6, 5)))
    x = torch.rand(6, 1, 3, 4)
    pixels = x.reshape(6, 12)
    h = elu(pixels @ net.layers[0][0].weight.T + net.layers[0][0].bias)
    for width, block in zip((7, 6), net.layers[1:], strict=True):
        W, b = block[0].weight, block[0].bias
        h = elu(h @ W[:, :width].T + pixels @ W[:, width:].T + b)
    torch.testing.assert_close(net(x), h)
    assert net.feature_dim == 5


def test_skip_decoder_is_the_written_out_product() -> None:
    net = shake(SkipMLPDecoder(3, (1, 3, 4), 2, hidden=(7, 6)))
    z = torch.randn(6, 3)
    (W1, b1), (W2, b2) = ((block[0].weight, block[0].bias) for block in net.layers)
    h = elu(elu(z @ W1.T + b1) @ W2[:, :7].T + z @ W2[:, 7:].T + b2)
    expected = h @ net.output.weight[:, :6].T + z @ net.output.weight[:, 6:].T + net.output.bias
    torch.testing.assert_close(net(z), expected.reshape(6, 2, 3, 4))


def test_refusals() -> None:
    with pytest.raises(RecipeError, match="hidden must be at least 1; got 0"):
        MLPEncoder((1, 4, 4), hidden=(4, 0))
    with pytest.raises(RecipeError, match="normalization 'weight' has no effect without hidden layers"):
        MLPEncoder((1, 4, 4), hidden=(), normalization="weight")
    with pytest.raises(RecipeError, match="normalization 'group' has no effect without hidden layers"):
        MLPDecoder(3, (1, 4, 4), 1, hidden=(), normalization="group")
    with pytest.raises(RecipeError, match=r"at least one hidden layer.*\n.*use kind: mlp"):
        SkipMLPEncoder((1, 4, 4), hidden=())
    with pytest.raises(RecipeError, match="hidden must be at least 1; got -2"):
        SkipMLPDecoder(3, (1, 4, 4), 1, hidden=(-2,))
