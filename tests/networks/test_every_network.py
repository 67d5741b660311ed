"""Laws that every encoder and decoder keeps, whatever its kind and normalization."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tightbound.networks.blocks import BlockStyle
from tightbound.networks.ladder import BottomUp, Output
from tightbound.networks.layers import Activation, Style
from tightbound.numerics import gradient
from tightbound.registry import kinds

from .subjects import KINDS, LATENT_DIM, NORMALIZATIONS, decoder, encoder, pair, shake

SHAPES = [(8, 8), (28, 28), (32, 32), (7, 11), (17, 33), (64, 64), (218, 178), (178, 218)]
every_kind = pytest.mark.parametrize("kind", KINDS)
every_normalization = pytest.mark.parametrize("normalization", NORMALIZATIONS)


def test_every_kind_is_here() -> None:
    known = {kind.split(",")[0] for kind in KINDS}
    assert set(kinds("encoder")) >= known
    assert set(kinds("decoder")) >= known


@every_kind
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", SHAPES)
def test_any_image_shape(kind: str, size: tuple[int, int], channels: int) -> None:
    """Exactly (P, H, W) comes back and every value of it depends on z; every pixel reaches the features."""
    decoded = decoder(kind, (channels, *size), channels, activation="tanh")(torch.randn(2, LATENT_DIM))
    assert decoded.shape == (2, channels, *size)
    assert (decoded[0] != decoded[1]).all()
    net = encoder(kind, (channels, *size), activation="tanh")
    x = torch.rand(1, channels, *size, requires_grad=True)
    features = net(x)
    assert features.shape == (1, net.feature_dim)
    (slope,) = torch.autograd.grad((features * torch.randn_like(features)).sum(), x)
    assert (slope != 0).all()


@every_kind
@every_normalization
def test_images_are_independent_in_eval_mode(kind: str, normalization: str) -> None:
    for net, inputs in pair(kind, normalization=normalization):
        shake(net).eval()
        others = torch.cat((inputs[:1], torch.randn_like(inputs[1:])))
        torch.testing.assert_close(net(others)[0], net(inputs)[0], rtol=0, atol=1e-12)


@every_kind
@every_normalization
def test_only_batch_normalization_mixes_images_and_says_so(kind: str, normalization: str) -> None:
    for net, inputs in pair(kind, normalization=normalization):
        shake(net).train()
        others = torch.cat((inputs[:1], torch.randn_like(inputs[1:])))
        mixes = not torch.allclose(net(others)[0], net(inputs)[0], rtol=0, atol=1e-9)
        assert mixes == (normalization == "batch") == ("batch_dependent" in net.capabilities)


@every_kind
def test_scaling_v_changes_nothing_under_weight_normalization(kind: str) -> None:
    for net, inputs in pair(kind, normalization="weight"):
        before = net(inputs)
        scaled = 0
        with torch.no_grad():
            for name, parameter in net.named_parameters():
                if name.endswith("original1"):
                    parameter *= 3.7
                    scaled += 1
        layers = [m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)]
        assert scaled == len(layers)
        torch.testing.assert_close(net(inputs), before)


@every_kind
@every_normalization
def test_gradients_reach_every_parameter(kind: str, normalization: str) -> None:
    for net, inputs in pair(kind, normalization=normalization, activation="silu"):
        outputs = shake(net)(inputs)
        (outputs * torch.randn_like(outputs)).sum().backward()
        idle = [name for name, p in net.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-9]
        assert idle == []


@every_kind
@every_normalization
def test_save_and_load(kind: str, normalization: str, tmp_path: Path) -> None:
    originals, blanks = pair(kind, normalization=normalization), pair(kind, normalization=normalization)
    for (net, inputs), (blank, _) in zip(originals, blanks, strict=True):
        shake(net)(inputs)  # a batch normalization has seen data
        save_file(net.state_dict(), tmp_path / "net.safetensors")
        blank.load_state_dict(load_file(tmp_path / "net.safetensors"))
        assert torch.equal(blank.eval()(inputs), net.eval()(inputs))


@every_kind
def test_a_copy_shares_nothing(kind: str) -> None:
    for net, inputs in pair(kind, normalization="weight"):
        twin = copy.deepcopy(net)
        before = twin(inputs)
        assert torch.equal(before, net(inputs))
        shake(net)
        assert torch.equal(before, twin(inputs))


@every_kind
@every_normalization
def test_autocast(kind: str, normalization: str) -> None:
    """The body runs in bf16 (unit roundoff 2^-9); the result is float32 within 2 % of the float32 result in norm."""
    torch.set_default_dtype(torch.float32)
    for net, inputs in pair(kind, normalization=normalization):
        _check_autocast(net, inputs)


def test_autocast_of_a_ladders_networks() -> None:
    """They begin with a normalization, or with an enlargement: no convolution brings what they are given to bf16."""
    torch.set_default_dtype(torch.float32)
    style, maps = BlockStyle(Style("elu", "batch"), 8), torch.randn(5, 8, 4, 6)
    _check_autocast(BottomUp(style, 2, 0), maps)
    _check_autocast(Output(style, 2, 3, upscale=True), maps)


def _check_autocast(net: nn.Module, inputs: Tensor) -> None:
    """No layer makes float32 maps: those after it would go on with them, to the next convolution."""
    seen: dict[str, torch.dtype] = {}

    def look(name: str, layer: nn.Module) -> None:
        def note(_layer: nn.Module, _inputs: object, output: Tensor) -> None:
            if (output.dim() == 4 and "parametrizations" not in name) or isinstance(layer, nn.Linear):
                seen[name] = output.dtype

        layer.register_forward_hook(note)

    net.eval()
    with torch.no_grad():
        expected = net(inputs)
        for name, layer in net.named_modules():
            if all(part == "parametrizations" for part, _ in layer.named_children()):
                look(name, layer)
        net.autocast_dtype = torch.bfloat16
        outputs = net(inputs)
    assert outputs.dtype == torch.float32
    error = (outputs - expected).norm() / expected.norm()
    assert 0 < error < 0.02
    assert {name: dtype for name, dtype in seen.items() if dtype != torch.bfloat16} == {}
    assert seen


@pytest.mark.parametrize("kind", ["convolutional", "convolutional, stride 3", "residual", "gated"])
@every_normalization
def test_channels_last_gives_the_same_numbers(kind: str, normalization: str) -> None:
    for net, inputs in pair(kind, normalization=normalization):
        net.eval()
        expected = net(inputs)
        maps: list[Tensor] = []
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                module.register_forward_hook(lambda _module, _inputs, output, maps=maps: maps.append(output))
        net.to(memory_format=torch.channels_last)
        outputs = net(inputs)
        torch.testing.assert_close(outputs, expected, rtol=1e-12, atol=1e-12)
        assert outputs.is_contiguous()
        assert all(m.is_contiguous(memory_format=torch.channels_last) for m in maps)


@every_kind
@pytest.mark.parametrize("normalization", ["none", "weight", "group"])
@pytest.mark.parametrize("activation", ["tanh", "elu"])
def test_gradient_with_respect_to_z(kind: str, normalization: str, activation: Activation) -> None:
    """numerics.gradient through the decoder is autograd's gradient, and trains the weights to second order."""
    net = shake(decoder(kind, (1, 8, 9), normalization=normalization, activation=activation))
    z = torch.randn(4, LATENT_DIM, requires_grad=True)

    def energy(point: Tensor) -> Tensor:
        return net(point).square().flatten(1).sum(1)

    value, slope = gradient(energy, z)
    (expected,) = torch.autograd.grad(energy(z).sum(), z, create_graph=True)
    torch.testing.assert_close(value, energy(z))
    torch.testing.assert_close(slope, expected)
    with torch.no_grad():
        torch.testing.assert_close(gradient(energy, z)[1], expected.detach())

    weights = tuple(net.parameters())
    ours = torch.autograd.grad(slope.square().sum(), weights, allow_unused=True)
    theirs = torch.autograd.grad(expected.square().sum(), weights, allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        if b is not None:
            torch.testing.assert_close(a, b)


@every_kind
def test_one_graph_when_compiled(kind: str) -> None:
    """Traced without a break, weight normalization and memory format included; the numbers are eager's."""
    torch.compiler.reset()  # the limit of recompilations is for all networks together: they share one forward
    for net, inputs in pair(kind, normalization="weight"):
        net.to(memory_format=torch.channels_last)
        compiled = torch.compile(net, backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(inputs), net(inputs))
