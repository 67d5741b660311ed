"""Compiling and capturing the training step, and going on without where that fails."""

from __future__ import annotations

import importlib.util
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from tightbound.core import Loss, Step
from tightbound.errors import RecipeError
from tightbound.training.capture import CapturedStep
from tightbound.training.processes import ALONE, Processes

# Compiling a small step takes half a minute on a processor; at some 10 ms a step saved, this many repay it. A step
# that a GPU replays as one graph has little left to save: 0.1 ms of the MLP's, for 11 s (benchmarks/results).
COMPILE_STEPS, COMPILE_REPLAYED_STEPS = 3_000, 100_000


def resolve_compile(wanted: str | bool, device: str, total_steps: int, *, replayed: bool = False) -> tuple[bool, str]:
    """Whether to compile, and why in one line. ``auto`` asks for a long run and a compiler.

    Args:
        wanted: by the settings.
        device: cpu, cuda or mps.
        total_steps: length of the run.
        replayed: whether each step is replayed as one CUDA graph.
    """
    if isinstance(wanted, bool):
        return wanted, f"compile: {'on' if wanted else 'off'}, as asked"
    least = COMPILE_REPLAYED_STEPS if replayed else COMPILE_STEPS
    if total_steps < least:
        return False, f"compile: off, as {total_steps:,} steps are too few to repay it (from {least:,} on)"
    if not has_compiler(device):
        return False, "compile: off, as no compiler was found on this machine"
    return True, f"compile: on, as {total_steps:,} steps repay it; the first step takes longer"


def resolve_cuda_graph(wanted: str | bool, device: str) -> bool:
    """Whether the step is replayed as one CUDA graph. ``auto``: wherever there is a GPU that has them.

    Raises:
        RecipeError: asked for on another device.
    """
    if wanted is True and device != "cuda":
        raise RecipeError(
            f"training.cuda_graph: got true; the device is {device}", hint="leave it at auto, or give --device cuda"
        )
    return device == "cuda" and bool(wanted)


def has_compiler(device: str) -> bool:
    """Whether what torch.compile calls is there: a C++ compiler for the processor, Triton for a GPU."""
    if device == "cuda":
        return importlib.util.find_spec("triton") is not None
    names = (os.environ.get("CXX"), "g++", "clang++")
    return device == "cpu" and any(shutil.which(name) for name in names if name)


@contextmanager
def _no_log() -> Iterator[None]:
    """Inside, nobody logs warnings, as PyTorch's compiler does of PyTorch's own means for several processes."""
    kept = logging.root.manager.disable
    logging.disable(max(kept, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(kept)


class ForwardBackward:
    """Loss and gradients of one batch: compiled if asked, captured in a CUDA graph if asked.

    Both are tried on the first batch, from which nothing remains but the code: batch statistics and random states are
    as before, and where one of them fails, training goes on without it. Several processes try each by itself, since
    one may fail where another does not, and go on with it if none did.

    Args:
        module: the training step.
        compiled: whether to compile it.
        cuda_graph: whether to replay it as one CUDA graph.
        warn: called with one line if either fails.
        processes: that train; all call this together.
        by_itself: inside, the step exchanges nothing between them.
    """

    def __init__(
        self,
        module: nn.Module,
        *,
        compiled: bool,
        cuda_graph: bool = False,
        warn: Callable[[str], None],
        processes: Processes = ALONE,
        by_itself: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self.compiled, self.cuda_graph = compiled, cuda_graph
        self._module = self._eager = module
        self._captured: CapturedStep | None = None
        self._warn, self._processes, self._by_itself = warn, processes, by_itself
        self._first = True

    def __call__(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        """The loss; gradients are added to the parameters'."""
        if self._first:
            self._first = False
            self._prepare(x, noise, step)
        return self._run(x, noise, step) if self._captured is None else self._captured(x, noise, step)

    def _prepare(self, x: Tensor, noise: Tensor, step: Step) -> None:
        if self.compiled:
            self.compiled = self._attempt("compilation", self._compile, x, noise, step)
            self._module = self._module if self.compiled else self._eager
        if self.cuda_graph:
            self.cuda_graph = self._attempt("the capture of a CUDA graph", self._capture, x, noise, step)
            self._captured = self._captured if self.cuda_graph else None

    def _attempt(self, what: str, action: Callable[..., None], x: Tensor, noise: Tensor, step: Step) -> bool:
        failures = self._processes.gather(lambda: self._failure(action, x, noise, step))
        reason = next((failure for failure in failures if failure is not None), None)
        if reason is not None:
            self._warn(f"{what} failed, training goes on without it: {reason}")
        return reason is None

    def _failure(self, action: Callable[..., None], x: Tensor, noise: Tensor, step: Step) -> str | None:
        kept = [buffer.clone() for buffer in self._eager.buffers()]
        try:
            with torch.random.fork_rng([x.device] if x.is_cuda else []), self._by_itself():
                action(x, noise, step)
        except (
            Exception
        ) as error:  # compilers' errors have no common type; one of the step's own comes again in eager mode
            return (str(error).strip() or type(error).__name__).splitlines()[0]
        finally:
            self._eager.zero_grad(set_to_none=True)
            for buffer, value in zip(self._eager.buffers(), kept, strict=True):
                buffer.copy_(value)
        return None

    def _compile(self, x: Tensor, noise: Tensor, step: Step) -> None:
        with warnings.catch_warnings(), _no_log():
            warnings.filterwarnings("ignore", module=r"torch\b")  # PyTorch's compiler uses what PyTorch has deprecated
            self._module = torch.compile(self._eager, dynamic=False)
            self._run(x, noise, step)

    def _capture(self, x: Tensor, noise: Tensor, step: Step) -> None:
        self._captured = CapturedStep(self._run, self._eager.parameters(), x, noise, step)

    def _run(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        loss = self._module(x, noise, step)
        loss.value.backward()
        return loss
