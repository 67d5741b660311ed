"""Case 8: what an evaluation holds above the level before it, at many samples and at as many as fill one chunk.

Each in a process of its own, on Linux: with the C library's allocator as it is, which keeps and scatters what is freed,
differently in every process, so that there are repeats; and told to give every large block back at once, which shows
what is held, the same each time.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.bench.scoring import binary, model_of
from benchmarks.bench.setting import Bench, Row, spread
from benchmarks.bench.timing import Middle, say
from tightbound.evaluation import importance
from tightbound.evaluation.chunks import probe_chunk

MOST = 1.1
# Recipe: images, so many that one call of at most 256 samples of each can fill a chunk; K.
EVALUATIONS = {"mnist-mlp": (32, 5000), "static-mnist-ladder-3": (4, 1000), "static-mnist-ladder-12": (4, 1000)}
# Allocator: repeats, environment.
ALLOCATORS: Mapping[str, tuple[int, Mapping[str, str]]] = {
    "allocator as it is": (3, {}),
    "allocator gives back": (1, {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}),
}


def measure(recipe: str, images: int, num_samples: int) -> dict[str, float]:
    """In this process: pairs of a chunk, and the most MiB that an evaluation holds above what was held before."""
    device = torch.device("cpu")
    model, x = model_of(recipe, device), binary(images, device)
    with torch.no_grad():
        chunk = probe_chunk(model, x[:1])
    importance(model, x[:1], 1)  # what PyTorch and its kernels keep is no part of an evaluation
    Path("/proc/self/clear_refs").write_text("5")  # the highest level begins anew
    before = _status("VmRSS")
    importance(model, x, num_samples)
    return {"chunk": chunk, "mib": (_status("VmHWM") - before) / 1024}


def case(bench: Bench) -> Iterator[Row]:
    """Each recipe with each allocator."""
    del bench
    for recipe, (images, many) in EVALUATIONS.items():
        chunk = int(_in_process(recipe, images, 1, {})["chunk"])
        few = max(1, chunk // images)
        for allocator, (repeats, settings) in ALLOCATORS.items():
            mib: dict[int, list[float]] = {few: [], many: []}
            for _ in range(repeats):
                for num_samples, found in mib.items():
                    found.append(_in_process(recipe, images, num_samples, settings)["mib"])
            ratio = Middle.of([a / b for a, b in zip(mib[many], mib[few], strict=True)])
            say(f"  {recipe}, {allocator}: {mib}")
            yield Row(
                8,
                f"evaluation memory, {recipe}, K = {many:,}, {allocator}",
                f"{spread(Middle.of(mib[many]), 1)} MiB",
                f"K = {few:,}: {spread(Middle.of(mib[few]), 1)} MiB",
                f"{spread(ratio, 2)} × K = {few:,}",
                f"≤ {MOST:g} ×",
                ratio.median <= MOST,
                "",
                (f"{images} images; a chunk is {chunk:,} pairs",),
                {"unit": "MiB", "mib": {str(k): values for k, values in mib.items()}, "chunk": chunk},
            )


def _in_process(recipe: str, images: int, num_samples: int, settings: Mapping[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench.memory", recipe, str(images), str(num_samples)]
    command.append(str(torch.get_num_threads()))
    root, environment = Path(__file__).parents[2], {**os.environ, **settings}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment, cwd=root)
    return json.loads(done.stdout)


def _status(key: str) -> int:
    """KiB of a line of the process's own status."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]))
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
