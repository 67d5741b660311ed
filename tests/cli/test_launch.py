"""``tightbound train --processes N`` and ``evaluate RUN --processes N``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import tightbound as tb
from tightbound.cli import app
from tightbound.commands import train
from tightbound.commands.launch import _without_processes
from tightbound.recipes.run import open_run
from tightbound.training import InterruptedTrainingError, Processes

SETTINGS = ("training.epochs=null", "training.steps=12", "training.precision=float64", "training.tensorboard=false")


LATE = """
import os, pathlib, time
from tightbound.training.interruption import Interruption
enter = Interruption.__enter__

def late(self):
    if os.environ["RANK"] == os.environ["LATE_RANK"]:
        pathlib.Path(os.environ["LATE_FILE"]).touch()
        time.sleep(4)
    return enter(self)

Interruption.__enter__ = late
"""


def _start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tightbound", *map(str, arguments), "--processes", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=environment, text=True, start_new_session=True, **pipes)


def _train(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    return _start("train", "digits-vae", *arguments, "--no-evaluate", **variables)


def _interrupt_at(process: subprocess.Popen[str], sign: Path) -> str:
    """Ctrl-C as soon as a file is there; what was said on stderr."""
    for _ in range(1600):
        if process.poll() is not None or sign.exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    return process.communicate(timeout=170)[1]


def test_two_processes_make_the_run_that_one_makes(tmp_path: Path) -> None:
    process = _train(*SETTINGS, "--out", str(tmp_path / "two"))
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0, err
    assert out == f"report: {tmp_path / 'two' / 'report.html'}\n"
    assert err.count("run folder: ") == 1
    torch.set_default_dtype(torch.float32)
    tb.train("digits-vae", out=tmp_path / "one", overrides=SETTINGS, evaluate=False, report=False, quiet=True)
    found, wanted = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-11)
    kept = [json.loads((tmp_path / name / "resolved.json").read_text()) for name in ("two", "one")]
    assert [resolved["processes"] for resolved in kept] == [[2], [1]]


def test_a_wrong_option_is_said_once_with_its_status(tmp_path: Path) -> None:
    process = _train("training.batch_size=127", "--out", str(tmp_path / "run"))
    _, err = process.communicate(timeout=170)
    assert process.returncode == 2
    assert err.count("error: ") == 1
    assert "error: training.batch_size: got 127; 2 processes cannot share it equally" in err
    assert "torch" not in err
    assert not (tmp_path / "run").exists()


def test_ctrl_c_saves_once_and_says_how_to_go_on(tmp_path: Path) -> None:
    """It reaches all processes, and the launcher passes it on to them a second time."""
    folder = tmp_path / "run"
    process = _train("training.epochs=5000", "training.tensorboard=false", "--out", str(folder))
    err = _interrupt_at(process, folder / "metrics.jsonl")
    assert process.returncode == 130, err
    assert err.count("error: ") == 1
    assert "torch" not in err
    assert f"--out {folder} --resume --no-evaluate --processes 2" in err
    assert len(list((folder / "checkpoints").glob("step-*"))) == 1


@pytest.mark.parametrize(("late", "sign"), [("0", "late"), ("1", "late"), ("1", "run/metrics.jsonl")])
def test_ctrl_c_while_one_is_not_ready_is_said_as_what_it_is(tmp_path: Path, late: str, sign: str) -> None:
    """None begins to write before all are ready to save; one that is not is ended, and is not what went wrong."""
    (tmp_path / "late.py").write_text(LATE, encoding="utf-8")
    variables = {"PYTHONPATH": str(tmp_path), "LATE_RANK": late, "LATE_FILE": str(tmp_path / "late")}
    process = _train("training.epochs=5000", "--import", "late", "--out", str(tmp_path / "run"), **variables)
    err = _interrupt_at(process, tmp_path / sign)
    assert process.returncode == 130, err
    saved = (tmp_path / "run" / "checkpoints").glob("step-*")
    assert (err.count("error: "), len(list(saved))) == (1, int(sign != "late"))
    assert ("a checkpoint was saved" if sign != "late" else "error: stopped by Ctrl-C") in err


def test_two_processes_evaluate_to_the_bit_what_one_does(copied: Path, tmp_path: Path) -> None:
    """45 images of a run, 32 and 13; each process has one thread, as the one has here."""
    out = {number: tmp_path / f"{number}.npz" for number in (1, 2)}
    given = ("evaluate", copied, "--split", "train", "--limit", 45, "--samples", 300, "--seed", 7, "--json", "--out")
    process = _start(*given, out[2])
    stdout, err = process.communicate(timeout=170)
    assert process.returncode == 0, err
    assert stdout.count("\n") == 1
    two, threads = json.loads(stdout), torch.get_num_threads()
    assert open_run(copied).evaluations()[-1] == two
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(1)
    try:
        result = CliRunner().invoke(app, [*map(str, given), str(out[1])])
    finally:
        torch.set_num_threads(threads)
    one = json.loads(result.stdout)
    assert (one["threads"], two["threads"]) == (1, 2)
    left_out = ("seconds", "images_per_second", "threads")
    assert {k: v for k, v in one.items() if k not in left_out} == {k: v for k, v in two.items() if k not in left_out}
    with np.load(out[1]) as wanted, np.load(out[2]) as found:
        assert found["index"].tolist() == list(range(45))
        for name in wanted.files:
            np.testing.assert_array_equal(found[name], wanted[name], strict=True)


def test_what_cannot_be_shared_is_said_once(copied: Path) -> None:
    process = _start("evaluate", copied, "--method", "probe")
    _, err = process.communicate(timeout=170)
    assert process.returncode == 2
    assert err.count("error: ") == 1
    assert "error: --method: got probe, whose images cannot be shared between processes" in err


def test_an_evaluation_that_is_stopped_says_so_once(copied: Path) -> None:
    process = _start("evaluate", copied, "--method", "annealed", "temperatures=10000000", "most_hours=null")
    assert process.stderr is not None
    said = process.stderr.readline()  # what it will take, before it begins
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert said.startswith("annealing 300 images × 16 chains"), said + err
    assert process.returncode == 130, err
    assert err.count("error: ") == 1
    assert "Traceback" not in err


@pytest.mark.parametrize("number", ["1", "2"])
def test_processes_do_not_start_processes(number: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    result = CliRunner().invoke(app, ["train", "digits-vae", "--processes", number])
    assert result.exit_code == 2
    assert "--processes: a launcher such as torchrun has started this process, as one of 4" in result.stderr


class _FirstOfFour(Processes):
    """As the first of four processes sees them, of which the others never come."""

    def __init__(self) -> None:
        super().__init__(world_size=4)

    def first(self, action):
        return action()

    each = first


@pytest.mark.parametrize(
    ("environment", "begin", "end"),
    [
        ({"TIGHTBOUND_PROCESSES": "4"}, "go on with: tightbound train digits-vae", "--resume --processes 4"),
        ({}, "go on with, started by the launcher as before: tightbound train digits-vae", "--resume"),
    ],
)
def test_what_goes_on_names_the_processes_that_we_started(
    environment: dict[str, str], begin: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **options: object) -> None:
        raise InterruptedTrainingError("interrupted")

    monkeypatch.setattr(train, "join", _FirstOfFour)
    monkeypatch.setattr(train, "train_run", interrupted)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InterruptedTrainingError) as raised:
        train.train_and_report("digits-vae", (), out=tmp_path / "run")
    assert raised.value.hint is not None
    assert raised.value.hint.startswith(begin)
    assert raised.value.hint.endswith(end)


SCRIPT = """
import os, sys
from pathlib import Path
import tightbound as tb

rank = os.environ["RANK"]
Path(rank).mkdir()
os.chdir(rank)  # where the other's run folder is not
settings = {"epochs": None, "steps": 2, "tensorboard": False}
run = tb.train("digits-vae", out="run", training=settings, evaluate=False, report=False, quiet=True)
steps = run.resolved["training"]["total_steps"]
Path("found").write_text(f"{run.name} {run.recipe.name} {steps} {run.facts.image_shape}")
"""


def test_a_script_of_several_processes_needs_one_run_folder(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "script.py"]
    source = str(Path(tb.__file__).parents[1])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": source}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=170)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "0/run/resolved.json").exists()
    assert not (tmp_path / "1/run").exists()
    first, second = ((tmp_path / rank / "found").read_text() for rank in "01")
    assert first == second == "run digits-vae 2 (1, 8, 8)"


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
