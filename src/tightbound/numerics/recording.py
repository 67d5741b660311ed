"""Functions of tensors as CUDA graphs: thousands of small kernels are sent to the GPU in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


class Recording(Generic[Result]):
    """A function recorded once and replayed.

    A replay runs the very kernels that were recorded, so it gives what the function gave. The function must not wait
    for the device, and its shapes must not depend on values.

    Args:
        function: of the inputs.
        inputs: like those to come, on one GPU.
        warm_up: calls before the recording, in which libraries choose their kernels and allocate.
        pool: memory shared with other recordings (``torch.cuda.graph_pool_handle``), whose replays then overwrite
            these results; None for memory of its own.

    Raises:
        RuntimeError: the function does something that cannot be recorded.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        inputs: Sequence[Tensor],
        *,
        warm_up: int = 3,
        pool: Any = None,
    ) -> None:
        self._inputs = [tensor.clone() for tensor in inputs]
        device = inputs[0].device
        here, stream = torch.cuda.current_stream(device), torch.cuda.Stream(device)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            for _ in range(warm_up):
                function(*self._inputs)
        here.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream):
            self._result = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> Result:
        """The result, in memory that the next replay overwrites."""
        for kept, given in zip(self._inputs, inputs, strict=True):
            kept.copy_(given)
        self._graph.replay()
        return self._result


class Replayed:
    """A function of tensors to a tuple of tensors that is called many times with the same shapes.

    On a GPU it is recorded at its third call and replayed from then on; elsewhere, and where it cannot be recorded, it
    is called as it is.

    Args:
        function: makes no other difference than its results.
        pool: see ``Recording``; results are copies, so any number may share one.
    """

    def __init__(self, function: Callable[..., tuple[Tensor, ...]], pool: Any = None) -> None:
        self._function, self._pool = function, pool
        self._recording: Recording[tuple[Tensor, ...]] | None = None
        self._until = 2  # calls before the recording

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """What the function gives."""
        if self._recording is None and inputs[0].is_cuda:
            self._until -= 1
            if self._until == -1:
                self._record(inputs)
        if self._recording is None:
            return self._function(*inputs)
        return tuple(result.clone() for result in self._recording(*inputs))

    def _record(self, inputs: Sequence[Tensor]) -> None:
        try:
            self._recording = Recording(self._function, inputs, warm_up=1, pool=self._pool)
        except RuntimeError:  # of what cannot be recorded, or for want of memory: it is only slower
            torch.cuda.synchronize(inputs[0].device)
