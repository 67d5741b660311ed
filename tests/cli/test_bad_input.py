"""Every bad input: exit status, one line and a hint on stderr, nothing on stdout, nothing written."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from tightbound import api
from tightbound.cli import main
from tightbound.training import InterruptedTrainingError

FULL_COVARIANCE = "model.posterior=full_covariance"


def check(result, status, message, hint=""):
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    if hint:
        assert lines[-1].startswith("  hint: ")
        assert hint in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["mnist-mpl"],
            "unknown recipe 'mnist-mpl'; shipped: celeba64-ladder-20, celeba64-ladder-4-hour, cifar10-ladder-15",
            "did you mean 'mnist-mlp'?",
        ),
        (["nowhere.yaml"], "no recipe file at nowhere.yaml", ""),
        (["digits-vae", "training.epoch=3"], "training.epoch: unknown key; expected one of", "did you mean 'epochs'?"),
        (
            ["digits-vae", "objective.kind=elboo"],
            "objective.kind: got 'elboo'; expected one of dreg, elbo, iwae, stl",
            "'elbo'",
        ),
        (["digits-vae", "training.batch_size=big"], "training.batch_size: got 'big'; expected a whole number >= 1", ""),
        (
            ["digits-vae", "training.optimizer.betas=[0.9,1.5]"],
            "training.optimizer.betas: got [0.9, 1.5]; expected a list of 2: a number >= 0 and < 1",
            "",
        ),
        (["digits-vae", "model.latent_dim=0"], "model.latent_dim: got 0; expected a whole number >= 1", ""),
        (["digits-vae", "training.epochs"], "override 'training.epochs'; expected key=value", "for example training"),
        (["digits-vae", "training.epochs=[1"], "training.epochs: got '[1'; expected a YAML value", ""),
        (["digits-vae", "--resume"], "--resume needs the run to go on with", "add --out RUN"),
        (["digits-vae", "--device", "gpu"], "error: --device: got 'gpu'; expected one of auto, cpu, cuda, mps", ""),
        (["images"], "data.name: this recipe is for your own images", "add data.name=FOLDER"),
        (
            ["digits-vae", "data.binarize=none", "model.likelihood=bernoulli"],
            "a Bernoulli is a likelihood of binary pixels only; these are 0 to 16",
            "",
        ),
        (["digits-vae", "--import", "not_there_at_all"], "--import not_there_at_all: ModuleNotFoundError", ""),
        (
            ["digits-vae", "objective={kind: elbo, free_bits: 1, free_bits_per: unit}", FULL_COVARIANCE],
            "posterior 'full_covariance' is not",
            "",
        ),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_wrong_recipe_is_status_2(tightbound, tmp_path, monkeypatch, arguments, message, hint, dry):
    monkeypatch.chdir(tmp_path)
    check(tightbound("train", *arguments, *dry), 2, message, hint)
    assert not list(tmp_path.iterdir())


def write_images(folder, *images):
    folder.mkdir()
    for index, image in enumerate(images):
        image.save(folder / f"{index}.png")
    return folder


def test_bad_data_are_status_3(tightbound, tmp_path):
    gray, color = Image.new("L", (8, 8), 90), Image.new("RGB", (8, 8), (9, 80, 200))
    empty = tmp_path / "empty"
    empty.mkdir()
    mixed = write_images(tmp_path / "mixed", gray, color, gray)
    corrupt = write_images(tmp_path / "corrupt", gray, gray)
    (corrupt / "broken.png").write_bytes((corrupt / "0.png").read_bytes()[:40])
    bad = {
        "nan.npy": np.full((9, 8, 8), np.nan, np.float32),
        "range.npy": np.full((9, 8, 8), 3.5, np.float32),
        "shape.npy": np.zeros((9, 64), np.uint8),
        "type.npy": np.zeros((9, 8, 8), np.complex64),
    }
    for name, array in bad.items():
        np.save(tmp_path / name, array)
    (tmp_path / "text.npy").write_text("not an array")
    cases = [
        (empty, "empty", ""),
        (mixed, "", "color"),
        (corrupt, "broken.png", "skip_bad"),
        (tmp_path / "nan.npy", "NaN", ""),
        (tmp_path / "range.npy", "expected floats in [0, 1]; got 3.5", ""),
        (tmp_path / "shape.npy", "(9, 64)", "reshape"),
        (tmp_path / "type.npy", "complex64", ""),
        (tmp_path / "text.npy", "not a readable .npy file", ""),
        (tmp_path / "gone", "no folder or file of that name, and no shipped set", ""),
        ("digit", "shipped: celeba64", "did you mean 'digits'?"),
    ]
    for data, message, hint in cases:
        result = tightbound("train", "images", f"data.name={data}", "data.size=null", "--out", tmp_path / "run")
        check(result, 3, message, hint)
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate"],
        ["sample"],
        ["reconstruct"],
        ["traverse", "--dims", "0"],
        ["layers"],
        ["report"],
        ["encode", "digits", "--out", "codes.npz"],
    ],
)
def test_a_missing_or_damaged_run_is_status_1(tightbound, copied, tmp_path, command):
    name, *rest = command
    check(tightbound(name, tmp_path / "nowhere", *rest), 1, "no run at", "a folder that `tightbound train` wrote")
    (copied / "model.safetensors").write_bytes(b"no weights")
    (copied / "checkpoints" / "best.safetensors").write_bytes(b"no weights")
    check(tightbound(name, copied, *rest), 1, "best.safetensors is truncated or altered")
    (copied / "resolved.json").write_text("{")
    check(tightbound(name, copied, *rest), 1, "resolved.json is damaged")
    (copied / "resolved.json").unlink()
    check(tightbound(name, copied, *rest), 1, "is not a run folder: it has no resolved.json")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["evaluate", "--method", "importence"],
            "error: --method: got 'importence'; expected one of annealed, bidirectional, importance",
            "did",
        ),
        (["evaluate", "--samples", "0"], "error: --samples: got 0; expected a whole number >= 1", ""),
        (["evaluate", "--split", "tset"], "error: --split: got 'tset'; expected one of test, validation", "'test'"),
        (["evaluate", "--checkpoint=first"], "error: --checkpoint: got 'first'; expected one of auto, last", ""),
        (["evaluate", "split=tset"], "error: evaluation.split: got 'tset'; expected one of test, validation", "'test'"),
        (["evaluate", "--seed", "-1"], "error: --seed: got -1; expected a whole number >= 0", ""),
        (["sample", "--number", "0"], "error: --number: got 0; expected a whole number >= 1", ""),
        (["reconstruct", "--number", "-2"], "error: --number: got -2; expected a whole number >= 1", ""),
        (["encode", "digits", "--out", "c.npz", "--samples", "0"], "error: --samples: got 0; expected a whole", ""),
        (["encode", "digits", "--out", "c.npz", "--split", "tset"], "error: --split: got 'tset'; expected one", ""),
        (["evaluate", "temperatures=500"], "evaluation.temperatures: unknown key; expected one of samples", ""),
        (["evaluate", "--out", "values.csv"], "--out: got 'values.csv'; expected a file that ends in .npz", ""),
        (["evaluate", "--data", "digits", "--split", "train"], "--split has no effect with --data", ""),
        (["sample", "--out", "grid.jpg"], "--out: got 'grid.jpg'; expected a file that ends in .png or .npz", ""),
        (["report", "--out", "page.txt"], "--out: got 'page.txt'; expected a file that ends in .html", ""),
        (["sample", "--show", "modes"], "--show: got 'modes'; expected one of sample, mean", ""),
        (["sample", "--checkpoint", "first"], "error: --checkpoint: got 'first'; expected one of auto, last, best", ""),
        (["sample", "--device", "gpu"], "error: --device: got 'gpu'; expected one of auto, cpu, cuda, mps", ""),
        (["reconstruct", "--split", "tset"], "error: --split: got 'tset'; expected one of train, validation, test", ""),
    ],
)
def test_a_wrong_option_is_status_2(tightbound, trained, arguments, message, hint):
    name, *rest = arguments
    check(tightbound(name, trained, *rest), 2, message, hint)


def test_encode_writes_npz_only(tightbound, trained):
    check(tightbound("encode", trained, "digits", "--out", "codes.csv"), 2, "expected a file that ends in .npz")


def test_other_images_of_the_wrong_shape_are_status_3(tightbound, trained, tmp_path):
    np.save(tmp_path / "large.npy", np.zeros((4, 9, 9), np.uint8))
    check(tightbound("evaluate", trained, "--data", tmp_path / "large.npy"), 3, "got 1 × 9 × 9")


def test_wrong_usage_is_status_2(tightbound):
    assert tightbound("train").exit_code == 2
    assert tightbound("trian", "digits-vae").exit_code == 2
    assert tightbound("train", "digits-vae", "--epochs", "3").exit_code == 2


def test_a_dry_run_refuses_what_it_would_ignore(tightbound, tmp_path):
    result = tightbound("train", "digits-vae", "--dry-run", "--out", tmp_path / "run")
    check(result, 2, "--dry-run writes nothing: --out and --resume have no effect")


@pytest.mark.parametrize("command", ["report", "sample", "reconstruct"])
def test_nothing_is_written_into_a_zip(tightbound, trained, tmp_path, command):
    path = shutil.make_archive(str(tmp_path / "run"), "zip", trained)
    check(tightbound(command, path), 2, f"error: {path} is a zip: nothing is written into it", "name a file with --out")


def unread(*_, **__):
    raise AssertionError("data were read")


def test_an_out_that_cannot_be_written_is_refused_before_data_are_read(tightbound, trained, tmp_path, monkeypatch):
    monkeypatch.setattr("tightbound.recipes.train.read_data", unread)
    (tmp_path / "file").write_text("")
    hint = "give another folder with --out"
    check(tightbound("train", "digits-vae", "--out", trained), 1, f"error: {trained} holds a run already", hint)
    check(tightbound("train", "digits-vae", "--out", tmp_path / "file"), 1, "file is a file; expected a folder", hint)
    inside = tmp_path / "file" / "run"
    check(tightbound("train", "digits-vae", "--out", inside), 1, "file is a file; expected a folder", hint)
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    out = tmp_path / "new" / "run"
    check(tightbound("train", "digits-vae", "--out", out), 1, f"--out: {tmp_path} is not writable", hint)
    assert not (tmp_path / "new").exists()


def test_a_launcher_is_told_what_went_wrong(tightbound, tmp_path, monkeypatch):
    """As torchrun reads it, for the report that it ends with."""
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(tmp_path / "error.json"))
    result = tightbound("train", "digits-vae", "training.epochs=-1")
    message = json.loads((tmp_path / "error.json").read_text())["message"]
    assert message["message"] == message["extraInfo"]["py_callstack"] == result.stderr.strip()
    assert result.stderr.startswith("error: training.epochs")


@pytest.mark.parametrize(("rank", "said"), [("0", "error: stopped by Ctrl-C\n  hint: "), ("1", "")])
def test_ctrl_c_is_one_line(tightbound, monkeypatch, rank: str, said: str):
    """Of several processes too, before they have joined."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(api, "load_recipe", interrupt)
    monkeypatch.setattr("tightbound.commands.train.load_recipe", interrupt)
    monkeypatch.setenv("RANK", rank)
    result = tightbound("train", "digits-vae")
    assert result.exit_code == 130
    assert result.stderr.startswith(said)
    assert bool(result.stderr) == bool(said)


