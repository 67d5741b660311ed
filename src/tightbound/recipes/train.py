"""A recipe becomes a run: data, model and settings into a folder, trained."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

from tightbound.data import Data, data_of
from tightbound.errors import DataError, RecipeError, RunError
from tightbound.networks import initialize_from_data
from tightbound.recipes.build import Built, build
from tightbound.recipes.callbacks import pictures, validation_bound
from tightbound.recipes.evaluation import needs_training_images
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.files import read_json, write_text
from tightbound.recipes.origin import checkout, processor
from tightbound.recipes.recipe import YOUR_DATA, Recipe, first_difference
from tightbound.recipes.run import RECIPE, RESOLVED, Run, open_run
from tightbound.recipes.run_data import check_same, describe_data, find_place
from tightbound.recipes.sections import plain
from tightbound.recipes.values import show
from tightbound.training import Decisions, Processes, decide, join, resolve_device, run_lock, train
from tightbound.training.parallel import check_settings

Say = Callable[[str], None]

_PACKAGES = ("tightbound", "torch", "accelerate", "numpy", "scipy", "safetensors")
_MISSING = {
    "validation": "data.validation=N keeps N training images apart",
    "test": "evaluate on split: validation, or evaluate other images later by `tightbound evaluate --data`",
}
_VALIDATED = {"early_stopping": None, "validation_samples": 0, "validation_images": None}  # and what turns them off
_MUST_AGREE = ("data", "model", "objective", "training", "gray_protocol")


def read_data(recipe: Recipe, data: Any = None, say: Say | None = None) -> Data:
    """The data that the recipe names, or those given in Python, prepared as its ``data`` section says.

    Raises:
        RecipeError: the recipe is for the user's own data and none are named.
        DataError: they are missing or bad.
    """
    if data is None and recipe.data.name == YOUR_DATA:
        raise RecipeError(
            "data.name: this recipe is for your own images and needs to know where they are",
            hint="add data.name=FOLDER (a folder of images, an .npy or an .npz file)",
        )
    return data_of(recipe.data.name if data is None else data, recipe.data, progress=say)


def new_folder(recipe: Recipe, root: Path = Path("runs")) -> Path:
    """``runs/<recipe>-<time>-seed<n>``, a folder that is not there yet."""
    name = f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}-seed{recipe.training.seed}"
    folder, count = root / name, 2
    while folder.exists():
        folder, count = root / f"{name}-{count}", count + 1
    return folder


def check_plan(recipe: Recipe, data: Data) -> None:
    """Refuses, before any work, what needs a split that the data do not have.

    Raises:
        RecipeError: with the path of the key.
        DataError: a probe is asked for, and there are no labels.
    """
    missing = {name for name in _MISSING if getattr(data, name) is None}
    for index, settings in enumerate(recipe.evaluation):
        if needs_training_images(settings) and data.train.labels is None:
            raise DataError(
                f"evaluation.{index}: method {settings.kind!r} needs labels, and {data.name} has none",
                hint="leave it out, or use labeled data; an .npz may hold labels as y_train and y_test",
            )
        split, checkpoint = settings.options.get("split"), settings.options.get("checkpoint")
        if split in missing:
            raise RecipeError(
                f"evaluation.{index}.split: got {split!r}; {data.name} has no {split} images", hint=_MISSING[split]
            )
        if "validation" in missing and checkpoint == "best":
            raise RecipeError(
                f"evaluation.{index}.checkpoint: got 'best', which validation images choose; {data.name} has none",
                hint=f"checkpoint: last, or {_MISSING['validation']}",
            )
    for key, off in _VALIDATED.items() if "validation" in missing else ():
        value = getattr(recipe.training, key)
        if value != off:
            raise RecipeError(
                f"training.{key}: got {show(value)}; it needs validation images, and {data.name} has none",
                hint=f"training.{key}={show(off)}, or {_MISSING['validation']}",
            )


def train_run(
    recipe: Recipe,
    data: Any = None,
    *,
    folder: Path,
    resume: bool = False,
    say: Say = print,
    quiet: bool = False,
) -> Run | None:
    """Trains into a folder and opens it; in one of several processes that is not their first, None.

    Each process reads the data; the run folder is the first one's alone, so the others need not see it.

    Args:
        recipe: what to do.
        data: in place of the recipe's: an array, a tensor, a Dataset, a DataLoader, a folder or a name.
        folder: the run folder.
        resume: go on with the run in it.
        say: takes the sentences about what was chosen and prepared.
        quiet: no progress of training.

    Raises:
        RecipeError, DataError, RunError, TrainingError: see there.
    """
    processes = join()
    say = say if processes.is_first else lambda text: None
    before = processes.each(lambda: _begun(folder) if resume and processes.is_first else None)
    source = processes.first(lambda: _place(before, recipe)) if data is None else data
    found = processes.in_turn(lambda: read_data(recipe, source, say))
    built = processes.each(lambda: _build(recipe, found, processes))
    for sentence in (*found.notes, *built.notes):
        say(sentence)
    decisions = processes.first(lambda: _begin(folder, recipe, before, built, found, data, processes.world_size))
    result = train(
        built.model,
        built.objective,
        found.train,
        found.validation,
        recipe.training,
        folder=folder,
        resolved=decisions.to_dict(),
        resume=resume,
        initialize=initialize_from_data,
        validate=validation_bound(recipe.training),
        on_epoch=pictures(found.validation or found.train),
        quiet=quiet,
        notes=(*found.notes, *built.notes),
    )
    processes.first(lambda: _keep_decisions(folder, decisions, result.decisions))
    return dataclasses.replace(open_run(folder), loaded=found) if processes.is_first else None


def _keep_decisions(folder: Path, planned: Decisions, taken: Decisions) -> None:
    """What became of every ``auto``, where a compilation failed say."""
    if taken != planned:
        write_json(folder / RESOLVED, read_json(folder / RESOLVED) | {"training": taken.to_dict()})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def _build(recipe: Recipe, data: Data, processes: Processes) -> Built:
    check_plan(recipe, data)
    if processes.are_several:
        check_settings(recipe.training, processes)
        processes.check_shares(min(recipe.training.batch_size, len(data.train)))
        processes.device(resolve_device(recipe.training.device))
    built = build(recipe, DataFacts.of(data.train))
    if "batch_dependent" in built.model.capabilities:
        processes.check_statistics(min(recipe.training.batch_size, len(data.train)))
    return built


def _begin(
    folder: Path, recipe: Recipe, before: Run | None, built: Built, data: Data, given: Any, processes: int
) -> Decisions:
    """What every ``auto`` becomes, or has become; writes into the folder what is begun, or that it is gone on with."""
    if before is not None:
        decisions = _resume(before, built, data)
        _keep_how(folder, processes)
        return decisions
    decisions = decide(recipe.training, built.model, len(data.train))
    _create(folder, recipe, _resolve(built, data, given, decisions, processes))
    return decisions


def _create(folder: Path, recipe: Recipe, resolved: Mapping[str, Any]) -> None:
    with run_lock(folder):
        if (folder / RESOLVED).exists():
            raise RunError(
                f"{folder} holds a run already", hint="go on with it by --resume, or give another folder with --out"
            )
        text = yaml.safe_dump(plain(recipe.source or recipe.to_dict()), sort_keys=False, allow_unicode=True)
        write_text(folder / RECIPE, text)
        write_json(folder / RESOLVED, resolved)


def _resolve(built: Built, data: Data, given: Any, decisions: Decisions, processes: int) -> dict[str, Any]:
    """The content of resolved.json."""
    return {
        "recipe": built.recipe.to_dict(),
        "data": {**built.facts.to_dict(), **describe_data(data, given, built.recipe.data.name)},
        "training": decisions.to_dict(),
        "parameters": built.num_parameters,
        "measure": built.measure,
        "notes": [*data.notes, *built.notes],
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
        "checkouts": [checkout()],
        "processes": [processes],
        "threads": torch.get_num_threads(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
    }


def _keep_how(folder: Path, processes: int) -> None:
    """Adds the commit and the number of processes that a run is gone on with, where it is another one.

    A run that never kept any keeps none: it could not say so of its beginning.
    """
    with run_lock(folder):
        resolved = read_json(folder / RESOLVED)
        now = {"checkouts": checkout(), "processes": processes}
        kept = {name: resolved[name] for name in now if resolved.get(name)}
        changed = {name: [*before, now[name]] for name, before in kept.items() if before[-1] != now[name]}
        if changed:
            write_json(folder / RESOLVED, {**resolved, **changed})


def _begun(folder: Path) -> Run | None:
    """The run in a folder; None if it was stopped before it wrote what it is.

    Raises:
        RunError: there is no folder.
    """
    if not folder.is_dir():
        raise RunError(f"no run at {folder} to go on with", hint="leave out --resume to begin one")
    return open_run(folder) if (folder / RESOLVED).is_file() else None


def _place(before: Run | None, recipe: Recipe) -> Path | None:
    """Where a run that is gone on with has its data, if the recipe still names the same.

    Raises:
        DataError: they are no longer there, or were in memory.
    """
    if before is None or before.recipe.data.name != recipe.data.name:
        return None
    if before.resolved["data"].get("in_memory"):
        raise DataError(
            f"{before.name} was trained on images in memory, which are not kept",
            hint="go on with it from Python: tb.train(recipe, images, out=..., resume=True)",
        )
    return find_place(before.name, before.recipe, before.resolved["data"])


def _resume(run: Run, built: Built, data: Data) -> Decisions:
    """The decisions of a run that is gone on with.

    Raises:
        RunError: it has another recipe; the first difference is named.
        DataError: it was trained on other images.
    """
    difference = first_difference(run.recipe, built.recipe, _MUST_AGREE)
    if difference:
        raise RunError(
            f"{run.folder} is a run of another recipe: {difference}",
            hint="resume with the recipe and the overrides that it was begun with",
        )
    check_same(run.name, run.resolved["data"], data)
    return Decisions(**run.resolved["training"])
