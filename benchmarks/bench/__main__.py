"""`python -m benchmarks.bench [--cases 1 2 3] [--device cuda] [--rounds 10]`: measures, prints a table, writes it.

Each case stands alone: one that fails or takes too long is named below the table, the others go on, and the files are
written anew after each.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch

from benchmarks.bench import report
from benchmarks.bench.limits import limits
from benchmarks.bench.setting import Bench, Case, Row
from benchmarks.bench.timing import say, summary
from tightbound.training.precision import resolve_precision

CASES = {
    1: "mlp:case",
    2: "deep:residual",
    3: "deep:ladders",
    4: "scoring:case",
    5: "chains:case",
    6: "pipeline:case",
    7: "startup:case",
    8: "memory:case",
    9: "processes:case",
    10: "warps:case",
    11: "hamiltonian:case",
}
EVERYWHERE = (1, 2, 3, 4, 5)  # the others are of the processor


class OutOfTime(BaseException):
    """Not an ``Exception``: what falls back at an exception must not swallow it."""


def find(number: int) -> Case:
    """A case by its number."""
    module, name = CASES[number].split(":")
    return getattr(importlib.import_module(f"benchmarks.bench.{module}"), name)


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raises OutOfTime inside when the time is over; None for any time."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure_limits(bench: Bench) -> None:
    """Products and convolutions, each a short race of its own contenders."""
    precisions = tuple(dict.fromkeys(("float32", "bf16", bench.precision)))
    found = bench.race(limits(bench.device, precisions), seconds=bench.seconds / 4)
    bench.limits.update(summary(found.rates))


def attempt(number: int, bench: Bench, rows: list[Row], seconds: float | None) -> str | None:
    """Runs a case into the rows; why it failed, if it did."""
    try:
        with at_most(seconds):
            for row in find(number)(bench):
                rows.append(row)
                say("\n".join(report.table([row])[2:]))
    except OutOfTime:
        return f"it took longer than the {seconds:.0f} s left to it"
    except Exception as error:
        traceback.print_exc()
        return (str(error).strip() or type(error).__name__).splitlines()[0]
    return None


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", choices=sorted(CASES), metavar="N")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice if not given")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=1.0, help="of a contender's part of a round")
    clocks = "processor: of this process alone, for one thread on a busy machine"
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall", help=clocks)
    parser.add_argument("--precision", choices=("auto", "float32", "bf16"), default="auto", help="of our training")
    parser.add_argument("--compile", choices=("auto", "on", "off"), default="auto", help="of our training step")
    parser.add_argument("--cuda-graph", choices=("auto", "off"), default="auto", help="of our training step")
    parser.add_argument("--case-seconds", type=float, help="a case that takes longer is given up")
    parser.add_argument("--total-seconds", type=float, help="no case goes on beyond these")
    parser.add_argument("--no-limits", action="store_true", help="do not measure the machine's limits")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "results")
    return parser.parse_args()


def main() -> None:
    """Measures what is asked for."""
    given, started = parse(), time.monotonic()
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.clock == "processor" and (torch.get_num_threads() != 1 or given.device != "cpu"):
        raise SystemExit("--clock processor: threads and a GPU that wait for each other differ; add --threads 1")
    device = torch.device(given.device)
    precision = resolve_precision(given.precision, given.device)
    bench = Bench(device, precision, given.compile, given.cuda_graph, given.seconds, given.rounds)
    if given.clock == "processor":
        bench.clock = time.process_time
    rows: list[Row] = []
    failures: dict[str, str] = {}
    facts = report.facts_of(bench)
    if not given.no_limits:
        say("the machine's limits")
        measure_limits(bench)
    cases = given.cases or [number for number in CASES if number in EVERYWHERE or not bench.on_gpu]
    for number in cases:
        say(f"case {number}")
        left = given.case_seconds
        if given.total_seconds:
            rest = given.total_seconds - (time.monotonic() - started)
            left = min(left, rest) if left else rest
        reason = attempt(number, bench, rows, left)
        if reason:
            failures[str(number)] = reason
            say(f"case {number} failed: {reason}")
        path = report.write(given.out, bench, facts, rows, failures)
        say(f"written: {os.path.relpath(path)} and .json")
    print(report.markdown(bench, facts, rows, failures))
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
