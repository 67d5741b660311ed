"""Device, precision and memory layout: what ``auto`` becomes, and how a model is put there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tightbound.errors import RecipeError

_FAST_BF16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


def resolve_device(name: str) -> str:
    """``auto`` as the first of cuda, mps, cpu that is there; a device that is asked for and missing is refused.

    Raises:
        RecipeError: no such device on this machine.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, available in there.items() if available)
    if not there[name]:
        raise RecipeError(f"device {name} is not available on this machine", hint="use --device auto or cpu")
    return name


def resolve_precision(name: str, device: str) -> str:
    """``auto`` as bf16 where the processor has fast bf16, else float32.

    Raises:
        RecipeError: float64 on a device that has none.
    """
    if name == "float64" and device == "mps":
        raise RecipeError("precision float64 is not available on mps", hint="use precision: float32")
    if name != "auto":
        return name
    return "bf16" if has_fast_bf16(device) else "float32"


def has_fast_bf16(device: str) -> bool:
    """Whether bf16 products are native: GPUs that say so, processors with AVX512-BF16 or AMX."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and not _FAST_BF16_FLAGS.isdisjoint(_processor_flags())


def _processor_flags() -> frozenset[str]:
    """The flags of the first processor, where the system lists them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.split()) for line in lines if line.startswith("flags")), frozenset())


def dtype_of(precision: str) -> torch.dtype:
    """The dtype of parameters, images, noise and densities; bf16 is for network bodies alone."""
    return torch.float64 if precision == "float64" else torch.float32


def has_convolutions(model: nn.Module) -> bool:
    """Whether channels_last means anything for this model."""
    return any(p.dim() == 4 for p in model.parameters())


def place(model: nn.Module, *, device: str, precision: str, channels_last: bool) -> None:
    """Puts a model on its device, in its dtype and layout, and switches mixed precision on or off in its networks.

    Every module with an attribute ``autocast_dtype`` enters autocast by itself; nothing else does.
    """
    model.to(device=device, dtype=dtype_of(precision))
    if channels_last:
        model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    set_autocast(model, torch.bfloat16 if precision == "bf16" else None)


def set_autocast(model: nn.Module, dtype: torch.dtype | None) -> None:
    """Sets ``autocast_dtype`` on every module that has one."""
    for module in _networks(model):
        module.autocast_dtype = dtype


def _networks(model: nn.Module) -> list[Any]:
    return [module for module in model.modules() if hasattr(module, "autocast_dtype")]


@contextmanager
def autocast(model: nn.Module, dtype: torch.dtype | None) -> Iterator[None]:
    """Inside, every network enters autocast to ``dtype``; None: no network does, and all is float32 or better."""
    kept = [(network, network.autocast_dtype) for network in _networks(model)]
    set_autocast(model, dtype)
    try:
        yield
    finally:
        for network, dtype_before in kept:
            network.autocast_dtype = dtype_before


def full_precision(model: nn.Module) -> AbstractContextManager[None]:
    """Inside, no network enters autocast: what is evaluated is float32 or better."""
    return autocast(model, None)
