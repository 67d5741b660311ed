"""Case 9: two processes of one thread that train and evaluate one model, beside two that do so each by itself."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

import torch

from benchmarks.bench.deep import RESIDUAL
from benchmarks.bench.scoring import binary, model_of
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender
from benchmarks.bench.training import Ours, Run, images
from tightbound.evaluation import importance
from tightbound.training import Processes, join, leave

BATCH, IMAGES, SAMPLES = 64, 32, 32  # of each process
LEAST = 0.85
_READY = "ready\n"


def training(processes: Processes, overrides: Sequence[str]) -> Run:
    """Steps with ``BATCH`` images in each process."""
    size = f"training.batch_size={BATCH * processes.world_size}"
    return Ours(RESIDUAL, images(RESIDUAL, 6_000), [*overrides, size], processes)


def evaluation(processes: Processes, overrides: Sequence[str]) -> Run:
    """Evaluations of ``IMAGES`` images for each process, a tile of its own."""
    model, x = model_of(RESIDUAL, torch.device("cpu")), binary(IMAGES * processes.world_size, torch.device("cpu"))

    def run(steps: int) -> None:
        for _ in range(steps):
            importance(model, x, SAMPLES, **({"processes": processes} if processes.are_several else {}))

    return run


TASKS: dict[str, Callable[[Processes, Sequence[str]], Run]] = {"training": training, "evaluation": evaluation}


class Worker:
    """A process that takes steps of a task when it is told to.

    Args:
        task: its name.
        overrides: of the recipe.
        environment: what a launcher would set, if it is to be one of several.
    """

    def __init__(self, task: str, overrides: Sequence[str], environment: dict[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.bench.processes", task, *overrides]
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
    """Two workers, ``together`` or each by itself. Called with a number of steps, each takes so many.

    By themselves they take the steps one by one as they are free, so that neither waits for a slower one.
    """

    def __init__(self, task: str, overrides: Sequence[str], *, together: bool) -> None:
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": "2"}
        ranks = [shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if together else {} for rank in range(2)]
        self._together = together
        self._workers = [Worker(task, overrides, environment) for environment in ranks]

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


def case(bench: Bench) -> Iterator[Row]:
    """Training and evaluation.

    Raises:
        ValueError: the clock is of this process, and the work is that of others.
    """
    if bench.clock.__name__ == "process_time":
        raise ValueError("two processes are timed by the wall: leave out --clock processor")
    made = {
        "training": (BATCH, "images/s", f"{BATCH} images a step in each process"),
        "evaluation": (IMAGES * SAMPLES, "pairs/s", f"{IMAGES} images for each process, K = {SAMPLES}, float32"),
    }
    overrides = bench.training(False)
    for task, (items, unit, note) in made.items():
        with Pair(task, overrides, together=True) as together, Pair(task, overrides, together=False) as apart:
            pairs = {"two processes together": together, "two apart": apart}
            found = bench.race([Contender(name, pair, 2 * items) for name, pair in pairs.items()])
        notes = (f"{note}{f', {bench.precision}' if task == 'training' else ''}; one thread a process",)
        what = f"residual IAF-VAE ({RESIDUAL}) {task} in two processes"
        yield race_row(bench, 9, what, found, unit=unit, least=LEAST, notes=notes)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(task: str, overrides: Sequence[str]) -> None:
    """What a worker does: the numbers of steps come on stdin."""
    run = TASKS[task](join(), overrides)
    sys.stdout.write(_READY)
    sys.stdout.flush()
    for line in sys.stdin:
        run(int(line))
        sys.stdout.write(_READY)
        sys.stdout.flush()
    leave()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
