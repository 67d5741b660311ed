"""The runs that ``tightbound reproduce`` needs: found, checked, brought to an end."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tightbound.commands.console import say
from tightbound.commands.report import report_run
from tightbound.commands.results import headline_lines
from tightbound.commands.train import check_folder, evaluate_each
from tightbound.errors import RunError
from tightbound.recipes.agreement import data_difference
from tightbound.recipes.build import build
from tightbound.recipes.origin import checkout
from tightbound.recipes.recipe import Recipe, first_difference, load_recipe
from tightbound.recipes.result_row import find_evaluation, settle_commits
from tightbound.recipes.run import RESOLVED, Run, open_run
from tightbound.recipes.run_data import describe_data
from tightbound.recipes.train import read_data, train_run
from tightbound.recipes.weights import WEIGHTS
from tightbound.registry import Factory
from tightbound.training.reporting import append_to_log


@dataclass(frozen=True)
class Job:
    """One recipe with one seed.

    Args:
        recipe: with its seed set.
        place: the run folder, or a zip of a finished one.
        command: what gives its result row again.
    """

    recipe: Recipe
    place: Path
    command: str


def plan(
    name: str,
    seeds: int,
    runs: Path,
    device: str | None,
    modules: Sequence[str] = (),
    *,
    first_seed: int | None = None,
) -> list[Job]:
    """The runs of one recipe, with as many seeds.

    Args:
        name: a shipped name or a YAML file.
        seeds: how many.
        runs: where the run folders are.
        device: where to compute; None for what a run was begun on, or the recipe's.
        modules: plug-ins that were imported.
        first_seed: counted from here; None for the recipe's own.
    """
    own = load_recipe(name).training.seed
    first = own if first_seed is None else first_seed
    jobs = []
    for seed in range(first, first + seeds):
        which = {"--seeds": seed - own + 1} if first_seed is None else {"--first-seed": seed}
        jobs.append(_job(name, seed, which, runs, device, modules))
    return jobs


def check(job: Job, *, wants_row: bool, commit: str | None) -> None:
    """Refuses, before any work, a run that is another one than the job's, or whose row could not be written.

    Raises:
        RunError: what differs, or what is missing.
    """
    if not _begun(job.place):
        check_folder(job.place, resume=True)
        if wants_row:
            settle_commits(job.place, [checkout()], commit)
        return
    run = open_run(job.place)
    difference = _difference(run, job.recipe)
    if difference:
        raise RunError(
            f"{job.place} is a run of another recipe: {difference}", hint="move it away, or give another --runs"
        )
    if not run.writable and (not _trained(run) or _missing(run, job.recipe)):
        raise RunError(f"{job.place} is a zip of a run that is not finished", hint="unpack it beside, and it goes on")
    if wants_row:
        settle_commits(job.place, run.resolved.get("checkouts"), commit)


def check_data(jobs: Sequence[Job]) -> None:
    """Refuses, before any work, seeds of one recipe that are, or would be, trained on different data.

    Raises:
        RunError: what differs.
        DataError: the data of a run that is to be made are missing.
    """
    begun = [job for job in jobs if _begun(job.place)]
    if not begun:
        return
    kept = [(job.place, open_run(job.place).resolved["data"]) for job in begun]
    fresh = next((job for job in jobs if job not in begun), None)
    if fresh is not None:
        name = fresh.recipe.data.name
        kept.append((fresh.place, describe_data(read_data(fresh.recipe, say=say), None, name)))
    (first, there), *others = kept
    for place, here in others:
        difference = data_difference(there, here)
        if difference:
            raise RunError(
                f"{first} and {place} are not of the same data: {difference}",
                hint="move one of them away, or give another --runs",
            )


def finish(job: Job) -> Run:
    """The finished run: as it is, gone on with, or made; its recipe asks for what the job's asks for."""
    run = open_run(job.place) if _begun(job.place) else None
    if run is None or not _trained(run):
        say(f"{'begins' if run is None else 'goes on'}: {job.place}")
        run = train_run(job.recipe, folder=job.place, resume=job.place.is_dir(), say=say)
        assert run is not None, "reproduce is one process"
        missing = list(job.recipe.evaluation)
    else:
        missing = _missing(run, job.recipe)
        say(f"{'lacks an evaluation' if missing else 'finished'}: {job.place}")
    if missing:
        evaluate_each(run, missing)
        report_run(run)
        append_to_log(run.folder, headline_lines(run.folder))
    asked = dataclasses.replace(run.recipe, evaluation=job.recipe.evaluation, published=job.recipe.published)
    return dataclasses.replace(run, recipe=asked)


def _job(name: str, seed: int, which: Mapping[str, int], runs: Path, device: str | None, modules: Sequence[str]) -> Job:
    recipe = load_recipe(name, [{"training": {"seed": seed}}])
    own = recipe.training.device
    place = runs / f"{recipe.name}-seed{seed}"
    archive = place.with_name(f"{place.name}.zip")
    if archive.is_file() and not place.exists():
        place = archive
    if device is None and _begun(place):
        device = open_run(place).recipe.training.device
    if device is not None:
        recipe = load_recipe(name, [{"training": {"seed": seed, "device": device}}])
    options = {**which, "--rows": "docs/results", "--device": None if device in (None, own) else device}
    return Job(recipe, place, write_command([name], options, modules))


def write_command(recipes: Sequence[str], options: Mapping[str, object], modules: Sequence[str]) -> str:
    """A command that reproduces, as a shell takes it; an option that is None is left out."""
    given = [str(word) for item in options.items() if item[1] is not None for word in item]
    imports = [word for module in modules for word in ("--import", module)]
    return shlex.join(["tightbound", "reproduce", *recipes, *given, *imports])


def _begun(place: Path) -> bool:
    return place.is_file() or (place / RESOLVED).is_file()


def _trained(run: Run) -> bool:
    return (run.folder / WEIGHTS).is_file()


def _missing(run: Run, recipe: Recipe) -> list[Factory]:
    return [settings for settings in recipe.evaluation if find_evaluation(run, settings) is None]


def _difference(run: Run, recipe: Recipe) -> str:
    """The first key in which a run's recipe is another one; a likelihood left open is settled by the run's data."""
    difference = first_difference(run.recipe, recipe, ("data", "objective", "training", "gray_protocol"))
    return difference or first_difference(run.recipe, build(recipe, run.facts).recipe, ("model",))
