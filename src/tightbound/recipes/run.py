"""Run folders: opened (also from a zip), read, and written to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tightbound.core import Model
from tightbound.data import Data
from tightbound.errors import RecipeError, RunError
from tightbound.evaluation import Estimate, Probed
from tightbound.evaluation.identity import file_stem, identity
from tightbound.recipes.archive import unpack
from tightbound.recipes.build import Built, build
from tightbound.recipes.evaluation import Checkpoint
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.files import read_json, write_arrays, write_text
from tightbound.recipes.recipe import Recipe, load_recipe
from tightbound.recipes.run_data import find_data
from tightbound.recipes.values import read_value
from tightbound.recipes.weights import BEST, read_weights
from tightbound.training import place
from tightbound.training.precision import resolve_device

RECIPE, RESOLVED, EVALUATIONS = "recipe.yaml", "resolved.json", "evaluation.json"

Device = Literal["auto", "cpu", "cuda", "mps"]


@dataclass(frozen=True)
class Run:
    """A run folder.

    Args:
        folder: where it is; of a zip, where it was unpacked.
        name: what to call it.
        recipe: every default filled in, the likelihood chosen.
        facts: of the data that it was trained on.
        resolved: resolved.json.
        writable: False for a zip: what is written to its folder is lost.
        loaded: the data, where they are loaded already.
    """

    folder: Path
    name: str
    recipe: Recipe
    facts: DataFacts
    resolved: Mapping[str, Any]
    writable: bool = True
    loaded: Data | None = field(default=None, compare=False, repr=False)

    def build(self) -> Built:
        """The run's model with its weights from before training, and all that goes with it."""
        return build(self.recipe, self.facts)

    def model(self, checkpoint: str = "auto", device: str = "cpu") -> Model:
        """The trained model in eval mode; float32, or float64 if it was trained so.

        Args:
            checkpoint: ``last``; ``best`` on validation images; ``auto`` is best where there is one.
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

        Raises:
            RecipeError: no such checkpoint name or device.
            RunError: the weights are missing, damaged or another model's.
        """
        checkpoint = read_value("checkpoint", Checkpoint, checkpoint)
        device = resolve_device(read_value("device", Device, device))
        checkpoint = self.checkpoint(checkpoint)
        model = self.build().model
        training = self.resolved.get("training", {})
        precision = "float64" if training.get("precision") == "float64" else "float32"
        channels_last = bool(training.get("channels_last"))
        place(model, device=device, precision=precision, channels_last=channels_last)
        read_weights(model, self.folder, checkpoint, had_validation=bool(self.resolved["data"].get("validation")))
        return model.eval()

    def checkpoint(self, name: str) -> str:
        """What ``auto`` is."""
        if name != "auto":
            return name
        return "best" if (self.folder / BEST).is_file() else "last"

    def data(self) -> Data:
        """The data that it was trained on.

        Raises:
            DataError: they are gone, were in memory, or are others now.
        """
        if self.loaded is not None:
            return self.loaded
        return find_data(self.name, self.recipe, self.resolved["data"])

    def evaluations(self) -> list[dict[str, Any]]:
        """The rows of evaluation.json, oldest first.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / EVALUATIONS
        rows = read_json(path) if path.is_file() else []
        if not isinstance(rows, list):
            raise RunError(f"{path} is damaged: expected a list", hint="delete it and evaluate again")
        return rows

    def add_evaluation(self, estimate: Estimate | Probed) -> None:
        """Adds a row to evaluation.json, in place of an older one of the same settings; keeps the per-image arrays."""
        row = estimate.to_row()
        others = [old for old in self.evaluations() if identity(old) != identity(row)]
        write_arrays(self.folder / arrays_name(row), estimate.per_image)
        write_text(self.folder / EVALUATIONS, json.dumps([*others, row], indent=1) + "\n")


def arrays_name(row: Mapping[str, Any]) -> str:
    """Where, within a run folder, the per-image values of a row of evaluation.json are kept."""
    return f"evaluation/{file_stem(row)}.npz"


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
        hint = "RUN is a folder that `tightbound train` wrote, or a zip of one"
        raise RunError(f"{path} is not a run folder: it has no {RESOLVED}", hint=hint)
    resolved = read_json(folder / RESOLVED)
    name = path.resolve().stem if archive else path.resolve().name
    return run_of(folder, resolved, name=name, writable=not archive, called=f"{path}/{RESOLVED}")


def run_of(
    folder: Path, resolved: Mapping[str, Any], *, name: str, writable: bool = True, called: str = RESOLVED
) -> Run:
    """The run that a resolved.json describes, whether or not its folder can be seen from here.

    Args:
        folder: where it is.
        resolved: the content of the file.
        name: what to call the run.
        writable: whether what is written to its folder is kept.
        called: what to call the file.

    Raises:
        RunError: it is damaged.
    """
    try:
        facts = DataFacts.from_dict(resolved["data"])
        recipe = load_recipe(resolved["recipe"])
    except RecipeError as error:
        hint = error.hint or "a plug-in of this run may be missing: give it with --import"
        raise RunError(f"{called}: {error.message}", hint=hint) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{called} is damaged: {type(error).__name__}: {error}") from error
    return Run(folder, name, recipe, facts, resolved, writable)
