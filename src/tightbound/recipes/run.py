"""Run folders: opened (also from a zip), read, and written to."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tightbound.core import Model
from tightbound.errors import RecipeError, RunError
from tightbound.evaluation import Estimate
from tightbound.recipes.archive import unpack
from tightbound.recipes.build import Built, build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import Recipe, load_recipe
from tightbound.training import dtype_of, load_weights

RECIPE, RESOLVED, EVALUATIONS, REPORT = "recipe.yaml", "resolved.json", "evaluation.json", "report.html"
WEIGHTS, BEST = "model.safetensors", "checkpoints/best.safetensors"

# What makes an evaluation another one; a row that agrees in all of these replaces the older one.
_IDENTITY = ("method", "split", "samples", "images", "seed", "checkpoint")


@dataclass(frozen=True)
class Run:
    """A run folder.

    Args:
        folder: where it is; of a zip, where it was unpacked.
        name: what to call it.
        recipe: every default filled in, every ``auto`` of the model chosen.
        facts: the data that it was trained on.
        resolved: resolved.json.
        writable: False for a zip: what is written to its folder is lost.
    """

    folder: Path
    name: str
    recipe: Recipe
    facts: DataFacts
    resolved: Mapping[str, Any]
    writable: bool = True

    def build(self) -> Built:
        """The run's model with random weights, and all that goes with it."""
        return build(self.recipe, self.facts)

    def model(self, checkpoint: str = "auto") -> Model:
        """The trained model, float32 (float64 if it was trained so), on the CPU, in eval mode.

        Args:
            checkpoint: ``last``; ``best`` on validation images; ``auto`` is best where there is one.

        Raises:
            RunError: the weights are missing, damaged or another model's.
        """
        model = self.build().model.to(dtype_of(self.resolved.get("precision", "float32")))
        load_weights(model, self._weights(self.checkpoint(checkpoint)))
        return model.eval()

    def checkpoint(self, name: str) -> str:
        """What ``auto`` is."""
        if name != "auto":
            return name
        return "best" if (self.folder / BEST).is_file() else "last"

    def _weights(self, checkpoint: str) -> Path:
        path = self.folder / (BEST if checkpoint == "best" else WEIGHTS)
        if not path.is_file():
            hint = "training did not finish: go on with `tightbound train ... --out RUN --resume`"
            if checkpoint == "best":
                hint = "no validation images were kept apart: use --checkpoint last"
            raise RunError(f"{self.folder} has no {path.relative_to(self.folder)}", hint=hint)
        return path

    def evaluations(self) -> list[dict[str, Any]]:
        """The rows of evaluation.json, oldest first.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / EVALUATIONS
        rows = _read_json(path) if path.is_file() else []
        if not isinstance(rows, list):
            raise RunError(f"{path} is damaged: expected a list", hint="delete it and evaluate again")
        return rows

    def add_evaluation(self, estimate: Estimate) -> dict[str, Any]:
        """Adds a row to evaluation.json, in place of an older one of the same settings, and keeps the per-image arrays."""
        row = estimate.to_row()
        others = [old for old in self.evaluations() if any(old.get(key) != row.get(key) for key in _IDENTITY)]
        arrays = self.folder / "evaluation" / f"{estimate.method}-{estimate.split}.npz"
        write_arrays(arrays, estimate.per_image)
        write_text(self.folder / EVALUATIONS, json.dumps([*others, row], indent=1) + "\n")
        return row


def new_folder(recipe: Recipe, root: Path = Path("runs")) -> Path:
    """``runs/<recipe>-<time>-seed<n>``, a folder that is not there yet."""
    name = f"{recipe.name}-{time.strftime('%Y%m%d-%H%M%S')}-seed{recipe.training.seed}"
    folder, count = root / name, 2
    while folder.exists():
        folder, count = root / f"{name}-{count}", count + 1
    return folder


def open_run(path: str | Path) -> Run:
    """Opens a run folder or a zip of one.

    Raises:
        RunError: it is not there, is no run, or is damaged; the message says what is missing.
    """
    path = Path(path).expanduser()
    archive = path.is_file()
    folder = unpack(path) if archive else path
    if not folder.is_dir():
        raise RunError(f"no run at {path}", hint="RUN is a folder that `tightbound train` wrote, or a zip of one")
    if not (folder / RESOLVED).is_file():
        raise RunError(
            f"{path} is not a run folder: it has no {RESOLVED}", hint="RUN is a folder that `tightbound train` wrote"
        )
    resolved = _read_json(folder / RESOLVED)
    try:
        facts = DataFacts.from_dict(resolved["data"])
        recipe = load_recipe(resolved["recipe"])
    except RecipeError as error:
        hint = error.hint or "a plug-in of this run may be missing: give it with --import"
        raise RunError(f"{folder / RESOLVED}: its recipe is refused: {error.message}", hint=hint) from error
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / RESOLVED} is damaged: {type(error).__name__}: {error}") from error
    return Run(folder, path.stem if archive else path.name, recipe, facts, resolved, writable=not archive)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """recipe.yaml: what was given, parents joined and overrides applied."""
    text = yaml.safe_dump(_plain(recipe.source or recipe.to_dict()), sort_keys=False, allow_unicode=True)
    write_text(folder / RECIPE, text)


def write_resolved(folder: Path, resolved: Mapping[str, Any]) -> None:
    """resolved.json: the complete recipe, what every ``auto`` became, versions."""
    write_text(folder / RESOLVED, json.dumps(resolved, indent=1) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="restore it from a copy of the run") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
