"""Where the time of a training step goes, ours and a plain loop's: `python -m benchmarks.profile [--out FILE]`.

PyTorch's profiler slows a step by its own work, most where operations are small: the shares are of what it saw, the
time of a step is measured before, without it. What an operation takes of memory that is new to it, it pays for itself.
The optimizer is what its own methods call; the gradient's norm and the check that it is finite are sums.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.bench import report
from benchmarks.bench.limits import count
from benchmarks.bench.setting import Bench
from benchmarks.bench.timing import say
from benchmarks.bench.training import Ours, Run, images, plain
from tightbound.training.precision import resolve_precision

KINDS = {
    "products, convolutions": ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "convolution"),
    "activations": ("elu", "sigmoid", "silu", "softplus", "threshold", "aten::tanh"),
    "normalization": ("batch_norm", "group_norm", "weight_norm"),
    "reading of warped maps": ("grid_sampler", "tightbound::read_at"),
    "random numbers": ("random_", "normal_", "bernoulli_", "uniform_", "exponential_"),
    "compiled code": ("CompiledFxGraph",),
    "sums, products, copies": (
        *("aten::add", "aten::sub", "aten::mul", "aten::div", "aten::neg", "aten::sum", "aten::mean", "aten::where"),
        *("aten::cat", "aten::copy_", "aten::fill_", "aten::log", "aten::exp", "aten::sqrt", "aten::pow", "aten::abs"),
        *("upsample", "tightbound::doubled", "aten::index", "clamp", "aten::linalg_vector_norm", "aten::_foreach"),
        "aten::lerp",
    ),
}
OPTIMIZER, REST = "optimizer", "calls and the rest"
COLUMNS = (*KINDS, OPTIMIZER, REST)


class Subject(NamedTuple):
    """What is looked at.

    Attributes:
        case: of `benchmarks.bench`.
        recipe: trained, on random images.
        batch: images a step.
        compiled: whether our step is.
        dtype: of the plain loop.
    """

    case: int
    recipe: str
    batch: int
    compiled: bool
    dtype: torch.dtype = torch.float32


SUBJECTS = (
    Subject(1, "mnist-mlp", 128, True),
    Subject(1, "mnist-mlp", 512, True),
    Subject(2, "mnist-iaf-small", 128, True),
    Subject(3, "static-mnist-ladder-3", 64, True),
    Subject(3, "static-mnist-ladder-12", 64, True),
    Subject(10, "mnist-tvae-affine-multisample", 100, True, torch.float64),
)


def kind_of(name: str) -> str:
    """The column of an operation, by its name; the first that fits."""
    return next((kind for kind, parts in KINDS.items() if any(part in name for part in parts)), REST)


def in_optimizer(event: torch.autograd.profiler_util.FunctionEvent | None) -> bool:
    """Whether the optimizer called it, however indirectly."""
    while event is not None:
        if event.name.startswith("Optimizer."):
            return True
        event = event.cpu_parent
    return False


def milliseconds(run: Run, steps: int) -> float:
    """Of a step: the median of five turns."""
    turns = []
    for _ in range(5):
        start = time.perf_counter()
        run(steps)
        turns.append((time.perf_counter() - start) / steps)
    return 1e3 * statistics.median(turns)


def shares(run: Run, steps: int) -> dict[str, float]:
    """Each kind's part of the time that the profiler saw."""
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        run(steps)
    times: Counter[str] = Counter()
    for event in seen.events() or ():
        times[OPTIMIZER if in_optimizer(event) else kind_of(event.name)] += event.self_cpu_time_total
    return {kind: times[kind] / times.total() for kind in COLUMNS}


def rows_of(subject: Subject, bench: Bench, seconds: float) -> Iterable[list[str]]:
    """Ours, then the plain loop's: what, milliseconds a step, 10⁹ operations/s, the kinds' shares."""
    size = f"training.batch_size={subject.batch}"
    split = images(subject.recipe, 6_000)
    by_hand = plain(subject.recipe, split, bench.device, [size], subject.dtype)
    operations = count(lambda: by_hand(1)) or 0.0
    runs: dict[str, Run] = {
        f"ours, {bench.precision}{', compiled' if subject.compiled else ''}": Ours(
            subject.recipe, split, bench.training(subject.compiled, size)
        ),
        f"plain {str(subject.dtype).removeprefix('torch.')}": by_hand,
    }
    for name, run in runs.items():
        say(f"case {subject.case}, {subject.recipe}, batch {subject.batch}: {name}")
        with run.contender(1).around() if isinstance(run, Ours) else nullcontext():
            run(3)
            steps = max(round(seconds * 1e3 / milliseconds(run, 1)), 1)
            taken, parts = milliseconds(run, steps), shares(run, min(steps, 50))
        rate = f"{operations / taken / 1e6:,.0f}"
        first = [str(subject.case), f"{subject.recipe}, {subject.batch}", name, f"{taken:.1f}", rate]
        yield [*first, *(f"{100 * parts[kind]:.0f} %" if parts[kind] >= 0.005 else "" for kind in COLUMNS)]


def main() -> None:
    """Looks at every subject, prints a table and writes it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[1, 2, 3, 10], metavar="N")
    parser.add_argument("--threads", type=int, help="of PyTorch; its own choice if not given")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each of five turns")
    parser.add_argument("--out", type=Path, help="a Markdown file; printed if not given")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    bench = Bench(torch.device("cpu"), resolve_precision("auto", "cpu"))
    facts = report.facts_of(bench)
    head = ["case", "recipe, batch", "", "ms a step", "10⁹ operations/s", *COLUMNS]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for subject in SUBJECTS:
        if subject.case in given.cases:
            lines += ["| " + " | ".join(row) + " |" for row in rows_of(subject, bench, given.seconds)]
    title = f"# Where a training step's time goes, {facts['date']}, {facts['processor']}"
    versions = ", ".join(f"{name} {number}" for name, number in facts["versions"].items() if number)
    how = f"By `python -m benchmarks.profile`: {facts['threads']} threads, Python {facts['python']}, {versions}."
    text = "\n".join([title, "", f"{how} Operations are of products and convolutions.", "", *lines, ""])
    if given.out:
        given.out.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
