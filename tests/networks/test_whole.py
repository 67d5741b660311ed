"""Operations that stay whole in compiled code: values, gradients and layouts are those of PyTorch's own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import Tensor, library
from torch._dynamo.backends.common import aot_autograd
from torch._subclasses.fake_tensor import FakeTensorMode

from tightbound.networks.whole import (
    double_as_one,
    double_as_one_backward,
    doubled,
    flat,
    flatten_as_one,
    gathered,
    read_as_one,
    read_as_one_backward,
    read_at,
    with_flat_gradient,
)

Operation = Callable[..., Tensor]


def reading() -> tuple[Tensor, ...]:
    """Maps and places."""
    maps = torch.randn(3, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    return maps, torch.empty(3, 5, 4, 2, dtype=torch.float64).uniform_(-1.2, 1.2).requires_grad_()


def doubling() -> tuple[Tensor, ...]:
    """Maps."""
    return (torch.randn(3, 2, 5, 4, dtype=torch.float64, requires_grad=True),)


@pytest.mark.parametrize(
    ("whole", "plain", "subject"),
    [(read_as_one, read_at, reading), (double_as_one, doubled, doubling), (flatten_as_one, flat, doubling)],
)
def test_as_one_operation(whole: Operation, plain: Operation, subject: Callable[[], tuple[Tensor, ...]]) -> None:
    """What a compiled step calls on a processor: the value and all gradients, to the bit."""
    torch.manual_seed(0)
    inputs = subject()
    library.opcheck(whole, inputs)
    found, expected = whole(*inputs), plain(*inputs)
    assert torch.equal(found, expected)
    weights = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad(found, inputs, weights), torch.autograd.grad(expected, inputs, weights), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("size", [(5, 4), (1, 4), (5, 1), (2, 2)])
def test_gathered_pixels_are_what_pytorch_reads(size: tuple[int, int]) -> None:
    """Inside, on the border and beyond it; where pixels are exactly met, and where maps have one row."""
    torch.manual_seed(0)
    maps = torch.randn(3, 2, *size, dtype=torch.float64, requires_grad=True)
    places = torch.empty(3, 6, 7, 2, dtype=torch.float64).uniform_(-1.3, 1.3)
    places[:, 0] = torch.tensor([-1.0, 1.0], dtype=torch.float64)
    places.requires_grad_()
    found, expected = gathered(maps, places), read_at(maps, places)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-14)
    weights = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad(value, (maps, places), weights) for value in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def test_gathered_pixels_can_be_differentiated_twice() -> None:
    torch.manual_seed(0)
    maps = torch.randn(2, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    places = torch.empty(2, 3, 2, 2, dtype=torch.float64).uniform_(-0.9, 0.9).requires_grad_()
    assert torch.autograd.gradgradcheck(gathered, (maps, places))


def test_a_slope_has_a_gradient_where_pytorch_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Hamiltonian posteriors need it: the slope along places, and of it the gradient of the maps."""
    monkeypatch.setattr("tightbound.networks.whole._HAS_SECOND_DERIVATIVE", False)
    monkeypatch.setattr("tightbound.networks.whole.grid_sample", None)
    torch.manual_seed(0)
    maps = torch.randn(1, 1, 2, 3, dtype=torch.float64, requires_grad=True)
    place = torch.tensor([[[[0.3, 0.2]]]], dtype=torch.float64)
    slope = torch.func.grad(lambda point: read_at(maps, point).sum())(place)
    (found,) = torch.autograd.grad(slope[..., 0].sum(), maps)
    # Between columns 1 and 2, at 0.6 of the way down: d/dx is (right − left) for a half of the width, 1 pixel.
    expected = torch.tensor([[0.0, -0.4, 0.4], [0.0, -0.6, 0.6]], dtype=torch.float64)
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_compiler_is_told_how_the_results_lie_in_memory(layout: torch.memory_format) -> None:
    """A wrong word is seen in the code of the compiler only."""

    def results(maps: Tensor, places: Tensor, of_read: Tensor, of_doubled: Tensor) -> tuple[Tensor, ...]:
        read, both = read_as_one(maps, places), read_as_one_backward(of_read, maps, places)
        return read, *both, double_as_one(maps), double_as_one_backward(of_doubled), flatten_as_one(maps)

    maps = torch.randn(3, 4, 5, 6).contiguous(memory_format=layout)
    of_doubled = torch.randn(3, 4, 10, 12).contiguous(memory_format=layout)
    inputs = maps, torch.zeros(3, 5, 6, 2), torch.randn(3, 4, 5, 6), of_doubled
    with FakeTensorMode() as mode:
        told = results(*(mode.from_tensor(tensor) for tensor in inputs))
    assert [(t.shape, t.stride()) for t in told] == [(t.shape, t.stride()) for t in results(*inputs)]


@pytest.mark.parametrize(
    ("plain", "name", "dtype"),
    [
        (doubled, "tightbound.doubled.default", torch.float32),
        (doubled, "tightbound.doubled.default", torch.bfloat16),
        (flat, "tightbound.flat.default", torch.bfloat16),
        (read_at, "tightbound.read_at.default", torch.float64),
    ],
)
def test_compiled_code_calls_one_operation(plain: Operation, name: str, dtype: torch.dtype) -> None:
    """The graph that the compiler gets has the operation; the value and the gradients are those of eager mode."""
    torch.compiler.reset()
    called: list[str] = []

    def spy(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., object]:
        called.extend(str(node.target) for node in graph.graph.nodes)
        return graph.forward

    maps, *places = reading() if plain is read_at else doubling()
    maps = maps.detach().to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()
    found = torch.compile(plain, backend=spy, fullgraph=True)(maps, *places)
    assert name in called
    expected = plain(maps, *places)
    assert torch.equal(found, expected)
    weights = torch.randn_like(expected)
    for ours, theirs in zip(
        *(torch.autograd.grad(value, (maps, *places), weights) for value in (found, expected)), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_compiled_code_flattens_a_gradient_by_one_operation() -> None:
    """The backward graph that the compiler gets has the operation; the gradient is that of eager mode."""
    torch.compiler.reset()
    called: list[str] = []

    def spy(graph: torch.fx.GraphModule, _inputs: list[Tensor]) -> Callable[..., object]:
        called.extend(str(node.target) for node in graph.graph.nodes)
        return make_boxed_func(graph.forward)

    def maps_of(vectors: Tensor) -> Tensor:
        maps = vectors.unflatten(1, (2, 4, 3)).contiguous(memory_format=torch.channels_last)
        return with_flat_gradient(maps).square()

    vectors, weights = torch.randn(5, 24, requires_grad=True), torch.randn(5, 2, 4, 3)
    outputs = torch.compile(maps_of, backend=aot_autograd(fw_compiler=spy), fullgraph=True)(vectors), maps_of(vectors)
    assert "tightbound.flat.default" not in called
    ours, theirs = (torch.autograd.grad(output, vectors, weights) for output in outputs)
    assert "tightbound.flat.default" in called
    assert torch.equal(*outputs)
    assert torch.equal(*ours, *theirs)
