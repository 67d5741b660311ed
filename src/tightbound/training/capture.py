"""A training step as one CUDA graph: its thousands of small kernels are sent to the GPU in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from tightbound.core import Loss, Step

_WARM_UP = 3  # runs before the capture, in which libraries choose their kernels and allocate


class CapturedStep:
    """Loss and gradients of one batch, recorded once and replayed.

    A replay runs the very kernels that were recorded, so it gives what the function gave. Loss and gradients lie in
    memory of the graph's own, which the next replay overwrites. The function must not wait for the device, and its
    shapes must not depend on values.

    Args:
        run: of images, noise and step, the loss; adds the gradients to the parameters' own.
        parameters: whose gradients those are; they must have none yet.
        x: images like those to come.
        noise: likewise.
        step: likewise.

    Raises:
        RuntimeError: the function does something that cannot be recorded.
    """

    def __init__(
        self,
        run: Callable[[Tensor, Tensor, Step], Loss],
        parameters: Iterable[nn.Parameter],
        x: Tensor,
        noise: Tensor,
        step: Step,
    ) -> None:
        parameters = list(parameters)
        self._inputs = tuple(tensor.clone() for tensor in (x, noise, *step))
        here, stream = torch.cuda.current_stream(x.device), torch.cuda.Stream(x.device)
        stream.wait_stream(here)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                self._record(run)
                _clear(parameters)
        here.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=stream):
            self._loss = self._record(run)
        self._gradients = [(p, p.grad) for p in parameters if p.grad is not None]

    def __call__(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        """The loss; the parameters' gradients are those of this batch alone."""
        for kept, given in zip(self._inputs, (x, noise, *step), strict=True):
            kept.copy_(given)
        self._graph.replay()
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return self._loss

    def _record(self, run: Callable[[Tensor, Tensor, Step], Loss]) -> Loss:
        x, noise, *step = self._inputs
        loss = run(x, noise, Step(*step))
        return Loss(loss.value.detach(), {name: part.detach() for name, part in loss.parts.items()})


def _clear(parameters: Iterable[nn.Parameter]) -> None:
    for parameter in parameters:
        parameter.grad = None
