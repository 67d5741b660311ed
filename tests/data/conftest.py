"""The user's cache is a fresh folder in every test of the data."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("TIGHTBOUND_CACHE", str(folder))
    return folder


@pytest.fixture
def empty_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """TIGHTBOUND_DATA, with nothing in it."""
    root = tmp_path / "data"
    root.mkdir()
    monkeypatch.setenv("TIGHTBOUND_DATA", str(root))
    return root
