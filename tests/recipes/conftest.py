"""A small run that the tests of this folder read; a test that changes one takes a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.tiny import TINY
from tightbound import api
from tightbound.recipes.run import Run, open_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Six steps on digits, evaluated."""
    return api.train(
        "digits-vae", out=tmp_path_factory.mktemp("runs") / "tiny", overrides=TINY, report=False, quiet=True
    )


@pytest.fixture
def copied(trained: Run, tmp_path: Path) -> Run:
    """A copy of it."""
    return open_run(shutil.copytree(trained.folder, tmp_path / "copy"))
