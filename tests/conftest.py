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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real sets run where TIGHTBOUND_DATA exists and are otherwise counted in the summary line."""
    if _data_root() is not None:
        return
    without = pytest.mark.skip(reason="TIGHTBOUND_DATA names no folder of real data sets")
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(without)


@pytest.fixture
def data_root() -> Path:
    """The folder of real data sets; only tests marked real_data may ask for it."""
    root = _data_root()
    assert root is not None
    return root
