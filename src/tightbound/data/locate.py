"""Where files lie: the data root, which is only read, and the user's cache, which is written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tightbound.errors import DataError


def data_root() -> Path | None:
    """The folder that TIGHTBOUND_DATA names, or None. Nothing is ever written to it.

    Raises:
        DataError: if the variable names no folder.
    """
    named = os.environ.get("TIGHTBOUND_DATA")
    if not named:
        return None
    root = Path(named).expanduser()
    if not root.is_dir():
        raise DataError(f"TIGHTBOUND_DATA: expected a folder; got {named}", hint="create it, or unset the variable")
    return root


def cache_root() -> Path:
    """The folder for downloads and converted files: TIGHTBOUND_CACHE, or the user's cache folder."""
    named = os.environ.get("TIGHTBOUND_CACHE")
    if named:
        return Path(named).expanduser()
    import pooch

    return Path(pooch.os_cache("tightbound"))


def folders_of(name: str, *also: str) -> Iterator[Path]:
    """The folders in which the files of a set may lie, by rank.

    Args:
        name: the set's folder within the data root and the cache.
        also: further folders within the data root, such as another library's layout.
    """
    root = data_root()
    if root is not None:
        yield from (root / folder for folder in (name, *also))
    yield cache_root() / name


def find_file(folders: Iterator[Path] | list[Path], *names: str) -> Path | None:
    """The first of the named files in the first folder that has one."""
    candidates = (folder / name for folder in folders for name in names)
    return next((path for path in candidates if path.is_file()), None)


def where_to_put(name: str, files: list[str]) -> str:
    """The hint for missing files."""
    root = os.environ.get("TIGHTBOUND_DATA") or "$TIGHTBOUND_DATA"
    return f"put {', '.join(files)} into {root}/{name} or {cache_root() / name}"
