"""Case 10: spatial transformers, 5 samples an image, beside a plain float64 loop of the same model.

The published system computes in float64, one image after the other when it evaluates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.bench.limits import count
from benchmarks.bench.scoring import binary, model_of
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender
from benchmarks.bench.training import Ours, Run, images, plain
from tightbound.core import Model
from tightbound.evaluation import importance

RECIPES = ("mnist-tvae-affine-multisample", "mnist-tvae-tps-multisample")
BATCH, SAMPLES, IMAGES = 100, 1000, 32
LEAST_TRAINING, LEAST_EVALUATION = 5.0, 8.0


def case(bench: Bench) -> Iterator[Row]:
    """Training, then evaluation, of both warps."""
    for recipe in RECIPES:
        split, size = images(recipe), f"training.batch_size={BATCH}"
        by_hand = plain(recipe, split, bench.device, [size], torch.float64)
        operations = count(partial(by_hand, 1))
        mine = Ours(recipe, split, bench.training(True, size))
        contenders = [
            mine.contender(BATCH),
            Contender("plain float64", by_hand, BATCH),
        ]
        what = f"spatial transformer ({recipe}) training, K = 5, batch {BATCH}"
        found = bench.race(contenders)
        note = f"first step {', '.join(f'{name} {seconds:.1f} s' for name, seconds in found.first.items())}"
        yield race_row(
            *(bench, 10, what, found),
            least=LEAST_TRAINING,
            operations=None if operations is None else operations / BATCH,
            limit=f"product {bench.precision}",
            notes=(mine.how, note),
        )
    for recipe in RECIPES:
        model, by_hand = (model_of(recipe, bench.device) for _ in range(2))
        contenders = [
            Contender("ours", streamed(model, binary(IMAGES, bench.device)), IMAGES * SAMPLES),
            Contender("plain float64", one_by_one(by_hand.double(), binary(IMAGES, bench.device).double()), SAMPLES),
        ]
        what = f"spatial transformer ({recipe}) evaluation, K = {SAMPLES:,}, ours in float32"
        yield race_row(bench, 10, what, bench.race(contenders), unit="pairs/s", least=LEAST_EVALUATION)


def streamed(model: Model, x: torch.Tensor) -> Run:
    """Our evaluator."""

    def run(steps: int) -> None:
        for _ in range(steps):
            importance(model, x, SAMPLES)

    return run


def one_by_one(model: Model, x: torch.Tensor) -> Run:
    """An image a step: all of its samples at once, and the logarithm of the mean of their weights."""

    @torch.no_grad()
    def run(steps: int) -> None:
        for step in range(steps):
            draw = model.draw(x[step % len(x)].unsqueeze(0), SAMPLES)
            (torch.logsumexp(draw.log_weight, 0) - math.log(SAMPLES)).item()

    return run
