"""Cases 2 and 3: training a residual VAE with autoregressive flows, and ladders, beside a plain float32 NCHW loop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch

from benchmarks.bench.limits import count
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender, Race
from benchmarks.bench.training import Ours, images, plain
from benchmarks.bench.workers import Pair, Worker

LEAST = 2.3
LOOPS = 3  # processes of the loop written by hand: two of the same program differ by up to a seventh
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
    """A row of our training beside the plain loop, and on two cores one of it in two processes beside two threads."""
    size = f"training.batch_size={batch}"
    split = images(recipe, 6_000)
    operations = count(lambda: plain(recipe, split, bench.device, [size])(1))
    options = {
        "operations": None if operations is None else operations / batch,
        # At this batch a GPU's convolutions of the bare library wait for their launch: no limit.
        "limit": f"{'product' if bench.on_gpu else 'convolution 14×14'} {bench.precision}",
    }
    what = f"{what}, batch {batch}"
    if bench.on_gpu or bench.clock is not time.perf_counter:
        by_hand = Contender("plain float32", plain(recipe, split, bench.device, [size]), batch)
        mine = Ours(recipe, split, bench.training(compiled, size))
        if bench.on_gpu:
            torch.cuda.reset_peak_memory_stats()
        found = bench.race([mine.contender(batch), by_hand])
        held = f"; most memory held {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if bench.on_gpu else ""
        notes = (mine.how, _first_steps(found) + held)
        yield race_row(bench, case, what, found, least=LEAST, notes=notes, **options)
        return
    yield from _apart(bench, case, what, recipe, batch, bench.training(compiled), options)


def _apart(
    bench: Bench, case: int, what: str, recipe: str, batch: int, overrides: Sequence[str], options: Mapping[str, Any]
) -> Iterator[Row]:
    """The same on a processor, each in a process of its own, as it is used: in one, the loop is slower beside ours."""
    threads = torch.get_num_threads()
    with Worker("training", recipe, batch, overrides, threads=threads) as ours:
        mine = Contender("ours", ours, batch)
        with ExitStack() as stack:
            loops = [stack.enter_context(Worker("plain", recipe, batch, (), threads=threads)) for _ in range(LOOPS)]

            def each(steps: int) -> None:
                for loop in loops:
                    loop(steps)

            found = bench.race([mine, Contender("plain float32", each, LOOPS * batch)])
        found.first["plain float32"] /= LOOPS
        notes = (ours.how, _first_steps(found), f"ours in a process of its own, the loop in {LOOPS}, in turn")
        yield race_row(bench, case, what, found, least=LEAST, notes=notes, **options)
        if threads != 2:
            return
        # Without the loop, which has ended by now: races of three were the noisiest.
        with Pair("training", recipe, batch // 2, overrides, together=True) as pair:
            found = bench.race([Contender("two processes", pair, batch), replace(mine, name="two threads")])
            notes = (pair.how, _first_steps(found))
    yield race_row(bench, case, f"{what}, in two processes of one thread", found, notes=notes, **options)


def _first_steps(found: Race) -> str:
    return f"first step {', '.join(f'{name} {seconds:.1f} s' for name, seconds in found.first.items())}"
