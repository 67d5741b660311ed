"""Every test runs in float64, seeded, with warnings as errors; real data only where it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch


@pytest.fixture(autouse=True)
def _float64_and_seed() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def _data_root() -> Path | None:
    root = os.environ.get("TIGHTBOUND_DATA")
    return Path(root) if root and Path(root).is_dir() else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests on real sets run where TIGHTBOUND_DATA exists and are otherwise counted in one line."""
    if _data_root() is not None:
        return
    real = [item for item in items if item.get_closest_marker("real_data")]
    if real:
        items[:] = [item for item in items if item not in real]
        config.stash[_not_run] = len(real)


_not_run = pytest.StashKey[int]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    count = config.stash.get(_not_run, 0)
    if count:
        terminalreporter.write_line(f"{count} tests on real data not run: TIGHTBOUND_DATA names no folder")


@pytest.fixture
def data_root() -> Path:
    """The folder of real data sets; only tests marked real_data may ask for it."""
    root = _data_root()
    assert root is not None
    return root