def test_interrupted_training_says_how_to_go_on(tightbound, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise InterruptedTrainingError("interrupted at step 3 of 6; a checkpoint was saved", hint="go on with --resume")

    monkeypatch.setattr("tightbound.commands.train.train_run", stop)
    monkeypatch.setattr(sys, "path", list(sys.path))
    out = tmp_path / "my run"
    changes = ["training.seed=3", "training.optimizer={kind: adam, betas: [0.9, 0.99]}"]
    options = ["--out", out, "--no-evaluate", "--device", "cpu", "--import", "json"]
    result = tightbound("train", "digits-vae", *changes, *options)
    check(result, 130, "interrupted at step 3 of 6; a checkpoint was saved", "go on with: tightbound train digits-vae")
    words = shlex.split(result.stderr.partition("go on with: tightbound train ")[2])
    seen = []
    monkeypatch.setattr("tightbound.commands.train.train_and_report", lambda *a, **k: seen.append((a, k)))
    assert tightbound("train", *words).exit_code == 0
    assert seen == [
        (
            ("digits-vae", [*changes, "training.device=cpu"]),
            {"out": out, "resume": True, "evaluate": False, "modules": ["json"]},
        )
    ]


def test_a_full_disk_is_one_line(tightbound, trained, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tightbound.commands.pictures.write_arrays", full)
    result = tightbound("sample", trained, "--out", tmp_path / "samples.npz")
    check(result, 1, "No space left on device")


@pytest.mark.parametrize(
    ("arguments", "status", "name"),
    [
        (["train", "nothing"], 2, "RecipeError"),
        (["train", "images", "data.name=nowhere"], 3, "DataError"),
        (["report", "nowhere"], 1, "RunError"),
    ],
)
def test_debug_shows_the_traceback_wherever_it_stands(tightbound, arguments, status, name):
    assert tightbound(*arguments).exit_code == status
    for line in (["--debug", *arguments], [*arguments, "--debug"]):
        result = tightbound(*line)
        assert result.exit_code == status
        assert "Traceback (most recent call last):" in result.stderr
        assert f"tightbound.errors.{name}: " in result.stderr
        assert "error: " not in result.stderr


def broken(*_, **__):
    raise ZeroDivisionError("division\n by zero")


def test_an_unexpected_failure_is_one_line(tightbound, monkeypatch):
    monkeypatch.setattr("tightbound.commands.show.list_data", broken)
    check(
        tightbound("data"),
        1,
        "error: unexpected ZeroDivisionError: division by zero",
        "run again with --debug and report",
    )
    result = tightbound("data", "--debug")
    assert result.exit_code == 1
    assert "in broken" in result.stderr


def test_an_unexpected_failure_of_the_quick_list_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("tightbound.commands.show.list_recipes", broken)
    monkeypatch.setattr(sys, "argv", ["tightbound", "recipes"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert capsys.readouterr().err.startswith("error: unexpected ZeroDivisionError: division by zero\n  hint: ")


@pytest.mark.parametrize(
    "error",
    [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("[...] can't allocate memory: 9 bytes")],
)
def test_out_of_memory_is_one_line(tightbound, monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr("tightbound.commands.show.list_data", fail)
    check(tightbound("data"), 1, "error: out of memory", "use a smaller training.batch_size")


def test_a_closed_pipe_is_no_failure_to_report():
    command = f"{sys.executable} -m tightbound recipes | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stderr == ""
