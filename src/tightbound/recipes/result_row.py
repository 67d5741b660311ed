"""A result row: what a finished run found, with all that is needed to find it again, in one JSON file.

The numbers are those of the run's own files, never rounded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tightbound.errors import RunError
from tightbound.evaluation.bidirectional import MOST_SIMULATED
from tightbound.evaluation.identity import ANNEALING, COMMON, PROBE, identity
from tightbound.recipes.files import write_text
from tightbound.recipes.origin import processor
from tightbound.recipes.run import Run
from tightbound.recipes.seeds import mean_over
from tightbound.registry import Factory

METRICS = "metrics.jsonl"
LOGGED = ("elbo", "log_likelihood", "kl", "rmse", "mae")  # of the training rows
LAST_ROWS = 100
CURVE = ("step", "epoch", "elbo", "seconds")  # of the validation rows
_NOT_KEPT = ("path", "in_memory")  # of the data: where they were on one machine
_OF_UNITS = ("active_mask", "activity", "kl_units")  # of an evaluation, a number a unit: a ladder has thousands

Row = Mapping[str, Any]


def findings(run: Run) -> dict[str, Any]:
    """The numbers of a finished run.

    ``value`` is the bound on log p(x) of the recipe's first evaluation that is no probe, ``error`` its Monte Carlo
    error and ``error_images`` the error that a new test set would have. ``evaluations`` are those that the recipe asks
    for, in its order but probes last, and no others of the run. ``last_minibatch`` has what training logged last, over
    how many steps; ``last_steps`` the means over the last 100 logged rows, with the standard errors that independent
    rows would have, the smallest and the largest; ``curve`` the ELBO of the validation split at each validation, and
    the seconds so far.

    Raises:
        RunError: an evaluation that the recipe asks for or the training log is missing.
    """
    asked = [found for settings in run.recipe.evaluation if (found := find_evaluation(run, settings)) is not None]
    if not asked or len(asked) < len(run.recipe.evaluation):
        raise RunError(f"{run.folder} lacks an evaluation that its recipe asks for", hint="finish the run first")
    asked.sort(key=lambda row: row["method"] == "probe")  # what bounds log p(x) first, as readers of a row expect
    main = asked[0]
    if main["method"] == "probe":
        raise RunError(
            f"{run.folder}: its recipe asks for no estimate of log p(x), which a result row is of",
            hint="add one to evaluation, such as {method: importance}",
        )
    rows = metrics_rows(run.folder)
    training = [row for row in rows if row["split"] == "train"]
    return {
        "recipe": run.recipe.name,
        "seed": run.recipe.training.seed,
        "data": {key: value for key, value in run.resolved["data"].items() if key not in _NOT_KEPT},
        "parameters": run.resolved["parameters"],
        "training_seconds": max(row["seconds"] for row in rows),
        "evaluation_seconds": main["seconds"],
        "protocol": main["protocol"],
        "value": main["log_likelihood"],
        "error": main["standard_error"],
        "error_images": main["standard_error_images"],
        "sentence": main["sentence"],
        "last_minibatch": last_minibatch(training),
        "last_steps": last_steps(training),
        "curve": [{name: row[name] for name in CURVE} for row in rows if row["split"] == "validation"],
        "evaluations": asked,
    }


def result_row(run: Run, command: str, *, commit: str | None = None) -> dict[str, Any]:
    """The row of a finished run: how to make it again, and its ``findings``, of a ladder without every unit's.

    Args:
        run: trained, and evaluated as its recipe says.
        command: what gives this row again.
        commit: of the source, for a run that does not say; it is then not known whether files were changed.

    Raises:
        RunError: the run is not finished, or the commit is not known.
    """
    made = settle_commits(run.folder, run.resolved.get("checkouts"), commit)
    changed = [source["changed"] for source in made]
    later = ", ".join(source["commit"] for source in made[1:])
    notes = [f"gone on with at {later}"] if later else []
    seed = run.recipe.training.seed
    if several := _several(run.resolved):  # the command takes such a run, and trains none
        place = f"RUNS/{run.recipe.name}-seed{seed}"
        notes.append(f"trained before, in {several}, by `train --processes N --out {place}`")
    origin = {
        "recipe": run.recipe.name,
        "command": command,
        "commit": made[0]["commit"],
        "clean": None if None in changed else not any(changed),
        "note": "; ".join(notes),
        "seed": seed,
        "machine": _machine(run.resolved),
        "versions": run.resolved["versions"],
        "training": run.resolved["training"],
    }
    found = findings(run)
    return {**origin, **found, "evaluations": [_without_units(row) for row in found["evaluations"]]}


def _without_units(row: Row) -> Row:
    """A ladder's evaluation without what is said of every unit; the run folder keeps that."""
    if len(row.get("units") or []) < 2:
        return row
    return {name: value for name, value in row.items() if name not in _OF_UNITS}


