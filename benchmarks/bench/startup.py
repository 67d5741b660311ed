"""Case 7: how long a command takes to answer, each in a process of its own."""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from benchmarks.bench.setting import Bench, Row, spread
from benchmarks.bench.timing import Contender, Middle, race

COMMANDS = {
    "Python alone": ["-c", "pass"],
    "import torch": ["-c", "import torch"],
    "--help": ["-m", "tightbound", "--help"],
    "recipes": ["-m", "tightbound", "recipes"],
    "recipes NAME": ["-m", "tightbound", "recipes", "mnist-mlp"],
}
TARGETS = {"--help": 0.3, "recipes": 0.6}
TRAIN = "train, to the first step"
BEYOND_TORCH = 0.5  # seconds of `recipes NAME`
HEAVY = ("torch", "pydantic")
_WHAT_IS_LOADED = f"""
import sys
from tightbound.cli import main
try:
    main()
except SystemExit:
    pass
print("loaded:", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""


def call(arguments: Sequence[str], steps: int = 1) -> str:
    """What Python prints, the last of the calls."""
    printed = ""
    for _ in range(steps):
        command = [sys.executable, *arguments]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return printed


def train(steps: int) -> None:
    """Begins to train on the embedded digits, and ends the process when its first step is logged."""
    for _ in range(steps):
        with tempfile.TemporaryDirectory(prefix="tightbound-") as folder:
            out, log = Path(folder) / "run", Path(folder) / "run" / "metrics.jsonl"
            command = [sys.executable, "-m", "tightbound", "train", "digits-vae", "--out", str(out)]
            command += ["--no-evaluate", "--device", "cpu", "training.log_every=1"]
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                while child.poll() is None and not (log.exists() and log.stat().st_size):
                    time.sleep(0.002)
                if child.returncode:
                    raise RuntimeError(f"{' '.join(command[1:])} failed")
            finally:
                child.kill()
                child.wait()


def loaded_by(arguments: Sequence[str]) -> list[str]:
    """Which of the heavy packages a command loads."""
    return call(["-c", _WHAT_IS_LOADED, *arguments]).splitlines()[-1].split()[1:]


def case(bench: Bench) -> Iterator[Row]:
    """Seconds; by processor time those of the children."""
    clock = time.perf_counter if bench.clock is time.perf_counter else _children
    runs: dict[str, Callable[[int], object]] = {name: partial(call, command) for name, command in COMMANDS.items()}
    runs[TRAIN] = train
    contenders = [Contender(name, run, 1) for name, run in runs.items()]
    found = race(contenders, seconds=0.0, rounds=bench.rounds, clock=clock)
    seconds = {name: [1 / rate for rate in rates] for name, rates in found.rates.items()}
    for name in (*TARGETS, "recipes NAME", TRAIN):
        loaded = loaded_by(COMMANDS[name][2:]) if name in TARGETS else []
        yield _row(name, seconds, loaded)


def _row(name: str, seconds: dict[str, list[float]], loaded: Sequence[str]) -> Row:
    taken, bare = Middle.of(seconds[name]), Middle.of(seconds["import torch"])
    target, met, notes = "", None, ()
    if name in TARGETS:
        target, met = f"< {TARGETS[name]:g} s", taken.median < TARGETS[name] and not loaded
        notes = (f"loads {' and '.join(loaded) or 'neither torch nor pydantic'}",)
    elif name == "recipes NAME":
        more = Middle.of([a - b for a, b in zip(seconds[name], seconds["import torch"], strict=True)])
        target, met = f"import torch + {BEYOND_TORCH:g} s", more.median <= BEYOND_TORCH
        notes = (f"{spread(more, 2)} s beyond import torch",)
    peers = f"import torch {spread(bare, 2)}; Python alone {spread(Middle.of(seconds['Python alone']), 2)}"
    facts = {"unit": "s", "seconds": seconds, "loaded": list(loaded)}
    return Row(7, f"start: {name}", f"{spread(taken, 2)} s", peers, "", target, met, "", notes, facts)


def _children() -> float:
    """Processor seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
