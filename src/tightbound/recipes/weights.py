"""The weights that training left in a run folder."""

from __future__ import annotations

from pathlib import Path

import torch

from tightbound.errors import CheckpointError, RunError
from tightbound.training import load_weights

WEIGHTS, BEST = "model.safetensors", "checkpoints/best.safetensors"
_FILES = {"last": WEIGHTS, "best": BEST}


def read_weights(model: torch.nn.Module, folder: Path, checkpoint: str, *, had_validation: bool) -> None:
    """Puts a run's weights into its model.

    Args:
        model: as the run's recipe builds it.
        folder: the run folder.
        checkpoint: ``last`` or ``best``.
        had_validation: whether the run kept validation images apart, by which the best weights are chosen.

    Raises:
        RunError: they are missing, damaged or another model's; the hint names the other file where that is sound.
    """
    path = folder / _FILES[checkpoint]
    if not path.is_file():
        raise RunError(f"{folder} has no {_FILES[checkpoint]}", hint=_missing(folder, checkpoint, had_validation))
    try:
        load_weights(model, path)
    except CheckpointError as error:
        other = "last" if checkpoint == "best" else "best"
        if not _sound(model, folder / _FILES[other]):
            raise
        hint = f"{_FILES[other]} is sound: use --checkpoint {other} (checkpoint={other!r} in Python)"
        raise CheckpointError(error.message, hint=hint) from error


def _missing(folder: Path, checkpoint: str, had_validation: bool) -> str:
    if checkpoint == "best" and (folder / WEIGHTS).is_file():
        reason = "the file is missing" if had_validation else "no validation images were kept apart"
        return f"{reason}: use --checkpoint last"
    return f"training did not finish: go on with `tightbound train {folder}/recipe.yaml --out {folder} --resume`"


def _sound(model: torch.nn.Module, path: Path) -> bool:
    try:
        load_weights(model, path)
    except (CheckpointError, OSError):
        return False
    return True
