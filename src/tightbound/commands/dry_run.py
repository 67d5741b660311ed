"""``tightbound train --dry-run``: what a run would be, before anything is written."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from tightbound.commands.console import say
from tightbound.commands.show import table
from tightbound.commands.step_cost import StepCost, measure_step
from tightbound.data import Data
from tightbound.recipes.build import Built, build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.train import check_plan, read_data
from tightbound.training import Decisions, decide


def dry_run(recipe: str, overrides: Sequence[str]) -> None:
    """Prints the parameters of each module, the memory and the time; a few real steps are timed on random images."""
    loaded = load_recipe(recipe, overrides)
    data = read_data(loaded, say=say)
    check_plan(loaded, data)
    built = build(loaded, DataFacts.of(data.train))
    decisions = decide(loaded.training, built.model, len(data.train))
    for sentence in (*data.notes, *built.notes):
        typer.echo(sentence)
    typer.echo(parameter_table(built))
    say("timing a few steps ...")
    cost = measure_step(built, decisions)
    typer.echo(table([*_memory(built, decisions, data, cost), *_time(decisions, cost.seconds)]))
    typer.echo("dry run: nothing was written")


def parameter_table(built: Built) -> str:
    """Trained numbers by module, two levels deep."""
    counts: dict[str, int] = {}
    for name, parameter in built.model.named_parameters():
        module = ".".join(name.split(".")[:-1][:2]) or name
        counts[module] = counts.get(module, 0) + parameter.numel()
    rows = [*counts.items(), ("all", built.num_parameters)]
    column, width = max(len(name) for name, _ in rows) + 2, len(f"{built.num_parameters:,}")
    return "\n".join(f"{name:<{column}}{count:>{width},}" for name, count in rows)


def _memory(built: Built, decisions: Decisions, data: Data, cost: StepCost) -> list[tuple[str, str]]:
    parts = {
        "weights": (cost.weights, ""),
        "gradients": (cost.gradients, ""),
        "optimizer": (cost.optimizer, "of state"),
        "average": (cost.weights if built.recipe.training.ema is not None else 0, "of moving average"),
        "activations": (cost.activations or 0, f"for a batch of {decisions.batch_size:,}"),
        "data": (data_bytes(data), "of images in memory"),
    }
    rows = [(name, f"{_size(count)} {what}".strip()) for name, (count, what) in parts.items() if count]
    total = sum(count for count, _ in parts.values())
    apart = "PyTorch itself" if cost.activations is not None else "activations, which were not measured, and PyTorch"
    return [*rows, ("memory", f"about {_size(total)} in all, {apart} apart")]


def data_bytes(data: Data) -> int:
    """Of all images that are in memory: splits may share theirs, and memory-mapped ones stay in their file."""
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    storages = [split.pixels.untyped_storage() for split in splits if not split.images.mapped]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _time(decisions: Decisions, seconds: float) -> list[tuple[str, str]]:
    total = decisions.total_steps * seconds
    rate = decisions.batch_size / seconds
    return [
        ("step", f"{seconds * 1000:.1f} ms, {rate:,.0f} images/s, on {decisions.device} in {decisions.precision}"),
        (
            "steps",
            f"{decisions.total_steps:,}, {decisions.steps_per_epoch:,} an epoch, batches of {decisions.batch_size}",
        ),
        ("time", f"about {_duration(total)} of training, validation and evaluation apart"),
        ("compile", decisions.compile_note.removeprefix("compile: ")),
    ]


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
