"""The command line in this process, and a small run for the commands on runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tightbound.cli import app

# All that a test relies on, whatever the shipped recipe says. The last value of a key counts.
TINY = [
    "model.likelihood=bernoulli",
    "model.posterior=diagonal",
    "objective=elbo",
    "data.binarize=dynamic",
    "training.epochs=null",
    "training.steps=6",
    "training.batch_size=32",
    "training.tensorboard=false",
    "data.train_limit=64",
    "data.validation=20",
    "model.encoder.hidden=[16]",
    "model.decoder.hidden=[16]",
    "model.latent_dim=3",
    "evaluation=[{method: importance, samples: 30, limit: 12}]",
]


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
