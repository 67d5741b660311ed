"""The command line in this process, and a small run for the commands on runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tiny import TINY
from tightbound.cli import app


@pytest.fixture
def tightbound():
    """``tightbound("train", "digits-vae")``; the result has exit_code, stdout and stderr."""

    def call(*arguments: object):
        return CliRunner().invoke(app, [str(a) for a in arguments])

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder made by ``tightbound train``, with its report."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    result = CliRunner().invoke(app, ["train", "digits-vae", *TINY, "--out", str(folder)])
    assert result.exit_code == 0, result.stderr
    (folder / "stdout.txt").write_text(result.stdout)
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return shutil.copytree(trained, tmp_path / "copy")
