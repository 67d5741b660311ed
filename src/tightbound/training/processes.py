"""Several processes that train one model: who they are, and what they tell each other outside of a step.

They are started by ``torchrun``, ``accelerate launch`` or ``tightbound train --processes N``. The first of them, rank
0, is the only one that writes and speaks.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from tightbound.errors import RecipeError, TightboundError

T = TypeVar("T")

_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
# For as long, one may prepare data while the others wait. One that dies is noticed by its launcher at once.
_PATIENCE = timedelta(hours=2)
_LAST_WORDS = 10.0  # seconds
_INTERRUPTED = 130
_LOCK_FREE = 0.1  # seconds; what waits for the interpreter's lock takes microseconds


@dataclass(frozen=True)
class Processes:
    """All processes of a run, seen from one of them.

    Args:
        rank: of this one.
        world_size: how many there are, over all nodes.
        local_rank: of this one on its node.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    @property
    def are_several(self) -> bool:
        """Whether there are others."""
        return self.world_size > 1

    def device(self, name: str) -> torch.device:
        """Where this one computes; every process of a node has a GPU of its own.

        Raises:
            RecipeError: there are not enough of them.
        """
        if not self.are_several or name == "cpu":
            return torch.device(name)
        there = torch.cuda.device_count() if name == "cuda" else 1
        if self.local_rank >= there:
            raise RecipeError(
                f"device {name}: process {self.local_rank + 1} of this machine has none, as there {_are(there)}",
                hint="one process a device, or --device cpu",
            )
        if name == "cuda":
            torch.cuda.set_device(self.local_rank)
        return torch.device(name, self.local_rank)

    def check_shares(self, batch_size: int) -> None:
        """Refuses batches whose parts would weigh differently in the mean.

        Raises:
            RecipeError: the size is no multiple of the number of processes.
        """
        if batch_size % self.world_size:
            below = batch_size // self.world_size * self.world_size
            raise RecipeError(
                f"training.batch_size: got {batch_size}; {self.world_size} processes cannot share it equally",
                hint=f"a multiple of {self.world_size}, such as training.batch_size={below or self.world_size}",
            )

    def check_statistics(self, batch_size: int) -> None:
        """Refuses shares of a single image, which has no batch statistics.

        Raises:
            RecipeError: the size is the number of processes.
        """
        if self.are_several and batch_size == self.world_size:
            raise RecipeError(
                f"training.batch_size: got {batch_size}; batch statistics need at least 2 images in each of "
                f"{self.world_size} processes",
                hint=f"training.batch_size={2 * self.world_size} or more, or normalization: weight or group",
            )

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        return self.sum(value) / self.world_size

    def sum(self, value: Tensor) -> Tensor:
        """The sum of a tensor over all processes."""
        if not self.are_several:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total

    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Gives tensors everywhere the values that they have in the first process."""
        for tensor in tensors if self.are_several else ():
            # In memory order of its own: a broadcast goes through memory, whatever the strides.
            sent = tensor.detach().contiguous()
            dist.broadcast(sent, 0)
            tensor.detach().copy_(sent)

    def first(self, action: Callable[[], T]) -> T:
        """Has the first process do something and gives its result, which must be small, to all.

        Raises:
            Exception: what the action raises, there. The others end with the same exit status and say nothing.
        """
        if not self.are_several:
            return action()
        outcome: list[tuple[T | None, int | None]] = [(None, None)]
        failure: Exception | None = None
        if self.is_first:
            try:
                outcome = [(action(), None)]
            except Exception as error:
                failure, outcome = error, [(None, _status(error))]
        dist.broadcast_object_list(outcome, 0)
        value, status = outcome[0]
        if failure is not None:
            raise failure
        if status is not None:
            raise SystemExit(status)
        return value  # pyright: ignore[reportReturnType]

    def agreed(self, value: T) -> T:
        """A small value as the first process has it."""
        return self.first(lambda: value)

    def gather(self, action: Callable[[], T]) -> list[T]:
        """Has every process do something by itself and gives all results, which must be small, to all, in order.

        Raises:
            Exception: what the action raises, in one process: where some fail, the first of those says why. The others
                end with the same exit status.
        """
        if not self.are_several:
            return [action()]
        outcome: tuple[T | None, int | None] = (None, None)
        failure: Exception | None = None
        try:
            outcome = (action(), None)
        except Exception as error:
            failure, outcome = error, (None, _status(error))
        outcomes: list[tuple[Any, int | None]] = [(None, None)] * self.world_size
        dist.all_gather_object(outcomes, outcome)
        failed = [rank for rank, (_, status) in enumerate(outcomes) if status is not None]
        if not failed:
            return [value for value, _ in outcomes]
        if failure is not None and failed[0] == self.rank:
            raise failure from _OfOneError(failure)
        raise SystemExit(outcomes[failed[0]][1])

    def each(self, action: Callable[[], T]) -> T:
        """The same with results of any size, which stay where they are."""
        own: list[T] = []
        self.gather(lambda: own.append(action()))
        return own[0]

    def in_turn(self, action: Callable[[], T]) -> T:
        """The same, one process of each node before its others: what it downloads, they find."""
        if not self.are_several:
            return action()
        if self.local_rank == 0:
            value = self.each(action)
            self.each(lambda: None)
            return value
        self.each(lambda: None)
        return self.each(action)

    @contextmanager
    def last_words(self) -> Iterator[None]:
        """Around all of a command: one that ends without a word gives the one that has some the time to end first.

        A launcher that sees a process fail ends the others at once, whatever they are about to say.
        """
        try:
            yield
        except KeyboardInterrupt:
            if self.is_first:
                raise
            raise SystemExit(_INTERRUPTED) from None
        except SystemExit:
            if self.are_several:
                time.sleep(_LAST_WORDS)  # the launcher ends it, but where the other has caught the error and goes on
            raise

    @contextmanager
    def alike(self, *kinds: type[TightboundError]) -> Iterator[None]:
        """Inside, errors of these kinds come in all processes at once, and only the first says so.

        It is another that does if ``gather`` or ``each`` have found that it met an error by itself.
        """
        try:
            yield
        except kinds as error:
            if self.is_first or isinstance(error.__cause__, _OfOneError):
                raise
            raise SystemExit(error.exit_status) from None


ALONE = Processes()


class _OfOneError(Exception):
    """The cause of an error that one of several processes met by itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__("one process met it, and the others have been told to end")
        self.__cause__ = error.__cause__


