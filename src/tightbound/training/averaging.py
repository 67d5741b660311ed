"""The exponential moving average of the parameters."""

# The multi-tensor operations of PyTorch's own optimizers; one kernel for all parameters.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class MovingAverage:
    """θ̄ ← θ̄ + (1 − d)·(θ − θ̄) after each update, d = min(decay, (1 + n)/(10 + n)) with n updates before this one.

    The smaller decay at the start keeps the random initial weights from lingering in a short run. Parameters only:
    buffers are the model's own.

    Args:
        parameters: θ; the average starts from their present values, in their layout.
        decay: the final d.
    """

    def __init__(self, parameters: Sequence[Tensor], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.values = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, done: Tensor, finite: Tensor) -> None:
        """One step of the average, without waiting for the device.

        Args:
            done: n, a 0-d tensor.
            finite: a 0-d bool tensor; where it is False nothing changes.
        """
        n = done.to(self.values[0].dtype)
        decay = torch.clamp((1 + n) / (10 + n), max=self.decay)
        difference = torch._foreach_sub(self.parameters, self.values)
        torch._foreach_mul_(difference, (1 - decay) * finite)
        torch._foreach_add_(self.values, difference)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters hold their averages."""
        with torch.no_grad():
            kept = [p.clone() for p in self.parameters]
            torch._foreach_copy_(self.parameters, self.values)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, kept)
