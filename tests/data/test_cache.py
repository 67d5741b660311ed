from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tightbound.data.cache import cached, cached_rows, cached_with_facts
from tightbound.data.locate import cache_root
from tightbound.errors import DataError

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


class Builder:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return ARRAY


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"original")
    return path


def test_built_once_and_again_when_source_or_settings_change(source: Path) -> None:
    build = Builder()
    for _ in range(3):
        assert np.array_equal(cached("x", [source], 1, build), ARRAY)
    assert build.calls == 1
    cached("x", [source], 2, build)
    assert build.calls == 2
    os.utime(source, ns=(1, 1))
    cached("x", [source], 1, build)
    assert build.calls == 3
    source.write_bytes(b"original, longer")
    cached("x", [source], 1, build)
    assert build.calls == 4
    # One entry for each of the two settings: changes replace, they do not pile up.
    assert len(list((cache_root() / "converted").iterdir())) == 4


def test_facts_are_kept(source: Path) -> None:
    facts = {"skipped": ["a", "b"], "notes": []}
    for _ in range(2):
        array, found = cached_with_facts("x", [source], None, lambda: (ARRAY, facts))
        assert np.array_equal(array, ARRAY)
        assert found == facts


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "json", "list", "noise"])
def test_a_damaged_entry_is_rebuilt(source: Path, damage: str) -> None:
    build = Builder()
    cached("x", [source], 1, build)
    entry = next((cache_root() / "converted").glob("*.npy"))
    about = entry.with_suffix(".json")
    content = bytearray(entry.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
        entry.write_bytes(content)
    elif damage == "cut":
        entry.write_bytes(content[:-1])
    elif damage == "gone":
        entry.unlink()
    elif damage == "json":
        about.write_text("{")
    elif damage == "list":
        about.write_text("[]")
    else:
        entry.write_bytes(b"?" * len(content))
    assert np.array_equal(cached("x", [source], 1, build), ARRAY)
    assert build.calls == 2
    assert json.loads(about.read_text())["size"] == len(content)
    cached("x", [source], 1, build)
    assert build.calls == 2


def test_a_cache_that_cannot_be_written_is_done_without(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTBOUND_CACHE", str(source))  # a file, not a folder
    build = Builder()
    for _ in range(2):
        assert np.array_equal(cached("x", [source], 1, build), ARRAY)
    assert build.calls == 2


def test_a_full_disk_leaves_nothing(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tightbound.data.cache.np.save", full)
    assert np.array_equal(cached("x", [source], 1, Builder()), ARRAY)
    assert list((cache_root() / "converted").iterdir()) == []


def test_the_default_cache_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIGHTBOUND_CACHE")
    assert cache_root().name == "tightbound"


class Pieces:
    """Makes the rows of ARRAY in two pieces, and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> list[np.ndarray]:
        self.calls += 1
        return [ARRAY[:1], ARRAY[1:]]


def test_rows_are_mapped_and_written_once(source: Path, cache: Path) -> None:
    pieces = Pieces()
    for _ in range(2):
        array = cached_rows("x", [source], 1, ARRAY.shape, pieces)
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert np.array_equal(array, ARRAY)
    assert pieces.calls == 1
    os.utime(source, ns=(1, 1))
    cached_rows("x", [source], 1, ARRAY.shape, pieces)
    assert pieces.calls == 2
    path = next((cache / "converted").glob("*.npy"))
    path.write_bytes(path.read_bytes()[:-1])
    assert np.array_equal(cached_rows("x", [source], 1, ARRAY.shape, pieces), ARRAY)
    path.with_suffix(".json").write_text("[]")
    assert np.array_equal(cached_rows("x", [source], 1, ARRAY.shape, pieces), ARRAY)
    assert pieces.calls == 4


def test_rows_need_a_cache(source: Path, cache: Path) -> None:
    def full() -> Iterator[np.ndarray]:
        yield np.zeros((1, 3, 64, 64), np.uint8)
        raise OSError(28, "No space left on device")

    message = r"cannot be written: .*No space left.*\n  hint: set TIGHTBOUND_CACHE to a folder with 2\.5 GB of room"
    with pytest.raises(DataError, match=message):
        cached_rows("x", [source], 1, (202_599, 3, 64, 64), full)
    assert list((cache / "converted").iterdir()) == []
