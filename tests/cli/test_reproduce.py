"""``tightbound reproduce``: run once, used again, gone on with, refused; ours beside the published number."""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from unittest.mock import ANY

import numpy as np
import pytest
import torch
import yaml
from typer.testing import CliRunner

from tests.tiny import TINY
from tightbound import registry
from tightbound.cli import app
from tightbound.commands.beside import beside_lines
from tightbound.recipes.recipe import load_recipe

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PUBLISHED = [
    {"id": "P1", "metric": "elbo", "value": -40.5, "protocol": "dynamic", "source": "a table"},
    {"id": "P1", "metric": "kl", "value": 3.25, "split": "last minibatch", "protocol": "dynamic", "source": "a table"},
    {"id": "P2", "metric": "nll", "value": 38, "samples": 7},
]

PLUG_IN = """
from tightbound.priors import StandardNormal
from tightbound.registry import register

@register("prior", "plug_in_for_test")
class PlugIn(StandardNormal):
    "A standard normal by another name."
"""


@pytest.fixture(scope="module", autouse=True)
def _surroundings():
    """A known commit; and no report is drawn, only its file written."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("recipes.train", "commands.jobs"):
            patch.setattr(f"tightbound.{module}.checkout", lambda: {"commit": COMMIT, "changed": False})
        patch.setattr("tightbound.commands.jobs.report_run", lambda run: (run.folder / "report.html").write_text(""))
        yield


def write_recipe(folder: Path, *overrides: object) -> Path:
    """A recipe of six steps that is named tiny."""
    content = load_recipe("digits-vae", [*TINY, "training.compile=false", "training.picture_every=1", *overrides])
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump({**content.to_dict(), "name": "tiny", "published": PUBLISHED}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Two seeds of it, with rows; the folder and what the command said."""
    folder = tmp_path_factory.mktemp("reproduced")
    recipe = write_recipe(folder)
    arguments = ["reproduce", recipe, "--seeds", 2, "--runs", folder / "runs", "--rows", folder / "rows"]
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.stderr
    return folder, result


@pytest.fixture
def again(finished, tmp_path):
    """A copy of the folder."""
    return shutil.copytree(finished[0], tmp_path / "again")


def failed(result, status):
    assert result.exit_code == status, result.output
    return result.stderr[result.stderr.index("error: ") :]


def trained_at(folder):
    return [(folder / "runs" / f"tiny-seed{seed}" / "model.safetensors").stat().st_mtime_ns for seed in (0, 1)]


def test_rows_are_those_of_the_runs(finished):
    folder, result = finished
    for seed in (0, 1):
        row = json.loads((folder / "rows" / f"tiny-{seed}.json").read_text())
        run = folder / "runs" / f"tiny-seed{seed}"
        assert row["evaluations"] == json.loads((run / "evaluation.json").read_text())
        last = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        last = [line for line in last if line["split"] == "train"][-1]
        assert row["last_minibatch"]["kl"] == last["kl"]
        assert (row["recipe"], row["seed"], row["commit"], row["clean"]) == ("tiny", seed, COMMIT, True)
        words = shlex.split(row["command"])
        expected = [str(folder / "tiny.yaml"), "--seeds", str(seed + 1), "--rows", "docs/results"]
        assert words == ["tightbound", "reproduce", *expected]
        assert (run / "report.html").is_file()
    assert "begins: " in result.stderr


def test_ours_is_printed_beside_the_published_number(finished):
    folder, result = finished
    rows = [json.loads((folder / "rows" / f"tiny-{seed}.json").read_text()) for seed in (0, 1)]
    lines = {line.strip().split("  ")[0]: line.split() for line in result.stdout.splitlines()}
    assert result.stdout.startswith(
        "tiny: 2 seeds (0, 1); the first 12 of 300 test images; digits, binarized at random (seed 0)\n"
    )
    elbo = np.array([row["evaluations"][0]["elbo"] for row in rows])
    kl = np.array([row["last_minibatch"]["kl"] for row in rows])
    uneven = max(row["evaluations"][0]["pareto_k_over_0_7"] for row in rows)
    for name, values, published in (("ELBO, test", elbo, -40.5), ("KL, last minibatch", kl, 3.25)):
        theirs, mean, _, error, difference, _, again = (word.replace("−", "-") for word in lines[name][-7:])
        half = 0.51 * 10 ** -len(error.partition(".")[2])  # of the last digit
        assert float(theirs) == published
        assert float(mean) == pytest.approx(values.mean(), abs=half)
        assert float(error) == pytest.approx(values.std(ddof=1) / math.sqrt(2), abs=half)
        assert float(difference) == pytest.approx(values.mean() - published, abs=half)
        assert again == error
    assert "none: not evaluated with K = 7" in result.stdout
    assert "bound on −log p(x), K = 30, test" in lines
    assert uneven > 0.05  # or the next two lines would test nothing
    assert "  ± is the standard error over seeds.\n" in result.stdout
    assert "The bound has no Monte Carlo error: it would not hold, as the weights are too uneven" in result.stdout
    assert "A difference of bounds mixes how well the models fit with how tight the bounds are" in result.stdout
    assert result.stdout.count("P1: dynamic; a table") == 1


