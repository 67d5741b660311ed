"""Cases 2 and 3: training a residual VAE with autoregressive flows, and ladders, beside a plain float32 NCHW loop."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import torch

from benchmarks.bench.limits import count
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender, Race
from benchmarks.bench.training import Ours, images, plain
from benchmarks.bench.workers import Pair

LEAST = 2.3
RESIDUAL, RESIDUAL_BATCH = "mnist-iaf-small", 128
LADDERS, LADDER_BATCH = ("static-mnist-ladder-3", "static-mnist-ladder-12"), 64


def residual(bench: Bench) -> Iterator[Row]:
    """Case 2, compiled as a run of the recipe's length is."""
    what = f"residual IAF-VAE ({RESIDUAL}) training"
    yield from _beside_plain(bench, 2, what, RESIDUAL, RESIDUAL_BATCH, compiled=True)


def ladders(bench: Bench) -> Iterator[Row]:
    """Case 3. Compiled, as a run of the recipe's length is; that takes minutes."""
    for recipe in LADDERS:
        yield from _beside_plain(
            bench, 3, f"ladder ({recipe}) training", recipe, LADDER_BATCH, compiled=not bench.on_gpu
        )


def _beside_plain(bench: Bench, case: int, what: str, recipe: str, batch: int, *, compiled: bool) -> Iterator[Row]:
    """A row of our training beside the plain loop, and on two cores one of it in two processes beside two threads.

    The loop has ended by then: it was at its slowest beside two more processes that hold memory, and ours was not.
    """
    size = f"training.batch_size={batch}"
    split = images(recipe, 6_000)
    by_hand = plain(recipe, split, bench.device, [size])
    operations = count(lambda: by_hand(1))
    mine = Ours(recipe, split, bench.training(compiled, size))
    contenders = [
        mine.contender(batch),
        Contender("plain float32", by_hand, batch),
    ]
    if bench.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    found = bench.race(contenders)
    note = _first_steps(found)
    if bench.on_gpu:
        note += f"; most memory held {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB"
    options = {
        "operations": None if operations is None else operations / batch,
        # At this batch a GPU's convolutions of the bare library wait for their launch: no limit.
        "limit": f"{'product' if bench.on_gpu else 'convolution 14×14'} {bench.precision}",
    }
    yield race_row(bench, case, f"{what}, batch {batch}", found, least=LEAST, notes=(mine.how, note), **options)
    if bench.on_gpu or torch.get_num_threads() != 2 or bench.clock is not time.perf_counter:
        return
    with Pair("training", recipe, batch // 2, bench.training(compiled), together=True) as pair:
        found = bench.race([Contender("two processes", pair, batch), replace(contenders[0], name="two threads")])
    what = f"{what} in two processes of one thread, batch {batch} together"
    yield race_row(bench, case, what, found, notes=(_first_steps(found),), **options)


def _first_steps(found: Race) -> str:
    return f"first step {', '.join(f'{name} {seconds:.1f} s' for name, seconds in found.first.items())}"
