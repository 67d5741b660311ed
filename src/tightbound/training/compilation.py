"""Compiling the training step, and going on without where that fails."""

from __future__ import annotations

import importlib.util
import os
import shutil
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tightbound.core import Loss, Step

# Compiling a small step takes about half a minute on a processor; at some 10 ms a step saved, this many repay it.
COMPILE_STEPS = 3000


def resolve_compile(wanted: str | bool, device: str, total_steps: int) -> tuple[bool, str]:
    """Whether to compile, and why in one line. ``auto`` asks for a long run and a compiler."""
    if isinstance(wanted, bool):
        return wanted, f"compile: {'on' if wanted else 'off'}, as asked"
    if total_steps < COMPILE_STEPS:
        return False, f"compile: off, as {total_steps:,} steps are too few to repay it (from {COMPILE_STEPS:,} on)"
    if not has_compiler(device):
        return False, "compile: off, as no compiler was found on this machine"
    return True, f"compile: on, as {total_steps:,} steps repay it; the first step takes longer"


def has_compiler(device: str) -> bool:
    """Whether what torch.compile calls is there: a C++ compiler for the processor, Triton for a GPU."""
    if device == "cuda":
        return importlib.util.find_spec("triton") is not None
    names = (os.environ.get("CXX"), "g++", "clang++")
    return device == "cpu" and any(shutil.which(name) for name in names if name)


class ForwardBackward:
    """Loss and gradients of one batch, compiled if asked; eager from the first step on if compilation fails there.

    Args:
        module: the training step.
        compiled: whether to compile it.
        warn: called with one line if compilation fails.
    """

    def __init__(self, module: nn.Module, *, compiled: bool, warn: Callable[[str], None]) -> None:
        self.compiled = compiled
        self._module = self._eager = module
        self._warn = warn
        self._first = compiled

    def __call__(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        """The loss; gradients are added to the parameters'."""
        if not self._first:
            return self._run(x, noise, step)
        self._first = False
        kept = [buffer.clone() for buffer in self._eager.buffers()]
        try:
            return self._compile_and_run(x, noise, step)
        except (
            Exception
        ) as error:  # compilers' errors have no common type; one of the step's own comes again in eager mode
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._warn(f"compilation failed, training goes on without it: {reason}")
        self.compiled, self._module = False, self._eager
        self._eager.zero_grad(set_to_none=True)
        for buffer, value in zip(self._eager.buffers(), kept, strict=True):
            buffer.copy_(value)
        return self._run(x, noise, step)

    def _compile_and_run(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"torch\b")  # PyTorch's compiler uses what PyTorch has deprecated
            self._module = torch.compile(self._eager, dynamic=False)
            return self._run(x, noise, step)

    def _run(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        loss = self._module(x, noise, step)
        loss.value.backward()
        return loss
