"""Ladders beside a plain loop: `python benchmarks/ladder.py [--rounds 15] [--threads 2] [--out FILE]`.

Two measurements of `static-mnist-ladder-3` and `-12` as published:

- Training steps at batch 64, in turn: the library's (its precision for this processor, channels_last, guarded update)
  and a plain PyTorch loop over the same network, float32 and NCHW. Rates of every round, their median and their ratio.
- Memory of an importance evaluation at K = 1,000 above the level before it, against a K that fills one chunk, each in a
  process of its own (12 layers; Linux): with the C library's allocator as it is, which keeps and scatters what is
  freed, and told to give every large block back at once, which shows what is held.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

import tightbound as tb
from tightbound.core import Step
from tightbound.evaluation import importance
from tightbound.evaluation.chunks import probe_chunk
from tightbound.training import TrainingStep, place
from tightbound.training.dropout import masks_of
from tightbound.training.precision import resolve_precision
from tightbound.training.update import Update

SHAPE, BATCH = (1, 28, 28), 64
RECIPES = ("static-mnist-ladder-3", "static-mnist-ladder-12")
MEMORY_IMAGES = 4
ALLOCATORS: Mapping[str, Mapping[str, str]] = {
    "as_it_is": {},
    "gives_back": {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"},
}


def plain(recipe: str) -> Callable[[], None]:
    """A step of a loop as one would write it by hand."""
    model, objective = _built(recipe)
    optimizer = torch.optim.Adamax(model.parameters(), lr=3e-4)
    x, step = torch.rand(BATCH, *SHAPE).round(), Step(torch.tensor(0), torch.tensor(0.0))

    def run() -> None:
        optimizer.zero_grad()
        objective(model.draw(x, 1, noise=torch.randn(1, BATCH, model.noise_size)), step).value.backward()
        optimizer.step()

    return run


def ours(recipe: str) -> Callable[[], None]:
    """A step of the library's loop, metrics apart."""
    model, objective = _built(recipe)
    place(model, device="cpu", precision=resolve_precision("auto", "cpu"), channels_last=True)
    training_step = TrainingStep(model, objective)
    update = Update(model, torch.optim.Adamax(model.parameters(), lr=3e-4, foreach=True))
    masks = masks_of(model, seed=0, rank=0, device=torch.device("cpu"))
    x, done = torch.rand(BATCH, *SHAPE).round().contiguous(memory_format=torch.channels_last), 0

    def run() -> None:
        nonlocal done
        noise = torch.randn(1, BATCH, model.noise_size)
        with masks(done):
            loss = training_step(x, noise, Step(update.done, update.done / 100)).value
        loss.backward()
        update(loss, 3e-4)
        done += 1

    return run


def rates(recipe: str, rounds: int) -> dict[str, list[float]]:
    """Images a second of every round, in turn, after one round that is not counted."""
    found: dict[str, list[float]] = {"plain": [], "ours": []}
    steps = {"plain": plain(recipe), "ours": ours(recipe)}
    for count in range(rounds + 1):
        for name, run in steps.items():
            started = time.perf_counter()
            run()
            if count:
                found[name].append(BATCH / (time.perf_counter() - started))
    return found


def memory_of(recipe: str, num_samples: int) -> None:
    """Prints what an evaluation holds above the level before it, and the pairs of a chunk; for a process of its own."""
    built = tb.build(recipe, image_shape=SHAPE)
    model = built.model.eval()
    x = torch.rand(MEMORY_IMAGES, *SHAPE).round()
    with torch.no_grad():
        chunk = probe_chunk(model, x[:1])
    importance(model, x[:1], 1)  # what PyTorch and its kernels keep is no part of an evaluation
    Path("/proc/self/clear_refs").write_text("5")  # the highest level begins anew
    before = _status("VmRSS")
    importance(model, x, num_samples)
    print(json.dumps({"chunk": chunk, "mib": (_status("VmHWM") - before) / 1024}))


def memory(recipe: str, threads: int) -> dict[str, Any]:
    """MiB at K = 1,000 and at the K that fills one chunk of the images."""
    chunk = _in_process(recipe, 1, threads)["chunk"]
    fills = max(1, chunk // MEMORY_IMAGES)
    facts: dict[str, Any] = {"pairs_a_chunk": chunk, "images": MEMORY_IMAGES}
    for name, settings in ALLOCATORS.items():
        found = {k: _in_process(recipe, k, threads, settings)["mib"] for k in (fills, 1000)}
        facts[name] = {"mib": {str(k): mib for k, mib in found.items()}, "ratio": found[1000] / found[fills]}
    return facts


def _built(recipe: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    built = tb.build(recipe, image_shape=SHAPE)
    return built.model.train(), built.objective


def _in_process(
    recipe: str, num_samples: int, threads: int, settings: Mapping[str, str] | None = None
) -> dict[str, Any]:
    command = [sys.executable, __file__, "--memory-of", recipe, str(num_samples), "--threads", str(threads)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, **(settings or {})})
    return json.loads(done.stdout)


def _status(key: str) -> int:
    """KiB of a line of the process's own status."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def main() -> None:
    """Runs and prints both measurements."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--memory-of", nargs=2, metavar=("RECIPE", "K"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.memory_of:
        memory_of(given.memory_of[0], int(given.memory_of[1]))
        return
    facts: dict[str, Any] = {"torch": torch.__version__, "threads": given.threads, "batch": BATCH, "training": {}}
    facts["precision"] = resolve_precision("auto", "cpu")
    for recipe in RECIPES:
        found = rates(recipe, given.rounds)
        middle = {name: statistics.median(values) for name, values in found.items()}
        ratio = statistics.median(b / a for a, b in zip(found["plain"], found["ours"], strict=True))
        facts["training"][recipe] = {"images_per_second": found, "median": middle, "ratio": ratio}
        for name, values in found.items():
            low, _, high = statistics.quantiles(values, n=4)
            print(f"{recipe}  {name:5}  {middle[name]:6.1f} images/s ({low:.1f} to {high:.1f})", flush=True)
        print(f"{recipe}  ratio  {ratio:6.2f}", flush=True)
    facts["memory"] = memory(RECIPES[-1], given.threads)
    print(f"{RECIPES[-1]}  memory {facts['memory']}")
    if given.out is not None:
        given.out.write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
