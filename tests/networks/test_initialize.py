"""Data-dependent initialization: what every affine layer returns on the batch that it was initialized by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tightbound.core import Model
from tightbound.networks.affine import affine_layers, output_axis, scale_outputs
from tightbound.networks.head import Head
from tightbound.networks.initialize import initialize_from_data
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

SHAPE = (1, 9, 8)
MODELS: dict[str, dict[str, Any]] = {
    "mlp": {"kind": "mlp", "hidden": [12, 9]},
    "mlp, weight": {"kind": "mlp", "hidden": [12, 9], "normalization": "weight"},
    "skip_mlp, weight": {"kind": "skip_mlp", "hidden": [12, 9], "normalization": "weight"},
    "transposed": {"kind": "convolutional", "channels": [6, 4], "normalization": "weight"},
    "residual, weight": {"kind": "residual", "channels": 4},
    "gated": {"kind": "gated", "channels": [4, 6], "normalization": "weight"},
}


def model_of(network: dict[str, Any], **options: Any) -> Model:
    sections = {"latent_dim": 3, "encoder": network, "decoder": network, "likelihood": "bernoulli", **options}
    recipe = load_recipe({"name": "initialized", "model": sections})
    return build(recipe, DataFacts(SHAPE, "binary", 1)).model.double()


def batch(model: Model, images: int = 16, samples: int = 2) -> tuple[Tensor, Tensor]:
    x = torch.rand(images, *SHAPE).round()
    return x, torch.randn(samples, images, model.noise_size)


def outputs_of(model: Model, draw: Callable[[], object]) -> list[tuple[nn.Module, Tensor]]:
    """What each affine layer returned at its first call, (rows, channels)."""
    seen: dict[nn.Module, Tensor] = {}

    def keep(layer: Any, _inputs: Any, output: Tensor) -> None:
        values = output.detach().clone()  # the activation after it may work in place
        seen.setdefault(layer, values.movedim(output_axis(layer), -1).flatten(0, -2))

    handles = [layer.register_forward_hook(keep) for layer in affine_layers(model)]
    draw()
    for handle in handles:
        handle.remove()
    return list(seen.items())


@pytest.mark.parametrize("start", ["identity", "random"])
def test_a_warp_starts_as_it_was_told(start: str) -> None:
    decoder = {"kind": "spatial_transformer", "warp": "translation", "start": start, "decoder": MODELS["mlp"]}
    model = model_of(MODELS["mlp"], decoder=decoder)
    to_warp, inner = model.decoder.to_warp, model.decoder.decoder
    before = [parameter.clone() for parameter in (*to_warp.parameters(), *inner.parameters())]
    initialize_from_data(model, *batch(model))
    same = [torch.equal(*pair) for pair in zip((*to_warp.parameters(), *inner.parameters()), before, strict=True)]
    assert all(same[:2])
    assert not any(same[2:])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("head", ["none", "weight"])
def test_every_affine_output_has_mean_zero_and_the_target_standard_deviation(name: str, head: str) -> None:
    model = model_of(MODELS[name], posterior={"kind": "diagonal", "normalization": head})
    x, noise = batch(model)
    initialize_from_data(model, x, noise)
    outputs = outputs_of(model, lambda: model.draw(x, 2, noise=noise))
    assert len(outputs) == len(affine_layers(model)) > 4
    for _, y in outputs:
        torch.testing.assert_close(y.mean(0), torch.zeros(y.shape[1]), rtol=0, atol=1e-10)
        torch.testing.assert_close(y.std(0), torch.full((y.shape[1],), 0.1), rtol=1e-10, atol=0)


@pytest.mark.parametrize("normalization", ["none", "weight"])
@pytest.mark.parametrize("make", [nn.Linear, nn.Conv2d, nn.ConvTranspose2d])
def test_only_the_scale_of_the_weights_changes(make: type[nn.Module], normalization: str) -> None:
    """Each output's weights keep their direction, times the given factor; under weight normalization v stays."""
    layer = make(3, 5) if make is nn.Linear else make(3, 5, 4)
    before = layer.weight.detach().clone()
    if normalization == "weight":
        nn.utils.parametrizations.weight_norm(layer, dim=1 if make is nn.ConvTranspose2d else 0)
    scale = torch.rand(5) + 0.5
    scale_outputs(layer, scale)
    factors = (layer.weight / before).movedim(1 if make is nn.ConvTranspose2d else 0, -1)
    torch.testing.assert_close(factors, scale.expand_as(factors))
    if normalization == "weight":
        assert torch.equal(layer.parametrizations.weight.original1, before)


def test_a_transposed_convolution_in_groups_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a transposed convolution of one group; got groups = 2"):
        scale_outputs(nn.ConvTranspose2d(4, 4, 3, groups=2), torch.ones(4))


@pytest.mark.parametrize("normalization", ["group", "batch"])
def test_a_layer_before_a_normalization_is_scaled_only_and_statistics_stay(normalization: str) -> None:
    network = {"kind": "convolutional", "channels": [6, 8], "features": 32, "normalization": normalization}
    model = model_of(network)
    x, noise = batch(model)
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    initialize_from_data(model.eval(), x, noise)
    assert not model.training
    assert all(torch.equal(value, buffers[name]) for name, value in model.named_buffers())
    for layer, y in outputs_of(model.train(), lambda: model.draw(x, 2, noise=noise)):
        torch.testing.assert_close(y.std(0), torch.full((y.shape[1],), 0.1), rtol=1e-10, atol=0)
        assert (y.mean(0).abs().max() < 1e-10) == (layer.bias is not None)