def join() -> Processes:
    """The processes that this one was started with; itself alone if it was started by itself.

    May be called more than once. ``leave`` parts from them, at the latest when this one ends.

    Raises:
        RecipeError: the caller has joined processes that no launcher has numbered, or without a way for tensors on
            the processor.
    """
    _check_group()
    if not was_launched():
        return Processes()
    if not dist.is_initialized():
        # Its functions have the group that there is when it is loaded as a default, and would keep it for good.
        # PyTorch's engines for several processes load it.
        import_module("torch.distributed.nn.functional")
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(_part)
    return Processes(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))


def _check_group() -> None:
    """Of a group that there is already, since without the variables each process would train by itself."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return
    if not was_launched():
        raise RecipeError(
            f"torch.distributed has joined {dist.get_world_size()} processes that no launcher has started",
            hint=f"start the script with torchrun, which sets {', '.join(_VARIABLES)}",
        )
    if "cpu" not in (backends := dist.get_backend_config()):
        raise RecipeError(
            f"torch.distributed: got {backends}, which has no way for tensors on the processor",
            hint='init_process_group("cpu:gloo,cuda:nccl"), or leave it to Tightbound',
        )


def was_launched() -> bool:
    """Whether a launcher such as torchrun has started this process as one of several."""
    return all(name in os.environ for name in _VARIABLES) and int(os.environ["WORLD_SIZE"]) > 1


def leave() -> None:
    """Parts from the other processes, all together; each goes on by itself."""
    if dist.is_initialized():
        dist.barrier()  # none closes its connections while another still reads from them
        _part()


def _part() -> None:
    """Ends the connections and the threads behind them, without a word to the others, who may have ended.

    A thread of gloo that lets go of a tensor needs the interpreter's lock, also after the exchange that it belonged to.
    Where the interpreter is already being finalized it gets none, and the whole process is aborted. The threads end
    with the last reference to the group, and PyTorch's engine around a training step is a cycle that has one. Python's
    own is kept for last: it alone is let go of without the lock, for which the threads may be waiting.
    """
    if dist.is_initialized():
        group = dist.group.WORLD
        dist.destroy_process_group()
        gc.collect()
        if sys.getrefcount(group) > 2:  # PyTorch's caches keep the group of sharded tensors, whose threads go on
            time.sleep(_LOCK_FREE)
        del group


def _status(error: Exception) -> int:
    return getattr(error, "exit_status", 1)


def _are(count: int) -> str:
    return "is 1" if count == 1 else f"are {count}"
