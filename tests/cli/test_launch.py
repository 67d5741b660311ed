"""``tightbound train --processes N``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import tightbound as tb
from tightbound.cli import app
from tightbound.commands.launch import _without_processes

SETTINGS = ("training.epochs=null", "training.steps=12", "training.precision=float64", "training.tensorboard=false")


def _start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tightbound", "train", "digits-vae", *arguments, "--processes", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*command, "--no-evaluate"], env=environment, text=True, start_new_session=True, **pipes)


def test_two_processes_make_the_run_that_one_makes(tmp_path: Path) -> None:
    process = _start(*SETTINGS, "--out", str(tmp_path / "two"))
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0, err
    assert out == f"report: {tmp_path / 'two' / 'report.html'}\n"
    assert err.count("run folder: ") == 1
    torch.set_default_dtype(torch.float32)
    tb.train("digits-vae", out=tmp_path / "one", overrides=SETTINGS, evaluate=False, report=False, quiet=True)
    found, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11)


def test_a_wrong_option_is_said_once_with_its_status(tmp_path: Path) -> None:
    process = _start("training.batch_size=127", "--out", str(tmp_path / "run"))
    _, err = process.communicate(timeout=170)
    assert process.returncode == 2
    assert err.count("error: ") == 1
    assert "error: training.batch_size: got 127; 2 processes cannot share it equally" in err
    assert "torch" not in err
    assert not (tmp_path / "run").exists()


def test_ctrl_c_saves_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    """It reaches all processes, and the launcher passes it on to them a second time."""
    folder = tmp_path / "run"
    process = _start("training.epochs=5000", "training.tensorboard=false", "--out", str(folder))
    for _ in range(1600):
        if process.poll() is not None or (folder / "metrics.jsonl").exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=170)
    assert process.returncode == 130, err
    assert err.count("error: ") == 1
    assert "torch" not in err
    assert f"--out {folder} --resume --no-evaluate --processes 2" in err
    assert len(list((folder / "checkpoints").glob("step-*"))) == 1


@pytest.mark.parametrize("number", ["1", "2"])
def test_processes_do_not_start_processes(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    result = CliRunner().invoke(app, ["train", "digits-vae", "--processes", number])
    assert result.exit_code == 2
    assert "--processes: a launcher such as torchrun has started this process, as one of 4" in result.stderr


@pytest.mark.parametrize("arguments", [["--processes", "0"], ["--processes", "2", "--dry-run"]])
def test_a_number_that_has_no_meaning_is_refused(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["train", "digits-vae", *arguments])
    assert result.exit_code == 2
    assert "--processes" in result.stderr


def test_each_process_gets_the_same_command() -> None:
    given = [
        "--import",
        "mine",
        "train",
        "--processes",
        "2",
        "mnist-mlp",
        "training.epochs=1",
        "--processes=2",
        "--resume",
    ]
    assert _without_processes(given) == ["--import", "mine", "train", "mnist-mlp", "training.epochs=1", "--resume"]