class _Toy(nn.Module):
    """A stand-in for a model: layers in a chain, the last called twice, and one that sees nothing."""

    capabilities: frozenset[str] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Linear(4, 5), nn.Linear(5, 5)
        self.masked, self.vector = nn.Linear(5, 3), Head(0, 3)
        self.zero = Head(5, 2, zero=True)
        with torch.no_grad():
            self.masked.weight[1] = 0
            self.vector.bias += torch.tensor([1.0, -2.0, 3.0])

    def draw(self, x: Tensor, num_samples: int, *, noise: Tensor) -> tuple[Tensor, ...]:
        twice = self.again(self.again(self.first(x)))
        return twice, self.masked(twice), self.vector(x), self.zero(twice)


def test_constant_channels_are_left_alone_and_a_second_call_changes_nothing() -> None:
    model, x = _Toy(), torch.randn(32, 4)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    initialize_from_data(model, x, torch.zeros(1, 32, 0))  # pyright: ignore[reportArgumentType]
    for name in ("vector.bias", "zero.weight", "zero.bias"):
        assert torch.equal(model.get_parameter(name), before[name])
    assert model.masked.bias[1] == before["masked.bias"][1]
    first = model.first(x)
    once = model.again(first)
    torch.testing.assert_close(once.std(0), torch.full((5,), 0.1))
    assert not torch.allclose(model.again(once).std(0), torch.full((5,), 0.1), rtol=0.1)
    outputs = model.masked(model.again(once))
    torch.testing.assert_close(outputs.std(0), torch.tensor([0.1, 0.0, 0.1]), rtol=1e-9, atol=1e-15)


def test_others_are_left_alone_where_only_weight_normalized_ones_are_asked_for() -> None:
    model, plain = model_of(MODELS["mlp, weight"]), model_of(MODELS["mlp"])
    for subject in (model, plain):
        before = {name: value.detach().clone() for name, value in subject.named_parameters()}
        x, noise = batch(subject)
        initialize_from_data(subject, x, noise, only_weight_normalized=True)
        changed = {name for name, value in subject.named_parameters() if not torch.equal(value, before[name])}
        normalized = {name.split("parametrizations")[0] for name in before if name.endswith("original0")}
        assert changed == {
            name for base in normalized for name in (base + "bias", base + "parametrizations.weight.original0")
        }
        for layer, y in outputs_of(subject, lambda: subject.draw(x, 2, noise=noise)):  # noqa: B023
            done = hasattr(layer, "parametrizations")
            assert torch.allclose(y.std(0), torch.full((y.shape[1],), 0.1), rtol=1e-10, atol=0) == done


def test_a_bias_that_is_meant_is_the_mean() -> None:
    """A layer that must not start at zero, as some flows have, starts where its bias says."""
    model, x = _Toy(), torch.randn(32, 4)
    bias = model.first.bias.detach().clone()
    initialize_from_data(model, x, torch.zeros(1, 32, 0))  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(model.first(x).mean(0), bias, rtol=0, atol=1e-12)


def test_a_single_row_says_nothing_of_a_spread() -> None:
    model = model_of(MODELS["mlp"])
    before = model.encoder.layers[0][0].weight.detach().clone()
    initialize_from_data(model, *batch(model, images=1, samples=1))
    assert torch.equal(model.encoder.layers[0][0].weight, before)


def test_works_under_autocast_and_in_channels_last() -> None:
    """bf16 has 8 bits: standard deviations within 2 % of the target, means within 2 % of it of zero."""
    torch.set_default_dtype(torch.float32)
    model = model_of(MODELS["residual, weight"]).float().to(memory_format=torch.channels_last)
    assert isinstance(model, Model)
    model.encoder.autocast_dtype = model.decoder.autocast_dtype = torch.bfloat16
    x, noise = batch(model, images=32)
    initialize_from_data(model, x, noise)
    assert any(p.is_contiguous(memory_format=torch.channels_last) for p in model.parameters() if p.dim() == 4)
    for _, y in outputs_of(model, lambda: model.draw(x, 2, noise=noise)):
        y = y.double()
        torch.testing.assert_close(y.std(0), torch.full((y.shape[1],), 0.1, dtype=torch.double), rtol=0.02, atol=0)
        assert y.mean(0).abs().max() < 0.002


def test_what_is_drawn_is_what_the_changed_layers_draw() -> None:
    """The outputs that the hooks put in place are those of the new weights: the draw inside is the draw after."""
    model = model_of(MODELS["residual, weight"])
    x, noise = batch(model)
    inside: list[Any] = []
    draw = model.draw
    model.draw = lambda *args, **options: inside.append(draw(*args, **options))  # pyright: ignore
    initialize_from_data(model, x, noise)
    torch.testing.assert_close(inside[0].log_weight, draw(x, 2, noise=noise).log_weight, rtol=1e-12, atol=0)
