"""Reading of maps between their pixels, and of all at once, as one operation when a step is compiled for a processor.

PyTorch's compiler takes these operations apart. What it makes of the first adds the gradients of pixels one by one,
atomically: on a processor that is up to thirty times as slow as PyTorch's own code. Of flat maps it makes vectors that
collect one number after the other from all over the maps, wherever one of them is read.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, library
from torch._prims_common import suggest_memory_format
from torch.nn.functional import grid_sample, interpolate


def read_at(maps: Float[Tensor, "N P H W"], places: Float[Tensor, "N h w 2"]) -> Float[Tensor, "N P h w"]:
    """Maps at (x, y), from −1 to 1 between the centers of the outermost pixels: bilinear, the border's value beyond."""
    if in_compiled_code(maps):
        return read_as_one(maps, places)
    if torch._C._are_functorch_transforms_active() and not _HAS_SECOND_DERIVATIVE:
        return gathered(maps, places)
    return _read_at(maps, places)


def doubled(maps: Float[Tensor, "N P H W"]) -> Float[Tensor, "N P 2H 2W"]:
    """Maps of twice the size: bilinear, each pixel as four that share its area."""
    return double_as_one(maps) if in_compiled_code(maps) else _doubled(maps)


def flat(maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N E"]:
    """Maps as vectors, channel after channel."""
    return flatten_as_one(maps) if in_compiled_code(maps) else maps.flatten(1)


def with_flat_gradient(maps: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
    """The maps themselves; their gradient, which goes on to flat latents, is flattened as one operation."""
    return _WithFlatGradient.apply(maps) if in_compiled_code(maps) else maps


def in_compiled_code(maps: Tensor) -> bool:
    """Whether what is done to the maps is being compiled for a processor, outside torch.func's transforms."""
    # One operation has no gradient inside torch.func.grad, where Hamiltonian posteriors call a decoder.
    transformed = torch._C._are_functorch_transforms_active()
    return torch.compiler.is_compiling() and maps.device.type == "cpu" and not transformed


def _read_at(maps: Tensor, places: Tensor) -> Tensor:
    return grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=True)


def gathered(maps: Float[Tensor, "N P H W"], places: Float[Tensor, "N h w 2"]) -> Float[Tensor, "N P h w"]:
    """``read_at`` as sums and products of the four pixels around each place, which has derivatives of every order."""
    height, width = maps.shape[-2:]
    (left, right, x), (top, bottom, y) = _between(places[..., 0], width), _between(places[..., 1], height)
    flat = maps.flatten(2)

    def pixels(row: Tensor, column: Tensor) -> Tensor:
        index = (row * width + column).flatten(1).unsqueeze(1).expand(-1, flat.shape[1], -1)
        return flat.gather(2, index).unflatten(2, row.shape[1:])

    x, y = x.unsqueeze(1), y.unsqueeze(1)
    above = (1 - x) * pixels(top, left) + x * pixels(top, right)
    below = (1 - x) * pixels(bottom, left) + x * pixels(bottom, right)
    return (1 - y) * above + y * below


def _between(place: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels before and after a place along an axis, and the part of the way from one to the other."""
    end = size - 1
    position = (place + 1) / 2 * end
    # On the border and beyond, a place has no derivative, as in PyTorch.
    inside = (position > 0) & (position < end)
    position = torch.where(inside, position, position.detach().clamp(0, end))
    before = position.detach().floor().clamp(max=max(end - 1, 0))
    return before.long(), (before + 1).clamp(max=end).long(), position - before


def _has_second_derivative() -> bool:
    """Whether this PyTorch can differentiate its sampler twice; until 2026 none could."""
    maps, places = (torch.zeros(1, 1, 2, 2, requires_grad=True, device="cpu") for _ in range(2))
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(_read_at(maps, places).sum(), places, create_graph=True)
        try:
            torch.autograd.grad(slope.sum(), maps)
        except RuntimeError:
            return False
    return True


def _doubled(maps: Tensor) -> Tensor:
    return interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


_HAS_SECOND_DERIVATIVE = _has_second_derivative()


@library.custom_op("tightbound::read_at", mutates_args=())
def read_as_one(maps: Tensor, places: Tensor) -> Tensor:
    """``_read_at`` as one operation."""
    return _read_at(maps, places)


@library.custom_op("tightbound::read_at_backward", mutates_args=())
def read_as_one_backward(gradient: Tensor, maps: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of ``read_as_one``, likewise."""
    bilinear, border, align_corners = 0, 1, True
    return torch.ops.aten.grid_sampler_2d_backward(
        gradient, maps, places, bilinear, border, align_corners, [True, True]
    )


@read_as_one.register_fake
def _(maps: Tensor, places: Tensor) -> Tensor:
    return maps.new_empty((*maps.shape[:2], *places.shape[1:3]))


@read_as_one_backward.register_fake
def _(_gradient: Tensor, maps: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    # Contiguous, whatever the maps are.
    return maps.new_empty(maps.shape), places.new_empty(places.shape)


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _read_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
    return read_as_one_backward(gradient, *ctx.saved_tensors)


read_as_one.register_autograd(_read_gradients, setup_context=_keep)


@library.custom_op("tightbound::doubled", mutates_args=())
def double_as_one(maps: Tensor) -> Tensor:
    """``_doubled`` as one operation."""
    return _doubled(maps)


@library.custom_op("tightbound::doubled_backward", mutates_args=())
def double_as_one_backward(gradient: Tensor) -> Tensor:
    """The gradient of ``double_as_one``, likewise."""
    rows, channels, height, width = gradient.shape
    halved = [rows, channels, height // 2, width // 2]
    return torch.ops.aten.upsample_bilinear2d_backward(gradient, [height, width], halved, False, 2.0, 2.0)


@double_as_one.register_fake
def _(maps: Tensor) -> Tensor:
    return _doubled(maps)


@double_as_one_backward.register_fake
def _(gradient: Tensor) -> Tensor:
    halved = gradient.new_empty((*gradient.shape[:2], gradient.shape[2] // 2, gradient.shape[3] // 2))
    return halved.to(memory_format=suggest_memory_format(gradient))


def _doubled_gradient(_ctx: Any, gradient: Tensor) -> Tensor:
    return double_as_one_backward(gradient)


double_as_one.register_autograd(_doubled_gradient)


@library.custom_op("tightbound::flat", mutates_args=())
def flatten_as_one(maps: Tensor) -> Tensor:
    """``maps.flatten(1)`` as one operation, always a copy."""
    return maps.clone(memory_format=torch.contiguous_format).flatten(1)


@flatten_as_one.register_fake
def _(maps: Tensor) -> Tensor:
    return maps.new_empty((len(maps), maps.shape[1:].numel()))


def _keep_shape(ctx: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    ctx.shape = inputs[0].shape


def _unflattened(ctx: Any, gradient: Tensor) -> Tensor:
    return gradient.reshape(ctx.shape)


flatten_as_one.register_autograd(_unflattened, setup_context=_keep_shape)


class _WithFlatGradient(torch.autograd.Function):
    """``with_flat_gradient`` in compiled code."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor) -> Tensor:
        """The maps."""
        return maps.view_as(maps)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Tensor:
        """The gradient, contiguous."""
        (gradient,) = grad_outputs
        return flatten_as_one(gradient).reshape(gradient.shape)
