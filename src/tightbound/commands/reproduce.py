"""``tightbound reproduce``: recipes are run with several seeds, and ours is set beside what was published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import typer

from tightbound.commands.beside import beside_lines
from tightbound.commands.console import say
from tightbound.commands.jobs import check, check_data, finish, plan, write_command
from tightbound.errors import RecipeError
from tightbound.recipes.agreement import check_seeds, with_fewest_samples
from tightbound.recipes.result_row import findings, result_row, write_row
from tightbound.training import InterruptedTrainingError, was_launched

STUDY = "gaussian-location"  # no recipe: many small models, see commands/location.py
_COMMIT = re.compile("[0-9a-f]{7,40}")


def reproduce(
    recipes: Sequence[str],
    *,
    seeds: int = 1,
    first_seed: int | None = None,
    runs: Path = Path("runs"),
    rows: Path | None = None,
    device: str | None = None,
    commit: str | None = None,
    modules: Sequence[str] = (),
) -> None:
    """Brings every recipe to an end with every seed and prints ours beside the published numbers.

    A finished run is used as it is, an unfinished one goes on, one that is not there is made. All that can be refused
    is refused before any work.

    Args:
        recipes: shipped names or YAML files; or the study ``gaussian-location`` with its ``key=value``.
        seeds: how many.
        first_seed: counted from here; None for the recipe's own.
        runs: where the run folders are, ``<recipe>-seed<n>``.
        rows: where result rows are written; None for nowhere.
        device: where to compute; None for the recipe's, or for what a run was begun on.
        commit: of runs that do not say with which they were made.
        modules: plug-ins that were imported; named in the commands of rows, and in the one that goes on.

    Raises:
        RecipeError: a wrong recipe or option.
        RunError: a run is of another recipe or of other data than the other seeds, or its commit is not known and a
            row is wanted.
        InterruptedTrainingError: by Ctrl-C; the hint is the command that goes on.
    """
    _check_commit(commit, rows)
    if was_launched():
        raise RecipeError(
            "reproduce runs in one process; got several by a launcher",
            hint="train with several processes into RUNS/RECIPE-seedN, and reproduce takes that run as it is",
        )
    is_study = STUDY in recipes
    if is_study and (seeds != 1 or first_seed is not None or device is not None):
        raise RecipeError(f"{STUDY} has data sets in place of --seeds, and no --device", hint="leave both out")
    planned = () if is_study else recipes
    jobs = {name: plan(name, seeds, runs, device, modules, first_seed=first_seed) for name in planned}
    for listed in jobs.values():
        for job in listed:
            check(job, wants_row=rows is not None, commit=commit)
        check_data(listed)
    try:
        if is_study:
            from tightbound.commands.location import reproduce_location

            reproduce_location([given for given in recipes if given != STUDY], runs, rows, commit)
        for listed in jobs.values():
            found = []
            for job in listed:
                run = finish(job)
                found.append(findings(run))
                check_seeds(with_fewest_samples(found))
                if rows is not None:
                    say(f"wrote {write_row(result_row(run, job.command, commit=commit), rows)}")
            typer.echo("\n".join(beside_lines(listed[0].recipe, found)))
    except (InterruptedTrainingError, KeyboardInterrupt) as error:
        options = {
            "--seeds": None if is_study else seeds,
            "--first-seed": first_seed,
            "--runs": runs,
            "--rows": rows,
            "--device": device,
            "--commit": commit,
        }
        message = error.message if isinstance(error, InterruptedTrainingError) else "stopped by Ctrl-C"
        raise InterruptedTrainingError(
            message, hint=f"go on with: {write_command(recipes, options, modules)}"
        ) from None


def _check_commit(commit: str | None, rows: Path | None) -> None:
    if commit is None:
        return
    if rows is None:
        raise RecipeError("--commit is kept in result rows, and none are written", hint="add --rows DIR, or leave it")
    if not _COMMIT.fullmatch(commit):
        raise RecipeError(f"--commit: got {commit!r}; expected 7 to 40 digits of a commit, such as 9b0a3c3")