def test_finished_runs_are_used_as_they_are(tightbound, again, finished):
    before = trained_at(again)
    result = tightbound("reproduce", again / "tiny.yaml", "--seeds", 2, "--runs", again / "runs")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == finished[1].stdout
    assert trained_at(again) == before
    assert result.stderr.splitlines() == [f"finished: {again / 'runs' / f'tiny-seed{seed}'}" for seed in (0, 1)]


def test_without_rows_none_are_written(tightbound, again):
    shutil.rmtree(again / "rows")
    before = sorted(again.rglob("*"))
    assert tightbound("reproduce", again / "tiny.yaml", "--runs", again / "runs").exit_code == 0
    assert sorted(again.rglob("*")) == before


def test_one_seed_says_that_it_is_one(tightbound, again):
    result = tightbound("reproduce", again / "tiny.yaml", "--runs", again / "runs")
    assert result.stdout.startswith("tiny: 1 seed (0); ")
    assert "One seed: the spread over seeds is not known." in result.stdout
    row = json.loads((again / "rows" / "tiny-0.json").read_text())
    line = next(line for line in result.stdout.splitlines() if "−log p(x), K = 30" in line)
    assert float(line.split()[-1]) == pytest.approx(-row["value"], abs=0.0051)  # and no ±, as the weights are uneven


@pytest.mark.parametrize(
    ("fraction", "ending", "note"),
    [
        (0.05, ["9.00", "±", "0.10"], "± is the Monte Carlo error, where there is one."),
        (0.5, ["9.00"], "it would not hold, as the weights are too uneven (k̂ > 0.7) in 50 % of the images."),
        (None, ["9.00"], "too few samples to judge whether it would hold (k̂ is not known)."),
    ],
)
def test_an_error_that_does_not_hold_is_not_printed(fraction, ending, note):
    main = {"split": "test", "samples": 10, "log_likelihood": -9.0, "standard_error": 0.1, "protocol": "dynamic"}
    row = {"seed": 0, "error": 0.1, "evaluations": [{**main, "pareto_k_over_0_7": fraction}]}
    lines = beside_lines(load_recipe("digits-vae"), [row])
    assert lines[2].split()[8:] == ending
    assert note in "\n".join(lines)
    assert len([line for line in lines if "no Monte Carlo error" in line]) == (0 if fraction == 0.05 else 1)


def test_a_zip_of_a_finished_run_is_one(tightbound, again, finished):
    run = again / "runs" / "tiny-seed0"
    shutil.make_archive(str(run), "zip", run)
    shutil.rmtree(run)
    result = tightbound("reproduce", again / "tiny.yaml", "--seeds", 2, "--runs", again / "runs")
    assert result.stdout == finished[1].stdout
    assert f"finished: {run}.zip" in result.stderr
    run.mkdir()
    shutil.unpack_archive(f"{run}.zip", run)
    (run / "evaluation.json").unlink()
    shutil.make_archive(str(run), "zip", run)
    shutil.rmtree(run)
    text = failed(tightbound("reproduce", again / "tiny.yaml", "--runs", again / "runs"), 1)
    assert "tiny-seed0.zip is a zip of a run that is not finished\n  hint: unpack it beside" in text


