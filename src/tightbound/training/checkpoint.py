"""Checkpoint files: one safetensors file each, written whole or not at all, and read only if every byte is as written.

The header's metadata holds ``tightbound``, a JSON object of schema, kind, state and the sha256 of the tensors (names,
types, shapes and bytes), and ``tightbound_sha256``, the sha256 of that JSON text. No pickle anywhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tightbound.errors import CheckpointError

SCHEMA = 1
FOLDER = "checkpoints"
BEST = "best.safetensors"

_TEMPORARY = ".tmp"
_NAME = re.compile(r"step-(\d+)\.safetensors")


class Checkpoint(NamedTuple):
    """What a file holds.

    Attributes:
        kind: ``training`` (all that a resume needs) or ``weights`` (the model alone, names as in its state dict).
        tensors: by name, on the cpu, contiguous.
        state: counters and the like, JSON values.
    """

    kind: str
    tensors: dict[str, Tensor]
    state: dict[str, Any]


def checkpoint_path(folder: Path, step: int) -> Path:
    """Where the checkpoint of a step lies in a run folder."""
    return folder / FOLDER / f"step-{step}.safetensors"


def saved_steps(folder: Path) -> list[int]:
    """The steps that a run folder has checkpoints of, in order."""
    names = (_NAME.fullmatch(path.name) for path in (folder / FOLDER).glob("step-*.safetensors"))
    return sorted(int(name[1]) for name in names if name)


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a file: temporary name, fsync, rename, fsync of the folder. A reader sees the old file or the new one.

    Raises:
        CheckpointError: it cannot be written, for want of space say; what stood at ``path`` before still does.
    """
    tensors = {name: _stored(value) for name, value in checkpoint.tensors.items()}
    description = json.dumps(
        {"schema": SCHEMA, "kind": checkpoint.kind, "state": checkpoint.state, "sha256": _digest(tensors)}
    )
    metadata = {"tightbound": description, "tightbound_sha256": _sha256(description)}
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, temporary, metadata)
        _fsync(temporary)
        os.replace(temporary, path)
        _fsync(path.parent)
    except (OSError, SafetensorError) as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"cannot write {path}: {error}",
            hint="the checkpoints before it are whole; make room and go on with --resume",
        ) from error


def load(path: Path) -> Checkpoint:
    """Reads and verifies a file.

    Raises:
        CheckpointError: it is missing, truncated, altered, not ours, or of a newer schema; it is named.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            # Copied: what is verified and used must not be a view of a file that can still change.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (not a mapping)
        text = metadata["tightbound"]
        if _sha256(text) != metadata["tightbound_sha256"]:
            raise ValueError("its header was altered")
        description = json.loads(text)
        if description["schema"] > SCHEMA:
            raise CheckpointError(
                f"{path} has schema {description['schema']}; this version reads up to {SCHEMA}",
                hint="update tightbound",
            )
        if _digest(tensors) != description["sha256"]:
            raise ValueError("its tensors do not match their sha256")
    except FileNotFoundError:
        raise CheckpointError(f"there is no {path}") from None
    except KeyError:
        raise CheckpointError(f"{path} is not a checkpoint of tightbound, or its header was altered") from None
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path} is truncated or altered: {error}") from error
    return Checkpoint(description["kind"], tensors, description["state"])


def load_latest(folder: Path) -> Checkpoint | None:
    """The newest checkpoint of a run folder, or None if it has none yet.

    Raises:
        CheckpointError: the newest is damaged; names it, and the newest sound one before it as the way out.
    """
    steps = saved_steps(folder)
    if not steps:
        return None
    newest = checkpoint_path(folder, steps[-1])
    try:
        return load(newest)
    except CheckpointError as error:
        previous = next((p for s in reversed(steps[:-1]) if _is_sound(p := checkpoint_path(folder, s))), None)
        if previous is None:
            hint = f"no sound checkpoint is before it; delete {folder / FOLDER} to begin anew"
        else:
            hint = f"{previous.name} is sound: delete {newest.name} and resume to go on from there"
        raise CheckpointError(error.message, hint=hint) from error


def prune(folder: Path, keep: int) -> None:
    """Deletes all but the newest checkpoints; never the best."""
    for step in saved_steps(folder)[:-keep]:
        checkpoint_path(folder, step).unlink(missing_ok=True)


def remove_unfinished(folder: Path) -> None:
    """Deletes temporary files that a killed run has left. Only under the run's lock."""
    for place in (folder, folder / FOLDER):
        for path in place.glob(f"*.safetensors{_TEMPORARY}"):
            path.unlink(missing_ok=True)


def load_weights(model: torch.nn.Module, path: Path) -> dict[str, Any]:
    """Puts the weights of a file into a model: of a training checkpoint the moving average where there is one.

    Returns:
        the file's state: step, epoch and the like.

    Raises:
        CheckpointError: see ``load``; or the weights are another model's.
    """
    kind, tensors, state = load(path)
    if kind == "training":
        tensors = part(tensors, "model") | part(tensors, "average")
    check_fit(model, tensors, path)
    model.load_state_dict(tensors)
    return state


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors named ``prefix.*``, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def check_fit(model: torch.nn.Module, tensors: Mapping[str, Tensor], path: Path | str) -> None:
    """Refuses weights whose names or shapes are not the model's.

    Raises:
        CheckpointError: names the first that differs.
    """
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise CheckpointError(
                f"{path} was made for another model: {name} is {found.get(name, 'missing')} there and "
                f"{wanted.get(name, 'missing')} here",
                hint="use the recipe that the run was trained with",
            )


def _is_sound(path: Path) -> bool:
    try:
        load(path)
    except CheckpointError:
        return False
    return True


def _stored(value: Tensor) -> Tensor:
    """A contiguous copy on the cpu: safetensors keeps no strides and refuses shared storage."""
    return value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
