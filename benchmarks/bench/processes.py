"""Case 9: two processes of one thread that train and evaluate one model, beside two that do so each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from benchmarks.bench.deep import RESIDUAL
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender
from benchmarks.bench.workers import Pair

BATCH, IMAGES = 64, 32  # of each process; as many samples as IMAGES
LEAST = 0.85


def case(bench: Bench) -> Iterator[Row]:
    """Training and evaluation.

    Raises:
        ValueError: the clock is of this process, and the work is that of others.
    """
    if bench.clock.__name__ == "process_time":
        raise ValueError("two processes are timed by the wall: leave out --clock processor")
    made = {
        "training": (BATCH, 1, "images/s", f"{BATCH} images a step in each process"),
        "evaluation": (IMAGES, IMAGES, "pairs/s", f"{IMAGES} images for each process, K = {IMAGES}, float32"),
    }
    overrides = bench.training(False)
    for task, (number, samples, unit, note) in made.items():
        with ExitStack() as stack:
            pairs = {
                name: stack.enter_context(Pair(task, RESIDUAL, number, overrides, together=together))
                for name, together in (("two processes together", True), ("two apart", False))
            }
            found = bench.race([Contender(name, pair, 2 * number * samples) for name, pair in pairs.items()])
        notes = (f"{note}{f', {bench.precision}' if task == 'training' else ''}; one thread a process",)
        what = f"residual IAF-VAE ({RESIDUAL}) {task} in two processes"
        yield race_row(bench, 9, what, found, unit=unit, least=LEAST, notes=notes)
