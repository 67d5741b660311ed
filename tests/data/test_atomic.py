from __future__ import annotations

import os
from pathlib import Path

import pytest

from tightbound.data.atomic import replacing


def test_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as part:
        part.write_text("first")
        assert not path.exists()
    with pytest.raises(RuntimeError, match="half"):
        _write_half(path)
    assert path.read_text() == "first"
    assert list(path.parent.iterdir()) == [path]


def _write_half(path: Path) -> None:
    with replacing(path) as part:
        part.write_text("sec")
        raise RuntimeError("half")


def test_a_killed_writers_leftovers_are_swept_after_a_day(tmp_path: Path) -> None:
    old, new, other = (tmp_path / name for name in (".file.1.part", ".file.2.part", ".other.1.part"))
    for leftover in (old, new, other):
        leftover.write_text("half")
    for leftover in (old, other):
        os.utime(leftover, (0, 0))
    with replacing(tmp_path / "file") as part:
        part.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".file.2.part", ".other.1.part", "file"]
