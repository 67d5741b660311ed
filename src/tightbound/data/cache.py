"""Converted files in the user's cache: written whole or not at all, rebuilt when their source changes."""

from __future__ import annotations

import hashlib
import json
import math
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from tightbound.data.atomic import replacing
from tightbound.data.locate import cache_root
from tightbound.errors import DataError

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
    entry, key = _place(name, sources, settings)
    found = _read(entry, key)
    if found is None:
        found = build()
        _write(entry, key, *found)
    return found


def cached_rows(
    name: str,
    sources: Iterable[Path],
    settings: object,
    shape: tuple[int, ...],
    build: Callable[[], Iterable[np.ndarray]],
) -> np.ndarray:
    """A uint8 array that may be larger than memory, as a read-only file in the user's cache that is mapped.

    It is written once, piece by piece; its size is checked when it is found again, and not its bytes, whose reading
    would take as long as some epochs.

    Args:
        name: a short name for people who look into the cache.
        sources: the files, or folders whose names count, that the array is made from; as of ``cached_with_facts``.
        settings: all else that it depends on.
        shape: of the array.
        build: makes consecutive pieces of it, any number of rows each.

    Raises:
        DataError: if the file cannot be written: there is no doing without it.
    """
    entry, key = _place(name, sources, settings)
    path = entry.with_suffix(".npy")
    about = _about(entry)
    if about.get("key") != key or not path.is_file() or path.stat().st_size != about.get("size"):
        try:
            with replacing(path) as part, part.open("wb") as file:
                _write_rows(file, shape, build())
            with replacing(entry.with_suffix(".json")) as part:
                part.write_text(json.dumps({"key": key, "size": path.stat().st_size}))
        except OSError as error:
            hint = f"set TIGHTBOUND_CACHE to a folder with {math.prod(shape) / 1e9:.1f} GB of room"
            raise DataError(f"{path}: cannot be written: {error}", hint=hint) from error
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _write_rows(file: BinaryIO, shape: tuple[int, ...], pieces: Iterable[np.ndarray]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    rows = 0
    for piece in pieces:
        assert piece.dtype == np.uint8
        assert piece.shape[1:] == shape[1:]
        rows += len(piece)
        file.write(np.ascontiguousarray(piece).data)
    assert rows == shape[0]


def _place(name: str, sources: Iterable[Path], settings: object) -> tuple[Path, str]:
    """The entry, a path without suffix, and the key of what should be in it."""
    paths = [Path(source).absolute() for source in sources]
    folder = os.path.commonpath([path.parent for path in paths]) if paths else ""
    entry = cache_root() / "converted" / f"{_safe(name)}-{_hash(folder, settings)}"
    key = _hash(*((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in paths), settings, _VERSION)
    return entry, key


def _about(entry: Path) -> dict[str, Any]:
    """What was noted about an entry; nothing if that is damaged or not there."""
    try:
        about = json.loads(entry.with_suffix(".json").read_text())
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}


def _safe(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)[:60]


def _hash(*parts: object) -> str:
    return hashlib.blake2b(repr(parts).encode(), digest_size=12).hexdigest()


def _read(entry: Path, key: str) -> Built | None:
    """The entry if it is of this key and whole, else None."""
    about = _about(entry)
    try:
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