def write_row(row: Row, folder: Path) -> Path:
    """Writes ``<recipe>-<seed>.json`` and returns its path."""
    path = folder / f"{row['recipe']}-{row['seed']}.json"
    write_text(path, json.dumps(row, indent=1, ensure_ascii=False) + "\n")
    return path


def find_evaluation(run: Run, settings: Factory) -> dict[str, Any] | None:
    """The row of evaluation.json that an evaluation of a recipe asks for; None if it is not there."""
    options = settings.options
    images = run.resolved["data"].get(options["split"]) or 0
    evaluated = min(options["limit"] or images, images)
    wanted = {
        **{key: options[key] for key in (*COMMON, *ANNEALING, *PROBE) if key in options},
        "method": settings.kind,
        "images": evaluated,
        "checkpoint": run.checkpoint(options["checkpoint"]),
    }
    if options.get("precision", "float32") != "float32":
        wanted["precision"] = options["precision"]
    if "simulated" in options:
        wanted["simulated"] = options["simulated"] or min(evaluated, MOST_SIMULATED)
    return next((row for row in run.evaluations() if identity(row) == wanted), None)


def settle_commits(
    where: Path, said: Sequence[Mapping[str, Any] | None] | None, commit: str | None
) -> list[Mapping[str, Any]]:
    """The commits that a run was begun and gone on with, each with whether files were changed (None: not known).

    Args:
        where: the run, for messages.
        said: the ``checkouts`` of its resolved.json; None where it has none, None in it where the package was
            installed apart from its repository.
        commit: for a run that does not say; whole, or its first digits.

    Raises:
        RunError: nobody says, or the run says otherwise.
    """
    known = [source for source in said or () if source is not None]
    if not known or len(known) < len(said or ()):
        if commit is None:
            raise RunError(f"{where} does not say with which commit it was made", hint="give it with --commit HASH")
        return [{"commit": commit, "changed": None}]
    if commit is not None and not known[0]["commit"].startswith(commit):
        raise RunError(
            f"{where} says that it was made with commit {known[0]['commit']}, not {commit}",
            hint="--commit is for runs that do not say",
        )
    return known


def metrics_rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of metrics.jsonl, oldest first.

    Raises:
        RunError: the file is missing or damaged, or has no row of training.
    """
    path = folder / METRICS
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        found = any(row["split"] == "train" for row in rows)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="restore it from a copy of the run") from error
    if not found:
        raise RunError(f"{path} has no row of training", hint="restore it from a copy of the run")
    return rows


def last_minibatch(rows: Sequence[Row]) -> dict[str, Any]:
    """What training logged last, in training mode; ``steps`` is how many steps it is the mean of.

    ``objective`` is what training raised, the loss with its sign turned. What is not logged is null.
    """
    last = rows[-1]
    before = rows[-2] if len(rows) > 1 else {"step": 0, "skipped_steps": 0}
    skipped = last["skipped_steps"] - before["skipped_steps"]
    values = {name: last.get(name) for name in LOGGED}
    objective = None if last.get("loss") is None else -last["loss"]
    return {"step": last["step"], "steps": last["step"] - before["step"] - skipped, **values, "objective": objective}


def last_steps(rows: Sequence[Row]) -> dict[str, Any]:
    """Mean, standard error, smallest and largest of each logged quantity over the last 100 rows of training."""
    last = rows[-LAST_ROWS:]
    first = rows[-LAST_ROWS - 1]["step"] if len(rows) > LAST_ROWS else 0
    summary: dict[str, Any] = {"rows": len(last), "steps": last[-1]["step"] - first}
    for name in LOGGED:
        summary[name] = _spread([row[name] for row in last if row.get(name) is not None])
    return summary


def _spread(values: Sequence[float]) -> dict[str, Any] | None:
    if not values:
        return None
    mean = mean_over(values)
    return {"mean": mean.value, "standard_error": mean.error, "smallest": min(values), "largest": max(values)}


def _machine(resolved: Row) -> str:
    """In words; of runs from before it was kept, the processor is this one."""
    threads = "1 thread" if resolved["threads"] == 1 else f"{resolved['threads']} threads"
    if several := _several(resolved):
        threads = f"{several} of {threads}"
    return ", ".join((resolved.get("processor") or processor(), threads, resolved["machine"]))


def _several(resolved: Row) -> str:
    """In how many processes, one number after the other; empty where it was one, or is not known."""
    processes = resolved.get("processes", [1])
    return f"{', then '.join(map(str, processes))} processes" if max(processes) > 1 else ""
