"""Reading of maps between their pixels, which stays one operation when a step is compiled for a processor.

PyTorch's compiler takes these operations apart. What it makes of them adds the gradients of pixels one by one,
atomically: on a processor that is up to thirty times as slow as PyTorch's own code.
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
    return read_as_one(maps, places) if _in_compiled_code(maps) else _read_at(maps, places)


def doubled(maps: Float[Tensor, "N P H W"]) -> Float[Tensor, "N P 2H 2W"]:
    """Maps of twice the size: bilinear, each pixel as four that share its area."""
    return double_as_one(maps) if _in_compiled_code(maps) else _doubled(maps)


def _in_compiled_code(maps: Tensor) -> bool:
    # One operation has no gradient inside torch.func.grad, where Hamiltonian posteriors call a decoder.
    transformed = torch._C._are_functorch_transforms_active()
    return torch.compiler.is_compiling() and maps.device.type == "cpu" and not transformed


def _read_at(maps: Tensor, places: Tensor) -> Tensor:
    return grid_sample(maps, places, mode="bilinear", padding_mode="border", align_corners=True)


def _doubled(maps: Tensor) -> Tensor:
    return interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)


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
