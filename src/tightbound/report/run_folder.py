"""What a report reads of a run folder. Only the folder itself must be there: each missing file leaves out its part."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tightbound.errors import RunError
from tightbound.evaluation.identity import file_stem
from tightbound.report.pictures import Array

Row = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One row of evaluation.json with its per-image arrays, if they are those of this row.

    Args:
        row: the numbers; the keys are those of ``tightbound evaluate --json``.
        per_image: arrays by name (index, log_likelihood, ...), one entry an image, or None.
    """

    row: Row
    per_image: Mapping[str, Array] | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """A run folder as the report sees it.

    Args:
        folder: where it is.
        recipe: the text of recipe.yaml, or empty.
        resolved: resolved.json, or empty.
        metrics: the lines of metrics.jsonl.
        evaluations: the rows of evaluation.json.
    """

    folder: Path
    recipe: str
    resolved: Row
    metrics: tuple[Row, ...]
    evaluations: tuple[Evaluation, ...]

    @property
    def estimates(self) -> tuple[Evaluation, ...]:
        """The evaluations that say something of log p(x)."""
        return tuple(evaluation for evaluation in self.evaluations if not is_probe(evaluation.row))

    @property
    def probes(self) -> tuple[Row, ...]:
        """The rows of the others: linear probes of the latents."""
        return tuple(evaluation.row for evaluation in self.evaluations if is_probe(evaluation.row))

    @property
    def main(self) -> Evaluation | None:
        """The estimate at the top of the page: of the test set if any, of most images, then samples."""
        ranked = [
            (e.row.get("split") == "test", *(e.row.get(key) or 0 for key in ("images", "samples")), i)
            for i, e in enumerate(self.estimates)
        ]
        return self.estimates[max(ranked)[-1]] if ranked else None

    @property
    def amortized(self) -> bool:
        """Whether q(z | x) sees the image; without an encoder, no image can move a posterior mean."""
        recipe = self.resolved.get("recipe")
        model = recipe.get("model") if isinstance(recipe, Mapping) else None
        return not isinstance(model, Mapping) or model.get("encoder", {}) is not None

    @property
    def row(self) -> Row:
        """The row of ``main``; without one, only what the run says of its measure."""
        return self.main.row if self.main is not None else {"measure": self.resolved.get("measure")}


def read_run(folder: Path) -> Run:
    """Reads a run folder.

    Raises:
        RunError: if it is not there, is not a run folder, or one of its files is damaged.
    """
    if not folder.is_dir():
        raise RunError(f"no run folder at {folder}", hint="give the folder that `tightbound train` has written")
    if not any((folder / name).is_file() for name in ("resolved.json", "recipe.yaml", "metrics.jsonl")):
        raise RunError(f"{folder} is not a run folder: it has no resolved.json", hint="give the folder that holds it")
    recipe = folder / "recipe.yaml"
    rows = _read_json(folder / "evaluation.json", list)
    return Run(
        folder=folder,
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        resolved=_read_json(folder / "resolved.json", dict),
        metrics=_read_metrics(folder / "metrics.jsonl"),
        evaluations=tuple(Evaluation(row, _read_per_image(folder, row)) for row in rows),
    )


def is_probe(row: Row) -> bool:
    """Whether a row is of a linear probe."""
    return row.get("method") == "probe"


def of_group(row: Row, key: str, index: int) -> Any:
    """A latent group's part of a value that is kept per group; None if it is not known."""
    groups = row.get(key) or []
    return groups[index] if index < len(groups) else None


def _read_json(path: Path, expected: type) -> Any:
    if not path.is_file():
        return expected()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}", hint="restore it, or delete it to leave its part out") from None
    if not isinstance(content, expected):
        raise RunError(f"{path} is damaged: expected a JSON {'list' if expected is list else 'object'}")
    return content


def _read_metrics(path: Path) -> tuple[Row, ...]:
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError:
            if number < len(lines):  # the last line may be half written: the run was stopped, or goes on
                raise RunError(f"{path} is damaged in line {number}", hint="delete that line") from None
    return tuple(rows)


def per_image_names(row: Row) -> tuple[str, str]:
    """File names of a row's arrays in ``evaluation/``: its own, and that of older runs, one for a method and split."""
    return f"{file_stem(row)}.npz", f"{row.get('method')}-{row.get('split')}.npz"


def _read_per_image(folder: Path, row: Row) -> Mapping[str, Array] | None:
    """The arrays of this row; None if there are none, or another evaluation has overwritten them."""
    paths = (folder / "evaluation" / name for name in per_image_names(row))
    found = (_read_arrays(path) for path in paths if path.is_file())
    return next((arrays for arrays in found if _belong(arrays, row)), None)


def _read_arrays(path: Path) -> Mapping[str, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="evaluate again, or delete it") from None


def _belong(arrays: Mapping[str, Array], row: Row) -> bool:
    values, mean = arrays.get("log_likelihood"), row.get("log_likelihood")
    if values is None or mean is None or len(values) != row.get("images", len(values)):
        return False
    return bool(np.isclose(values.mean(), mean, rtol=1e-5, atol=1e-4, equal_nan=True))
