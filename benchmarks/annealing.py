"""How many temperatures a gap takes: `python benchmarks/annealing.py RUN [--temperatures 100 200 500] [--out FILE]`.

On images that the model of a run simulates, the gap between the forward and the reverse bound of the sigmoid and the
adaptive schedule at several T, with several seeds; then at which T the adaptive schedule would leave the gap of each
of the sigmoid's, by interpolation of log gap over log T. Times include the pilot and both directions.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tightbound.evaluation import Annealing
from tightbound.evaluation.bidirectional import sandwich, simulated_images
from tightbound.evaluation.chunks import probe_chunk
from tightbound.evaluation.pilot import tune
from tightbound.recipes.run import open_run

SCHEDULES = ("sigmoid", "adaptive")


def measure(model: Any, annealing: Annealing, images: int, chains: int, seed: int) -> dict[str, Any]:
    """One gap: mean and standard error over simulated images, the same ones for every schedule and T of a seed."""
    with torch.no_grad():
        chunk = probe_chunk(model, simulated_images(model, range(1), seed)[0], gradient=True)
        started = time.perf_counter()
        settings = tune(model, annealing, seed=seed, chunk=chunk)
        pilot = time.perf_counter() - started
        lower, upper = sandwich(model, images, chains, settings, seed, chunk)
    gap = upper - lower
    return {
        "schedule": annealing.schedule,
        "temperatures": annealing.temperatures,
        "seed": seed,
        "gap": float(gap.mean()),
        "error": float(gap.std()) / math.sqrt(images),
        "lower": float(lower.mean()),
        "upper": float(upper.mean()),
        "pilot_seconds": pilot,
        "seconds": time.perf_counter() - started,
    }


def mean_gaps(rows: list[dict[str, Any]], schedule: str) -> dict[int, float]:
    """Mean gap over seeds at every T."""
    sizes = sorted({row["temperatures"] for row in rows})
    of = {t: [r["gap"] for r in rows if (r["schedule"], r["temperatures"]) == (schedule, t)] for t in sizes}
    return {t: float(np.mean(gaps)) for t, gaps in of.items()}


def equivalent(rows: list[dict[str, Any]]) -> dict[int, float | None]:
    """For every T of the sigmoid schedule, the T at which the adaptive one leaves its gap; None beyond what was run."""
    found: dict[int, float | None] = {}
    adaptive = mean_gaps(rows, "adaptive")
    gaps = np.array([adaptive[t] for t in sorted(adaptive, reverse=True)])
    sizes = np.log(sorted(adaptive, reverse=True))
    for t, gap in mean_gaps(rows, "sigmoid").items():
        inside = gap > 0 and gaps.min() <= gap <= gaps.max() and (gaps > 0).all() and (np.diff(gaps) > 0).all()
        found[t] = float(np.exp(np.interp(math.log(gap), np.log(gaps), sizes))) if inside else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--temperatures", type=int, nargs="+", default=[100, 200, 500])
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--leapfrog-steps", type=int, default=10)
    parser.add_argument("--start", choices=("prior", "base"), default="prior")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    model, rows = open_run(given.run).model(), []
    for seed in range(given.seeds):
        for temperatures in given.temperatures:
            for schedule in SCHEDULES:
                annealing = Annealing(temperatures, given.leapfrog_steps, schedule, given.start)
                rows.append(measure(model, annealing, given.images, given.chains, seed))
                r = rows[-1]
                print(
                    f"seed {seed}  T = {temperatures:5,}  {schedule:8}  gap {r['gap']:7.3f} ± {r['error']:.3f} nats"
                    f"  {r['seconds']:6.1f} s, of it the pilot {r['pilot_seconds']:.1f} s",
                    flush=True,
                )
    same = equivalent(rows)
    for t, needed in same.items():
        print(f"sigmoid at T = {t:,}: adaptive leaves that gap at T = {'?' if needed is None else round(needed)}")
    if given.out is not None:
        facts = {"run": given.run.name, "torch": torch.__version__, "threads": torch.get_num_threads()}
        facts |= {key: getattr(given, key) for key in ("images", "chains", "leapfrog_steps", "start", "seeds")}
        given.out.write_text(json.dumps({**facts, "rows": rows, "adaptive_for_sigmoid": same}, indent=1) + "\n")


if __name__ == "__main__":
    main()
