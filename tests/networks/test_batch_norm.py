"""Batch normalization of maps in compiled code, and its two numbers as a recipe states them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.batch_norm import MapBatchNorm
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

TENSORFLOW = {"batch_norm_momentum": 0.001, "batch_norm_eps": 1e-3}


def model_of(**options: object) -> torch.nn.Module:
    network = {"kind": "mlp", "hidden": [5]}
    sections = {"latent_dim": 2, "encoder": network, "decoder": network, "likelihood": "bernoulli", **options}
    return build(
        load_recipe({"name": "batch norm", "model": sections}), DataFacts((1, 3, 4), "binary", 1)
    ).model.double()


@pytest.mark.parametrize(("numbers", "momentum", "eps"), [({}, 0.1, 1e-5), (TENSORFLOW, 0.001, 1e-3)])
def test_running_statistics_and_outputs_are_the_written_out_ones(
    numbers: dict[str, float], momentum: float, eps: float
) -> None:
    """Of the encoder's layer and of the posterior's head, which are in different parts of the model."""
    encoder = {"kind": "mlp", "hidden": [5], "activation": "none", "normalization": "batch"}
    model = model_of(encoder=encoder, posterior={"kind": "diagonal", "normalization": "batch"}, **numbers)
    x = torch.rand(7, 1, 3, 4)
    linear, norm, _ = model.encoder.layers[0]
    y = x.flatten(1) @ linear.weight.T
    features = (y - y.mean(0)) / (y.var(0, correction=0) + eps).sqrt()
    outputs = features @ model.posterior.moments.weight.T
    expected = (outputs - outputs.mean(0)) / (outputs.var(0, correction=0) + eps).sqrt()
    torch.testing.assert_close(model.posterior.moments(model.encoder(x)), expected)
    torch.testing.assert_close(norm.running_mean, momentum * y.mean(0))
    torch.testing.assert_close(norm.running_var, (1 - momentum) + momentum * y.var(0))
    torch.testing.assert_close(model.posterior.moments.normalization.running_mean, momentum * outputs.mean(0))


def test_numbers_without_a_batch_normalization_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"batch_norm_momentum=0.001 and model.batch_norm_eps=0.001 have no effect: no layer"
    ):
        model_of(**TENSORFLOW)


def pair(channels: int, dtype: torch.dtype, **options: object) -> tuple[nn.BatchNorm2d, MapBatchNorm]:
    """PyTorch's layer and ours, of the same weights, neither 1 nor 0."""
    theirs, ours = (kind(channels, **options).to(dtype) for kind in (nn.BatchNorm2d, MapBatchNorm))
    for parameter in theirs.parameters():
        nn.init.normal_(parameter)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def compiled(layer: nn.Module) -> tuple[Callable[[Tensor], Tensor], list[str]]:
    """The layer as the compiler takes it apart, and the operations of its graph once it is called."""
    torch.compiler.reset()
    called: list[str] = []

    def spy(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., object]:
        called.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    return torch.compile(layer, backend=spy, fullgraph=True), called


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("shape", [(5, 3, 4, 6), (7, 2, 1, 1), (1, 2, 3, 3)])
def test_compiled_maps_are_normalized_as_by_pytorch(shape: tuple[int, ...], affine: bool) -> None:
    """Outputs, gradients and running statistics over two steps, of maps far from 0, and outputs afterwards."""
    torch.manual_seed(0)
    theirs, ours = pair(shape[1], torch.float64, affine=affine, momentum=0.3, eps=1e-3)
    layer, called = compiled(ours)
    for _ in range(2):
        maps = (50 + torch.randn(shape)).contiguous(memory_format=torch.channels_last).requires_grad_()
        outputs, weights = (layer(maps), theirs(maps)), torch.randn(shape)
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-10)
        gradients = (
            torch.autograd.grad(output, [maps, *norm.parameters()], weights)
            for output, norm in zip(outputs, (ours, theirs), strict=True)
        )
        for found, expected in zip(*gradients, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        for name, buffer in ours.named_buffers():
            torch.testing.assert_close(buffer, theirs.get_buffer(name), rtol=1e-13, atol=0)
    assert not any("batch_norm" in name for name in called)  # the sums are ours
    ours.eval(), theirs.eval()
    torch.testing.assert_close(layer(maps), theirs(maps), rtol=0, atol=1e-12)


def test_compiled_maps_of_few_bits_have_exact_moments() -> None:
    """Outputs and gradients are rounded once, to 8 bits, where a mean of that many bits would shift every pixel."""
    torch.manual_seed(0)
    exact, ours = pair(4, torch.float32)
    exact.double()
    layer, _ = compiled(ours)
    maps, weights = (3 + 0.5 * torch.randn(6, 4, 5, 5)).bfloat16().requires_grad_(), torch.randn(6, 4, 5, 5).bfloat16()
    output = layer(maps)
    assert output.dtype == torch.bfloat16
    found = torch.autograd.grad(output, [maps, *ours.parameters()], weights)
    precise = maps.detach().double().requires_grad_()
    truth = exact(precise)
    expected = torch.autograd.grad(truth, [precise, *exact.parameters()], weights.double())
    for value, true in zip((output, found[0]), (truth, expected[0]), strict=True):
        torch.testing.assert_close(value.double(), true, rtol=2**-8, atol=1e-5)
    for value, true in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(value.double(), true, rtol=1e-5, atol=1e-5)


def test_a_single_value_has_no_variance_compiled_or_not() -> None:
    maps = torch.ones(1, 2, 1, 1)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        MapBatchNorm(2)(maps)
    with pytest.raises(torch._dynamo.exc.TorchRuntimeError, match="more than 1 value per channel"):
        compiled(MapBatchNorm(2))[0](maps)


@pytest.mark.parametrize(("channels", "shape"), [(4, (3, 1, 2, 2)), (1, (3, 4, 2, 2)), (3, (3, 2, 2))])
def test_compiled_maps_of_other_channels_are_refused(channels: int, shape: tuple[int, ...]) -> None:
    for layer in (MapBatchNorm(channels), compiled(MapBatchNorm(channels))[0]):
        with pytest.raises((RuntimeError, ValueError), match=r"should contain|expected 4D"):
            layer(torch.ones(shape))


@pytest.mark.parametrize("options", [{"momentum": None}, {"track_running_stats": False}])
def test_what_is_not_summed_image_by_image_is_left_to_pytorch(options: dict[str, object]) -> None:
    torch.manual_seed(0)
    theirs, ours = pair(2, torch.float64, **options)
    for _ in range(2):
        maps = torch.randn(3, 2, 2, 2)
        torch.testing.assert_close(torch.compile(ours, backend="eager")(maps), theirs(maps))
    for name, buffer in ours.named_buffers():
        torch.testing.assert_close(buffer, theirs.get_buffer(name))
