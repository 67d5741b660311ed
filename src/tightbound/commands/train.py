"""``tightbound train`` and ``demo``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from tightbound.commands.console import counter, say
from tightbound.commands.report import report_run
from tightbound.commands.results import headline_lines
from tightbound.recipes.evaluate import evaluate_run
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.run import Run
from tightbound.recipes.train import new_folder, train_run
from tightbound.training import InterruptedTrainingError


def train_and_report(
    recipe: str,
    overrides: Sequence[str],
    *,
    out: Path | None,
    resume: bool = False,
    evaluate: bool = True,
) -> None:
    """Trains, evaluates as the recipe says, writes the report; ends with the numbers and the report's path."""
    loaded = load_recipe(recipe, overrides)
    folder = new_folder(loaded) if out is None else out
    say(f"run folder: {folder}")
    try:
        run = train_run(loaded, folder=folder, resume=resume, say=say)
    except InterruptedTrainingError as error:
        error.hint = f"go on with: tightbound train {' '.join([recipe, *overrides])} --out {folder} --resume"
        raise
    if evaluate:
        _evaluate(run)
    path = report_run(run)
    if evaluate:
        typer.echo("\n".join(headline_lines(folder)))
    typer.echo(f"report: {path}")


def _evaluate(run: Run) -> None:
    for settings in run.recipe.evaluation:
        say(f"evaluating: {settings.kind}, {settings.options['samples']:,} samples an image")
        run.add_evaluation(evaluate_run(run, settings, progress=counter("evaluating")))
