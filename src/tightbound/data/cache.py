"""Converted files in the user's cache: written whole or not at all, rebuilt when their source changes."""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from tightbound.data.atomic import replacing
from tightbound.data.locate import cache_root

_VERSION = 1  # raise it when what is kept under a key changes: decoding, resizing, layout

Built = tuple[np.ndarray, dict[str, Any]]


def cached(name: str, sources: Iterable[Path], settings: object, build: Callable[[], np.ndarray]) -> np.ndarray:
    """``build()``, kept in the user's cache; see ``cached_with_facts``."""
    return cached_with_facts(name, sources, settings, lambda: (build(), {}))[0]


def cached_with_facts(name: str, sources: Iterable[Path], settings: object, build: Callable[[], Built]) -> Built:
    """The array and the facts about it (plain JSON) that ``build`` makes, kept in the user's cache.

    There is one entry for a name, settings and folder of sources: when a source changes, it is replaced. A damaged
    entry is rebuilt without a word, and a cache that cannot be written is done without.

    Args:
        name: a short name for people who look into the cache.
        sources: the files that the array is made from; their paths, times and sizes are its key.
        settings: all else that it depends on; its ``repr`` must say so.
        build: makes the array and the facts.
    """
    paths = [Path(source).absolute() for source in sources]
    folder = os.path.commonpath([path.parent for path in paths]) if paths else ""
    entry = cache_root() / "converted" / f"{_safe(name)}-{_hash(folder, settings)}"
    key = _hash(*((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths), settings, _VERSION)
    found = _read(entry, key)
    if found is None:
        found = build()
        _write(entry, key, *found)
    return found


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:60]


def _hash(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _read(entry: Path, key: str) -> Built | None:
    """The entry if it is of this key and whole, else None."""
    try:
        about = json.loads(entry.with_suffix(".json").read_text())
        if about["key"] != key or entry.with_suffix(".npy").stat().st_size != about["size"]:
            return None
        array = np.load(entry.with_suffix(".npy"), allow_pickle=False)
        return (array, about["facts"]) if _checksum(array) == about["crc32"] else None
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None


def _write(entry: Path, key: str, array: np.ndarray, facts: dict[str, Any]) -> None:
    try:
        with replacing(entry.with_suffix(".npy")) as part, part.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        size = entry.with_suffix(".npy").stat().st_size
        about = {"key": key, "size": size, "crc32": _checksum(array), "facts": facts}
        with replacing(entry.with_suffix(".json")) as part:
            part.write_text(json.dumps(about))
    except OSError:
        return  # a full or read-only disk costs the next start some time, nothing else


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).data)
