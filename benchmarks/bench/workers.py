"""Two processes that train or evaluate when they are told to, for races against what this process does itself."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import torch

from benchmarks.bench.scoring import binary, model_of
from benchmarks.bench.training import Ours, Run, images
from tightbound.evaluation import importance
from tightbound.memory import memory_kept
from tightbound.training import Processes, join, leave

_READY = "ready\n"


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


TASKS: dict[str, Callable[[Processes, str, int, Sequence[str]], Run]] = {
    "training": training,
    "evaluation": evaluation,
}


class Worker:
    """A process that takes steps of a task when it is told to.

    Args:
        task: its name.
        recipe: of the model.
        number: of images.
        overrides: of the recipe.
        environment: what a launcher would set, if it is to be one of several.
    """

    def __init__(
        self, task: str, recipe: str, number: int, overrides: Sequence[str], environment: dict[str, str]
    ) -> None:
        command = [sys.executable, "-m", "benchmarks.bench.workers", task, recipe, str(number), *overrides]
        self._process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to: IO[str] = self._process.stdin
        self.says: IO[str] = self._process.stdout

    def begin(self, steps: int) -> None:
        """Takes so many, while this process goes on."""
        self._to.write(f"{steps}\n")
        self._to.flush()

    def wait(self) -> None:
        """Until it has taken them; at first, until it is ready."""
        if self.says.readline() != _READY:
            raise RuntimeError("a process of the pair has ended; see what it said above")

    def close(self) -> None:
        """No more steps."""
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
        self._together = together
        self._workers = [Worker(task, recipe, number, overrides, environment) for environment in ranks]

    def __enter__(self) -> Pair:
        for worker in self._workers:
            worker.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            worker.close()
        for worker in self._workers:
            worker.end()

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
    """What a worker does, with memory as the library has it: the numbers of steps come on stdin."""
    run = TASKS[task](join(), recipe, number, overrides)
    sys.stdout.write(_READY)
    sys.stdout.flush()
    with memory_kept("cpu"):
        for line in sys.stdin:
            run(int(line))
            sys.stdout.write(_READY)
            sys.stdout.flush()
    leave()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
