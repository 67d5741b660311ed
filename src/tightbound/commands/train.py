"""``tightbound train`` and ``demo``."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from tightbound.commands.console import counter, say
from tightbound.commands.launch import launched
from tightbound.commands.report import report_run
from tightbound.commands.results import headline_lines
from tightbound.errors import RecipeError, RunError
from tightbound.recipes.evaluate import evaluate_run
from tightbound.recipes.recipe import Recipe, load_recipe
from tightbound.recipes.run import RESOLVED, Run
from tightbound.recipes.train import new_folder, train_run
from tightbound.registry import Factory
from tightbound.training import InterruptedTrainingError, join, leave
from tightbound.training.reporting import append_to_log


def train_and_report(
    recipe: str,
    overrides: Sequence[str],
    *,
    out: Path | None,
    resume: bool = False,
    evaluate: bool = True,
    modules: Sequence[str] = (),
) -> None:
    """Trains, evaluates as the recipe says, writes the report; ends with the numbers and the report's path.

    In one of several processes it trains with the others, and the first goes on from there.

    Args:
        recipe: a name or a path.
        overrides: ``key=value``.
        out: the run folder; None for a new one in ``runs``.
        resume: go on with the run in it.
        evaluate: whether to.
        modules: plug-ins that were imported; named in the command that goes on with a stopped run.
    """
    processes = join()
    with processes.last_words():
        loaded = processes.each(lambda: load_recipe(recipe, overrides))
        folder = processes.first(lambda: _choose_folder(loaded, out, resume))
        try:
            run = train_run(loaded, folder=folder, resume=resume, say=say)
        except InterruptedTrainingError as error:
            again = _resuming(recipe, overrides, folder, evaluate, modules)
            by_another = processes.are_several and not launched()
            error.hint = f"go on with{', started by the launcher as before' if by_another else ''}: {again}"
            raise
    leave()
    if run is not None:
        _finish(run, evaluate)


def _choose_folder(recipe: Recipe, out: Path | None, resume: bool) -> Path:
    folder = new_folder(recipe) if out is None else out
    check_folder(folder, resume=resume)
    say(f"run folder: {folder}")
    return folder


def _finish(run: Run, evaluate: bool) -> None:
    """Evaluation and report of a trained run."""
    refused = None
    try:
        evaluate_each(run, run.recipe.evaluation if evaluate else ())
    except RecipeError as error:  # that one is too long to make; the training is not to be without a report for it
        refused = error
    path = report_run(run)
    if evaluate:
        lines = headline_lines(run.folder)
        append_to_log(run.folder, lines)
        typer.echo("\n".join(lines))
    typer.echo(f"report: {path}")
    if refused is not None:
        raise refused


def check_folder(folder: Path, *, resume: bool = False) -> None:
    """Refuses, before data are read, a folder that a run cannot be written into.

    Raises:
        RunError: it holds a run already, is a file, or cannot be written to.
    """
    if (folder / RESOLVED).exists() and not resume:
        hint = "go on with it by --resume, or give another folder with --out"
        raise RunError(f"{folder} holds a run already", hint=hint)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise RunError(f"--out: {there} is a file; expected a folder", hint="give another folder with --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise RunError(f"--out: {there} is not writable", hint="give another folder with --out")


def _resuming(recipe: str, overrides: Sequence[str], folder: Path, evaluate: bool, modules: Sequence[str]) -> str:
    """The command that goes on with a stopped run, as a shell takes it."""
    words = ["tightbound", "train", recipe, *overrides, "--out", str(folder), "--resume"]
    words += [] if evaluate else ["--no-evaluate"]
    words += ["--processes", str(launched())] if launched() else []
    return shlex.join([*words, *(word for module in modules for word in ("--import", module))])


def evaluate_each(run: Run, wanted: Iterable[Factory]) -> None:
    """Evaluates a run with each of these settings and keeps the numbers in it.

    Raises:
        RecipeError: one was refused; the others are made first.
    """
    refused = None
    for settings in wanted:
        samples = "" if settings.kind == "probe" else f", {settings.options['samples']:,} samples an image"
        say(f"evaluating: {settings.kind}{samples}")
        try:
            run.add_evaluation(evaluate_run(run, settings, progress=counter("evaluating"), say=say))
        except RecipeError as error:
            refused = refused or error
    if refused is not None:
        raise refused
