"""Processes that train or evaluate when they are told to: contenders with memory of their own, and pairs."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import IO

import torch

from benchmarks.bench.scoring import binary, model_of
from benchmarks.bench.training import Ours, Run, images, plain
from tightbound.evaluation import importance
from tightbound.memory import memory_kept
from tightbound.training import Processes, join, leave

_READY = "ready"


def training(processes: Processes, recipe: str, number: int, overrides: Sequence[str]) -> Run:
    """Steps with so many images in each process."""
    size = f"training.batch_size={number * processes.world_size}"
    return Ours(recipe, images(recipe, 6_000), [*overrides, size], processes)


def evaluation(processes: Processes, recipe: str, number: int, overrides: Sequence[str]) -> Run:
    """Evaluations of so many images for each process, a tile of its own, with as many samples."""
    model, x = model_of(recipe, torch.device("cpu")), binary(number * processes.world_size, torch.device("cpu"))

    def run(steps: int) -> None:
        for _ in range(steps):
            importance(model, x, number, **({"processes": processes} if processes.are_several else {}))

    return run


def plain_loop(_processes: Processes, recipe: str, number: int, overrides: Sequence[str]) -> Run:
    """Steps of the loop written by hand, with so many images."""
    size = f"training.batch_size={number}"
    return plain(recipe, images(recipe, 6_000), torch.device("cpu"), [*overrides, size])


# And memory as the library has it, or as Python has it.
_Memory = Callable[[], AbstractContextManager[None]]
TASKS: dict[str, tuple[Callable[[Processes, str, int, Sequence[str]], Run], _Memory]] = {
    "training": (training, lambda: memory_kept("cpu")),
    "evaluation": (evaluation, lambda: memory_kept("cpu")),
    "plain": (plain_loop, nullcontext),
}


class Worker:
    """A process that takes steps of a task when it is told to. Called with a number of steps, it takes so many.

    Args:
        task: its name.
        recipe: of the model.
        number: of images.
        overrides: of the recipe.
        threads: of PyTorch.
        environment: what a launcher would set, if it is to be one of several.

    Attributes:
        how: what it said of its steps when it had taken some: whether they are compiled.
    """

    def __init__(
        self,
        task: str,
        recipe: str,
        number: int,
        overrides: Sequence[str],
        *,
        threads: int = 1,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.bench.workers", task, recipe, str(number), *overrides]
        self._process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": str(threads), **(environment or {})},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: IO[str] = self._process.stdin
        self.says: IO[str] = self._process.stdout
        self.how = ""

    def __enter__(self) -> Worker:
        try:
            self.wait()
        except BaseException:
            self.close()
            self.end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self.end()

    def __call__(self, steps: int) -> None:
        """Until all are taken."""
        self.begin(steps)
        self.wait()

    def begin(self, steps: int) -> None:
        """Takes so many, while this process goes on."""
        self._to.write(f"{steps}\n")
        self._to.flush()

    def wait(self) -> None:
        """Until it has taken them; at first, until it is ready."""
        ready, _, self.how = self.says.readline().strip().partition(" ")
        if ready != _READY:
            raise RuntimeError("a process that was to be timed has ended; see what it said above")

    def close(self) -> None:
        """No more steps."""
        with suppress(BrokenPipeError):  # of a process that has ended by itself
            self._to.close()

    def end(self) -> None:
        """Waits until it has ended, and sees to it if it does not."""
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.says.close()


class Pair:
    """Two workers of one thread, ``together`` or each by itself. Called with a number of steps, each takes so many.

    By themselves they take the steps one by one as they are free, so that neither waits for a slower one.
    """

    def __init__(self, task: str, recipe: str, number: int, overrides: Sequence[str], *, together: bool) -> None:
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": "2"}
        ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if together else {} for rank in range(2)]
        self._together, self._stack = together, ExitStack()  # of what ends them
        self._workers = [Worker(task, recipe, number, overrides, environment=environment) for environment in ranks]

    @property
    def how(self) -> str:
        """What both say of their steps, once where they agree."""
        return ", ".join(dict.fromkeys(worker.how for worker in self._workers))

    def __enter__(self) -> Pair:
        with ExitStack() as stack:
            for worker in self._workers:
                stack.callback(worker.end)
            for worker in self._workers:  # both are told before either is waited for
                stack.callback(worker.close)
            for worker in self._workers:
                worker.wait()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, steps: int) -> None:
        """Until all are taken."""
        if not self._together:
            return self._one_by_one(2 * steps)
        for worker in self._workers:
            worker.begin(steps)
        for worker in self._workers:
            worker.wait()
        return None

    def _one_by_one(self, steps: int) -> None:
        with selectors.DefaultSelector() as selector:
            for worker in self._workers:
                selector.register(worker.says, selectors.EVENT_READ, worker)
                worker.begin(1)
            begun, taken = len(self._workers), 0
            while taken < steps:
                for key, _ in selector.select():
                    key.data.wait()
                    taken += 1
                    if begun < steps:
                        key.data.begin(1)
                        begun += 1


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(task: str, recipe: str, number: int, overrides: Sequence[str]) -> None:
    """What a worker does: the numbers of steps come on stdin."""
    make, memory = TASKS[task]
    run = make(join(), recipe, number, overrides)
    _say_ready(run)
    with memory():
        for line in sys.stdin:
            run(int(line))
            _say_ready(run)
    leave()


def _say_ready(run: Run) -> None:
    sys.stdout.write(f"{_READY} {getattr(run, 'how', '')}".strip() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
