"""Small files of a run folder, each written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tightbound.errors import RunError


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        RunError: it cannot be read; it is named.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged: {error}", hint="restore it from a copy of the run") from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes an .npz file."""
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Writes under another name, then renames: a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            write(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
