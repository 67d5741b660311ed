"""What clocks and signals ask for, in several processes at the same step."""

from __future__ import annotations

import time

import torch
import torch.distributed as dist

from tightbound.training.processes import Processes

_SECONDS = 1.0  # between two questions
_MOST = 1000  # steps between them, should a clock stand still


class Agreement:
    """Turns flags that processes raise each for itself, such as at a signal, into flags of all.

    Saving and stopping are done together, so they have to be begun at one step. To ask at every step would cost small
    steps a few percent; about once a second costs nothing. When next to ask is agreed on with the answers: as many
    steps on as the slowest makes in a second. One process alone is asked at every step.

    Args:
        processes: that are asked.
        step: at which the run begins.
    """

    def __init__(self, processes: Processes, step: int) -> None:
        self._processes = processes
        self._asked, self._asked_at = step, time.monotonic()
        self._next = step + 1

    def __call__(self, step: int, *flags: bool) -> tuple[bool, ...]:
        """Which of the flags are up in any process; none of them at steps at which nobody asks."""
        if not self._processes.are_several:
            return flags
        if step < self._next:
            return (False,) * len(flags)
        now = time.monotonic()
        pace = (now - self._asked_at) / max(step - self._asked, 1)
        asked = torch.tensor([*map(float, flags), pace], dtype=torch.float64)
        dist.all_reduce(asked, dist.ReduceOp.MAX)
        *answers, pace = asked.tolist()
        self._asked, self._asked_at = step, now
        self._next = step + min(max(int(_SECONDS / max(pace, 1e-9)), 1), _MOST)
        return tuple(map(bool, answers))
