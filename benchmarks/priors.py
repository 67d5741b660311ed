"""What a richer prior costs: `python benchmarks/priors.py [--rounds 20]`, on one thread.

Times a training step (eager, batch of 128) and an evaluation of 8 images at K = 5,000 of `mnist-mlp` and its variants,
in turn, by processor time, so that a busy machine disturbs all alike. Prints medians, their spread and ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

import tightbound as tb
from tightbound.core import Step
from tightbound.training import TrainingStep

RECIPES = ("mnist-mlp", "mnist-mlp-mixture", "mnist-mlp-vamp")
SHAPE = (1, 28, 28)


def step_of(recipe: str) -> Callable[[], None]:
    """One training step of the recipe on random binary images, the optimizer included."""
    built = tb.build(recipe, image_shape=SHAPE)
    step = TrainingStep(built.model, built.objective)
    optimizer = torch.optim.Adam(built.model.parameters(), fused=True)
    x = torch.rand(128, *SHAPE).round()

    def run() -> None:
        optimizer.zero_grad()
        noise = torch.randn(built.objective.num_samples, len(x), built.model.noise_size)
        step(x, noise, Step(torch.tensor(0), torch.tensor(0.0))).value.backward()
        optimizer.step()

    return run


def evaluation_of(recipe: str) -> Callable[[], None]:
    """Evaluates 8 random binary images at K = 5,000."""
    built = tb.build(recipe, image_shape=SHAPE)
    x = torch.rand(8, *SHAPE).round()

    def run() -> None:
        tb.evaluate(built, x, num_samples=5000)

    return run


def measure(makers: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each, in turn, after one call of each that is not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in makers}
    for count in range(rounds + 1):
        for name, run in makers.items():
            started = time.process_time()
            run()
            if count:
                seconds[name].append(time.process_time() - started)
    return seconds


def show(title: str, seconds: dict[str, list[float]]) -> None:
    """Medians in milliseconds with the middle half, and the ratio to the first."""
    print(title)
    first = statistics.median(next(iter(seconds.values())))
    for name, values in seconds.items():
        low, middle, high = statistics.quantiles(values, n=4)
        print(f"  {name:20} {1e3 * middle:8.1f} ms ({1e3 * low:.1f} to {1e3 * high:.1f})  × {middle / first:.2f}")


def main() -> None:
    """Runs both measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    show("training step, batch of 128", measure({name: step_of(name) for name in RECIPES}, 10 * rounds))
    show("evaluation, 8 images, K = 5,000", measure({name: evaluation_of(name) for name in RECIPES}, rounds))


if __name__ == "__main__":
    main()
