from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tightbound.errors import RecipeError
from tightbound.networks.layers import Style, num_groups


@pytest.mark.parametrize(
    ("width", "least", "groups"),
    [(512, 16, 8), (100, 16, 5), (50, 16, 2), (7, 16, 1), (64, 4, 8), (6, 4, 1), (12, 4, 3)],
)
def test_groups_divide_the_width(width: int, least: int, groups: int) -> None:
    assert num_groups(width, least) == groups


@pytest.mark.parametrize("layer", [nn.Linear(5, 4), nn.Conv2d(5, 4, 3), nn.ConvTranspose2d(5, 4, 3)])
def test_weight_normalization_is_per_output(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> None:
    """w = g v / |v|, one g and one norm per output."""
    layer = Style("relu", "weight").prepare(layer)
    g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    with torch.no_grad():
        g.copy_(torch.rand_like(g) + 0.5)
    out = 1 if isinstance(layer, nn.ConvTranspose2d) else 0
    assert g.numel() == 4
    others = [d for d in range(v.dim()) if d != out]
    torch.testing.assert_close(layer.weight, g * v / v.square().sum(others, keepdim=True).sqrt())


@pytest.mark.parametrize("activation", ["relu", "elu", "gelu", "silu", "tanh", "leaky_relu", "softplus", "none"])
def test_initial_weights_keep_the_variance(activation: str) -> None:
    """u ~ N(0, 1) -> activation -> layer has second moment 1, within 4 s.e. over the layer's 400 outputs."""
    style = Style(activation, "none")
    layer = style.prepare(nn.Linear(2000, 400))
    outputs = layer(style.activate()(torch.randn(50, 2000)))
    squares = outputs.square().mean(0)  # rows share the weights, outputs do not
    assert abs(squares.mean() - 1) < 4 * squares.std() / math.sqrt(400)


def test_initial_transposed_convolution_keeps_the_variance() -> None:
    """Every output of a stride-2 transposed convolution sums over a quarter of the kernel."""
    layer = Style("none", "none").prepare(nn.ConvTranspose2d(300, 20, 4, 2, 1))
    outputs = layer(torch.randn(10, 300, 8, 8))[..., 2:-2, 2:-2]
    assert outputs.square().mean().item() == pytest.approx(1.0, abs=0.1)


def test_relu_gain_is_the_square_root_of_two() -> None:
    """He et al. 2015: weights of variance 2 / fan-in; the largest of 10^6 uniform ones is at the bound."""
    weight = Style("relu", "none").prepare(nn.Linear(1000, 1000)).weight
    assert weight.abs().max().item() == pytest.approx(math.sqrt(2 * 3 / 1000), rel=1e-3)


@pytest.mark.parametrize(
    ("normalization", "bias"), [("none", True), ("weight", True), ("group", False), ("batch", False)]
)
def test_a_bias_is_not_doubled_by_a_normalization(normalization: str, bias: bool) -> None:
    linear, norm, _ = Style("elu", normalization).dense(4, 32)
    shifts = [p for p in (linear.bias, getattr(norm, "bias", None)) if p is not None]
    assert (linear.bias is not None) == bias
    assert len(shifts) == 1


def test_capabilities() -> None:
    assert Style("elu", "batch").capabilities == {"batch_dependent"}
    assert not Style("elu", "group").capabilities


def test_refusals() -> None:
    with pytest.raises(RecipeError, match=r"unknown activation 'rellu'; known: relu, .*\n.*did you mean 'relu'"):
        Style("rellu", "none")
    with pytest.raises(RecipeError, match="unknown normalization 'layer'; known: none, weight, group, batch"):
        Style("relu", "layer")
    with pytest.raises(RecipeError, match="needs layers of at least 2 features; a layer has 1"):
        Style("relu", "group").normalize_features(1)
    with pytest.raises(RecipeError, match="needs maps of at least 2 channels; one has 1"):
        Style("relu", "group").normalize_maps(1)
