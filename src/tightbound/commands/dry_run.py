"""``tightbound train --dry-run``: what a run would be, before anything is written."""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
import typer

from tightbound.commands.console import say
from tightbound.commands.show import table
from tightbound.core import Step
from tightbound.recipes.build import Built, build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.train import read_data
from tightbound.training import Decisions, TrainingStep, decide, place
from tightbound.training.precision import dtype_of

_WARM_UP, _TIMED = 3, 10


def dry_run(recipe: str, overrides: Sequence[str]) -> None:
    """Prints the parameters of each module, the memory and the time; a few real steps are timed on random images."""
    loaded = load_recipe(recipe, overrides)
    data = read_data(loaded, say=say)
    built = build(loaded, DataFacts.of(data.train))
    decisions = decide(loaded.training, built.model, len(data.train))
    seconds = time_step(built, decisions)
    for sentence in (*data.notes, *built.notes):
        typer.echo(sentence)
    typer.echo(parameter_table(built))
    typer.echo(table([*_memory(built, decisions), *_time(decisions, seconds)]))
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


def time_step(built: Built, decisions: Decisions) -> float:
    """Seconds of one training step, forward, backward and update, without compilation."""
    model, objective = built.model, built.objective
    place(model, device=decisions.device, precision=decisions.precision, channels_last=decisions.channels_last)
    module = TrainingStep(model, objective).train()
    optimizer = built.recipe.training.optimizer().make([p for p in model.parameters() if p.requires_grad])
    dtype, device = dtype_of(decisions.precision), decisions.device
    batch = decisions.batch_size
    x = torch.rand(batch, *built.facts.image_shape).to(device, dtype)
    x = (x > 0.5).to(dtype) if built.facts.kind == "binary" else x
    noise = torch.randn(objective.num_samples, batch, model.noise_size).to(device, dtype)
    step = Step(torch.zeros((), device=device), torch.zeros((), device=device, dtype=dtype))
    started = 0.0
    for index in range(_WARM_UP + _TIMED):
        if index == _WARM_UP:
            _wait(device)
            started = time.perf_counter()
        optimizer.zero_grad()
        module(x, noise, step).value.backward()
        optimizer.step()
    _wait(device)
    return (time.perf_counter() - started) / _TIMED


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _memory(built: Built, decisions: Decisions) -> list[tuple[str, str]]:
    width = torch.tensor([], dtype=dtype_of(decisions.precision)).element_size()
    weights = built.num_parameters * width
    average = weights if built.recipe.training.ema is not None else 0
    kept = weights * 4 + average  # weights, gradients, two moments
    rows = [("memory", f"{_size(kept)} for weights, gradients, optimizer state{' and average' if average else ''}")]
    if decisions.device == "cuda":
        rows.append(("", f"{_size(torch.cuda.max_memory_allocated())} at the peak of a step, activations included"))
    return rows


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
