"""One guarded update of the weights: at a loss or gradient that is not finite, nothing changes."""

# The multi-tensor operations of PyTorch's own optimizers; one kernel for many tensors.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from tightbound.training.averaging import MovingAverage
from tightbound.training.parallel import Parallel, Replicas, batch_statistics


class Outcome(NamedTuple):
    """What an update did.

    Attributes:
        finite: 0-d bool: whether the weights were updated.
        gradient_norm: 0-d, before clipping.
    """

    finite: Tensor
    gradient_norm: Tensor


class Update:
    """Gradient norm, clipping, optimizer and moving average, all or none.

    A step whose loss or gradient norm is not finite leaves weights, optimizer state, average, batch statistics and the
    count of steps done as they were. Fused optimizers on a GPU skip by themselves, so the host need not wait for the
    device at each step; elsewhere one flag is read, which costs nothing on the processor.

    Args:
        model: what is trained.
        optimizer: of its parameters.
        average: of its parameters, or None.
        clip_norm: length that gradients are cut to, or None.
        parallel: how the weights lie in several processes; a step is skipped by all of them or by none.
        wait: whether the host reads the flag; None decides by device and optimizer.

    Attributes:
        done: updates made, a 0-d tensor.
        waits: whether the host reads the flag at each step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        average: MovingAverage | None = None,
        clip_norm: float | None = None,
        parallel: Parallel = Replicas(),
        wait: bool | None = None,
    ) -> None:
        self._optimizer, self._average, self._clip_norm = optimizer, average, clip_norm
        self._parallel = parallel
        self._parameters: list[Tensor] = [p for group in optimizer.param_groups for p in group["params"]]
        device = self._parameters[0].device
        fused = bool(optimizer.defaults.get("fused"))
        self.waits = (device.type != "cuda" or not fused) if wait is None else wait
        self._statistics = _by_dtype(batch_statistics(model))
        self._kept = [_flat(buffers) for buffers in self._statistics]
        self.done = torch.zeros((), dtype=torch.long, device=device)
        self.skipped_in_a_row = torch.zeros_like(self.done)
        self.worst_row = torch.zeros_like(self.done)

    def counters(self) -> dict[str, int]:
        """For a checkpoint and for checks; waits for the device."""
        counts = torch.stack([self.done, self.skipped_in_a_row, self.worst_row]).tolist()
        return dict(zip(("done", "skipped_in_a_row", "worst_row"), counts, strict=True))

    def restore(self, counters: dict[str, int]) -> None:
        """The opposite of ``counters``; the batch statistics are the model's present ones."""
        self.done.fill_(counters["done"])
        self.skipped_in_a_row.fill_(counters["skipped_in_a_row"])
        self.worst_row.fill_(counters["worst_row"])
        self._keep_statistics()

    @torch.no_grad()
    def __call__(self, loss: Tensor, learning_rate: float) -> Outcome:
        """Applies the gradients that ``loss.backward()`` left, then clears them."""
        self._parallel.collect()
        norm = self._parallel.norm([p.grad for p in self._parameters])
        finite = self._agree(torch.isfinite(loss.detach()) & torch.isfinite(norm))
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        if self._clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self._clip_norm, norm)
        if self.waits:
            if bool(finite):
                self._step(finite)
        else:
            self._optimizer.found_inf = (~finite).to(torch.float32)  # pyright: ignore[reportAttributeAccessIssue]
            self._step(finite)
        self._guard_statistics(finite)
        self._count(finite)
        self._optimizer.zero_grad(set_to_none=True)
        return Outcome(finite, norm)

    def parameter_norm(self) -> Tensor:
        """The length of all parameters together."""
        return self._parallel.norm([p.detach() for p in self._parameters])

    def _step(self, finite: Tensor) -> None:
        self._optimizer.step()
        if self._average is not None:
            self._average.update(self.done, finite)

    def _count(self, finite: Tensor) -> None:
        self.done += finite
        self.skipped_in_a_row.copy_(torch.where(finite, 0, self.skipped_in_a_row + 1))
        torch.maximum(self.worst_row, self.skipped_in_a_row, out=self.worst_row)

    def _agree(self, finite: Tensor) -> Tensor:
        processes = self._parallel.processes
        return processes.sum((~finite).to(torch.float32)) == 0 if processes.are_several else finite

    def _guard_statistics(self, finite: Tensor) -> None:
        """The forward pass has moved the batch statistics already; a skipped step takes them back."""
        for buffers, kept in zip(self._statistics, self._kept, strict=True):
            # All as one tensor, in a few kernels: a deep network has hundreds of them.
            if self.waits and bool(finite):
                torch.cat([b.reshape(-1) for b in buffers], out=kept)
                continue
            torch.where(finite, _flat(buffers), kept, out=kept)
            parts = kept.split([b.numel() for b in buffers])
            torch._foreach_copy_(buffers, [part.view_as(b) for part, b in zip(parts, buffers, strict=True)])

    def _keep_statistics(self) -> None:
        self._kept = [_flat(buffers) for buffers in self._statistics]


def _by_dtype(buffers: Iterable[Tensor]) -> list[list[Tensor]]:
    groups: dict[torch.dtype, list[Tensor]] = {}
    for buffer in buffers:
        groups.setdefault(buffer.dtype, []).append(buffer)
    return list(groups.values())


def _flat(buffers: Sequence[Tensor]) -> Tensor:
    return torch.cat([b.reshape(-1) for b in buffers])
