"""A training step as one CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from tightbound.core import Loss, Step
from tightbound.numerics import Recording


class CapturedStep:
    """Loss and gradients of one batch, recorded once and replayed.

    Both lie in memory of the graph's own, which the next replay overwrites.

    Args:
        run: of images, noise and step, the loss; adds the gradients to the parameters' own.
        parameters: whose gradients those are.
        x: images like those to come.
        noise: likewise.
        step: likewise.

    Raises:
        RuntimeError: the step does something that cannot be recorded.
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

        def record(x: Tensor, noise: Tensor, done: Tensor, epoch: Tensor) -> Loss:
            for parameter in parameters:
                parameter.grad = None  # so that the recorded pass makes them and does not add to them
            loss = run(x, noise, Step(done, epoch))
            return Loss(loss.value.detach(), {name: part.detach() for name, part in loss.parts.items()})

        self._recording = Recording(record, (x, noise, *step))
        self._gradients = [(p, p.grad) for p in parameters if p.grad is not None]

    def __call__(self, x: Tensor, noise: Tensor, step: Step) -> Loss:
        """The loss; the parameters' gradients are those of this batch alone."""
        loss = self._recording(x, noise, *step)
        for parameter, gradient in self._gradients:
            parameter.grad = gradient
        return loss