def test_a_stopped_run_goes_on_and_ends_where_it_would_have(tightbound, tmp_path, finished, monkeypatch):
    torch.set_default_dtype(torch.float32)  # as it was when the other run was made
    recipe = write_recipe(tmp_path)

    def stop(model, epoch, step, writer):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("tightbound.recipes.train.pictures", lambda images: stop)
    arguments = ["reproduce", recipe, "--runs", tmp_path / "my runs", "--import", "json"]
    monkeypatch.setattr(sys, "path", list(sys.path))
    text = failed(tightbound(*arguments), 130)
    assert text.startswith("error: interrupted at step 2 of 6; a checkpoint was saved\n  hint: go on with: tightbound ")
    words = shlex.split(text.partition("go on with: tightbound ")[2])
    assert words == ["reproduce", str(recipe), "--seeds", "1", "--runs", str(tmp_path / "my runs"), "--import", "json"]
    monkeypatch.setattr("tightbound.recipes.train.pictures", lambda images: lambda *_: None)
    monkeypatch.setattr("tightbound.commands.jobs.evaluate_each", interrupt)
    text = failed(tightbound(*words), 130)
    assert text.startswith("error: stopped by Ctrl-C\n  hint: go on with: tightbound reproduce")
    monkeypatch.undo()
    result = tightbound(*words[:-2])
    assert result.exit_code == 0, result.stderr
    assert f"lacks an evaluation: {tmp_path / 'my runs' / 'tiny-seed0'}" in result.stderr
    ours, whole = (
        json.loads((folder / "tiny-seed0" / "evaluation.json").read_text())[0]
        for folder in (tmp_path / "my runs", finished[0] / "runs")
    )
    assert ours["log_likelihood"] == whole["log_likelihood"]


def interrupt(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("training.steps=7", "training.steps is 6 there and 7 here"),
        ("model.latent_dim=2", "model.latent_dim is 3 there and 2 here"),
        ("data.binarize=threshold", "data.binarize is 'dynamic' there and 'threshold' here"),
        ("objective.beta=2", "objective.beta is 1.0 there and 2.0 here"),
        ("gray_protocol=true", "gray_protocol is False there and True here"),
    ],
)
def test_a_run_of_another_recipe_is_refused_before_any_work(tightbound, again, override, difference):
    other = again / "runs" / "tiny-seed0"
    shutil.rmtree(other)
    recipe = write_recipe(again, override)
    text = failed(tightbound("reproduce", recipe, "--seeds", 2, "--runs", again / "runs"), 1)
    assert f"tiny-seed1 is a run of another recipe: {difference}\n  hint: move it away, or give another --runs" in text
    assert not other.exists()


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (lambda data: data.update(name="digits (other)"), "data.name is 'digits' there and 'digits (other)' here"),
        (lambda data: data["fingerprint"].update(test="0"), "data.fingerprint.test is '"),
    ],
)
def test_seeds_on_different_data_are_refused_before_any_work(tightbound, again, change, difference):
    """A finished seed against another, and against the data that a seed would be trained on now."""
    runs = again / "runs"
    edit(runs / "tiny-seed1" / "resolved.json", lambda content: change(content["data"]))
    arguments = ("reproduce", again / "tiny.yaml", "--seeds", 2, "--runs", runs, "--rows", again / "new")
    text = failed(tightbound(*arguments), 1)
    assert f"tiny-seed0 and {runs / 'tiny-seed1'} are not of the same data: {difference}" in text
    assert "\n  hint: move one of them away, or give another --runs" in text
    shutil.rmtree(runs / "tiny-seed0")
    text = failed(tightbound(*arguments), 1)
    assert f"{runs / 'tiny-seed1'} and {runs / 'tiny-seed0'} are not of the same data: data." in text
    assert not (runs / "tiny-seed0").exists()
    assert not (again / "new").exists()


def test_seeds_that_were_evaluated_differently_are_not_averaged(tightbound, again):
    path = again / "runs" / "tiny-seed1" / "evaluation.json"
    edit(path, lambda rows: rows[0].update(protocol="digits, thresholded"))
    arguments = ("reproduce", again / "tiny.yaml", "--seeds", 2, "--runs", again / "runs", "--rows", again / "new")
    text = failed(tightbound(*arguments), 1)
    assert [path.name for path in (again / "new").iterdir()] == ["tiny-0.json"]
    assert "tiny: seeds 0 and 1 cannot be averaged: evaluation.protocol is 'digits, binarized at random" in text


def test_a_stray_evaluation_changes_nothing(tightbound, again, finished):
    run = again / "runs" / "tiny-seed0"
    for options in (("--limit", 3, "--seed", 5, "--samples", 7), ("--limit", 3, "--samples", 30)):
        assert tightbound("evaluate", run, *options).exit_code == 0
    before = (again / "rows" / "tiny-0.json").read_text()
    arguments = ("reproduce", again / "tiny.yaml", "--seeds", 2, "--runs", again / "runs", "--rows", again / "rows")
    result = tightbound(*arguments)
    assert result.stdout == finished[1].stdout
    assert "none: not evaluated with K = 7" in result.stdout
    assert json.loads((again / "rows" / "tiny-0.json").read_text()) == {**json.loads(before), "command": ANY}


def test_the_command_of_a_row_makes_it_again(tightbound, tmp_path, monkeypatch):
    """With a plug-in that the recipe needs, and a device that is not the recipe's."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    known = dict(registry._components)
    monkeypatch.setattr(registry, "_components", dict(known))
    (tmp_path / "plug_in_module_for_test.py").write_text(PLUG_IN)
    write_recipe(tmp_path)
    content = yaml.safe_load(Path("tiny.yaml").read_text())
    content["model"]["prior"] = {"kind": "plug_in_for_test"}
    Path("tiny.yaml").write_text(yaml.safe_dump(content))
    run = ("--import", "plug_in_module_for_test", "reproduce", "tiny.yaml", "--rows", "docs/results", "--device", "cpu")
    result = tightbound(*run)
    assert result.exit_code == 0, result.stderr
    row = json.loads(Path("docs/results/tiny-0.json").read_text())
    words = shlex.split(row["command"])
    assert words[-4:] == ["--device", "cpu", "--import", "plug_in_module_for_test"]
    for place in ("runs", "docs"):
        shutil.rmtree(place)
    monkeypatch.setattr(registry, "_components", known)  # as in a new process: the plug-in is not known
    sys.modules.pop("plug_in_module_for_test")
    assert "plug_in_for_test" in failed(tightbound("reproduce", "tiny.yaml"), 2)
    monkeypatch.setattr(registry, "_components", dict(known))
    result = tightbound(*words[1:])
    assert result.exit_code == 0, result.stderr
    new = json.loads(Path("docs/results/tiny-0.json").read_text())
    assert (new["command"], new["value"]) == (row["command"], row["value"])
    assert tightbound(*(word for word in words[1:] if word not in ("--device", "cpu"))).exit_code == 0
    assert json.loads(Path("docs/results/tiny-0.json").read_text())["command"] == row["command"]
    sys.modules.pop("plug_in_module_for_test")


def test_an_evaluation_that_is_not_there_is_made(tightbound, again):
    recipe = write_recipe(again, "evaluation=[{samples: 25, limit: 12}]")
    before = trained_at(again)
    result = tightbound("reproduce", recipe, "--runs", again / "runs", "--rows", again / "rows")
    assert result.exit_code == 0, result.stderr
    row = json.loads((again / "rows" / "tiny-0.json").read_text())
    assert [found["samples"] for found in row["evaluations"]] == [25]
    assert row["value"] == row["evaluations"][0]["log_likelihood"]
    assert trained_at(again) == before


def test_a_likelihood_left_open_is_settled_by_the_runs_data(tightbound, tmp_path):
    recipe = write_recipe(tmp_path)
    content = yaml.safe_load(recipe.read_text())
    del content["model"]["likelihood"]
    recipe.write_text(yaml.safe_dump(content))
    arguments = ("reproduce", recipe, "--runs", tmp_path / "runs", "--device", "cpu")
    assert tightbound(*arguments).exit_code == 0
    result = tightbound(*arguments[:-2])  # begun on cpu: that it is not asked for again is no difference
    assert result.exit_code == 0, result.stderr
    assert "finished: " in result.stderr


def test_seeds_are_counted_from_the_recipes_own(tightbound, again):
    recipe = write_recipe(again, "training.seed=1")
    result = tightbound("reproduce", recipe, "--runs", again / "runs", "--rows", again / "new")
    assert result.stdout.startswith("tiny: 1 seed (1); ")
    row = json.loads((again / "new" / "tiny-1.json").read_text())
    assert shlex.split(row["command"])[-4:] == ["--seeds", "1", "--rows", "docs/results"]


def test_a_later_seed_alone_is_taken_and_named(tightbound, again):
    result = tightbound(
        *("reproduce", again / "tiny.yaml", "--first-seed", 1, "--runs", again / "runs", "--rows", again / "new")
    )
    assert result.stdout.startswith("tiny: 1 seed (1); ")
    assert [path.name for path in (again / "new").iterdir()] == ["tiny-1.json"]
    row = json.loads((again / "new" / "tiny-1.json").read_text())
    assert shlex.split(row["command"])[-4:] == ["--first-seed", "1", "--rows", "docs/results"]


def test_the_commit_of_a_run_that_does_not_say_is_asked_for(tightbound, again):
    path = again / "runs" / "tiny-seed0" / "resolved.json"
    content = json.loads(path.read_text())
    del content["checkouts"]
    path.write_text(json.dumps(content))
    arguments = ["reproduce", again / "tiny.yaml", "--runs", again / "runs"]
    assert tightbound(*arguments).exit_code == 0
    text = failed(tightbound(*arguments, "--rows", again / "new"), 1)
    assert "tiny-seed0 does not say with which commit it was made\n  hint: give it with --commit HASH" in text
    assert not (again / "new").exists()
    assert tightbound(*arguments, "--rows", again / "new", "--commit", "abcdef0").exit_code == 0
    row = json.loads((again / "new" / "tiny-0.json").read_text())
    assert (row["commit"], row["clean"]) == ("abcdef0", None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--commit", "abcdef0"], "--commit is kept in result rows, and none are written\n  hint: add --rows DIR"),
        (["--rows", "rows", "--commit", "HEAD"], "--commit: got 'HEAD'; expected 7 to 40 digits of a commit"),
        (["--seeds", "0"], "--seeds: got 0; expected a whole number >= 1"),
        (["--device", "gpu"], "--device: got 'gpu'; expected one of auto, cpu, cuda, mps"),
        (["mnist-mpl"], "unknown recipe 'mnist-mpl'; shipped: "),
    ],
)
def test_wrong_options_are_refused(tightbound, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    assert message in failed(tightbound("reproduce", "digits-vae", *options), 2)
    assert not list(tmp_path.iterdir())


def test_a_commit_that_is_not_the_checkouts_is_refused_before_training(tightbound, tmp_path):
    recipe = write_recipe(tmp_path)
    arguments = ["reproduce", recipe, "--runs", tmp_path / "runs", "--rows", tmp_path / "rows", "--commit", "abcdef0"]
    text = failed(tightbound(*arguments), 1)
    assert f"says that it was made with commit {COMMIT}, not abcdef0" in text
    assert not (tmp_path / "runs").exists()


def test_two_numbers_of_one_quantity_are_both_shown():
    main = {"split": "test", "samples": 10, "log_likelihood": -9.0, "standard_error": 0.1, "elbo": -10.0}
    row = {"seed": 0, "error": 0.1, "evaluations": [{**main, "protocol": "dynamic"}]}
    entries = [{"metric": "elbo", "value": value, "id": name} for name, value in (("P1", -12), ("P2", -9.5))]
    lines = beside_lines(load_recipe("digits-vae", [{"published": entries}]), [row])
    assert [line.split() for line in lines[2:4]] == [
        ["ELBO,", "test", "−12", "−10.00", "2.00"],
        ["ELBO,", "test", "−9.5", "−10.00", "−0.50"],
    ]
    assert [line.split(", ")[0].strip() for line in lines[2:5]] == ["ELBO", "ELBO", "bound on −log p(x)"]


def test_what_is_no_likelihood_is_labeled():
    main = {"split": "test", "samples": 10, "log_likelihood": -9.0, "standard_error": 0.1, "elbo": -10.0}
    main |= {"pareto_k_over_0_7": 0.0, "protocol": "gray", "is_likelihood": False}
    row = {"seed": 0, "error": 0.1, "evaluations": [main]}
    lines = beside_lines(load_recipe("digits-vae"), [row])
    assert "  bound on −log p(x), K = 10, test (not a likelihood)" in lines[2]
    assert lines[1].split() == ["ours"]
    assert lines[2].endswith("9.00 ± 0.10")
    assert lines[3].split("  ")[1] == "ELBO, test (not a likelihood)"
    assert lines[-1] == "  No number was published for this recipe."
