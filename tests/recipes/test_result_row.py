"""Result rows: the numbers are those of the run's own files."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

from tightbound.errors import RunError
from tightbound.recipes.evaluate import evaluate_run, read_method
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.result_row import (
    find_evaluation,
    last_minibatch,
    last_steps,
    metrics_rows,
    result_row,
    settle_commits,
    write_row,
)

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def with_checkouts(run, *checkouts):
    return dataclasses.replace(run, resolved={**run.resolved, "checkouts": list(checkouts)})


def training(step, elbo, **more):
    return {"step": step, "elbo": elbo, "log_likelihood": elbo + 1, "kl": 1.0, "skipped_steps": 0, **more}


def test_the_row_has_the_runs_own_numbers_unrounded(trained, tmp_path):
    row = result_row(with_checkouts(trained, {"commit": COMMIT, "changed": False}), "tightbound reproduce tiny")
    read = json.loads(write_row(row, tmp_path / "rows").read_text())
    assert (tmp_path / "rows" / "digits-vae-0.json").is_file()
    evaluation = json.loads((trained.folder / "evaluation.json").read_text())
    lines = [json.loads(line) for line in (trained.folder / "metrics.jsonl").read_text().splitlines()]
    last = [line for line in lines if line["split"] == "train"][-1]
    assert read["evaluations"] == evaluation
    main = evaluation[0]
    assert (read["value"], read["error"], read["error_images"]) == (
        main["log_likelihood"],
        main["standard_error"],
        main["standard_error_images"],
    )
    assert (read["protocol"], read["sentence"]) == (main["protocol"], main["sentence"])
    assert (read["training_seconds"], read["evaluation_seconds"]) == (
        max(line["seconds"] for line in lines),
        main["seconds"],
    )
    assert [read["last_minibatch"][name] for name in ("elbo", "kl", "steps")] == [last["elbo"], last["kl"], 6]
    curve = [(line["step"], line["elbo"], line["seconds"]) for line in lines if line["split"] == "validation"]
    assert [(point["step"], point["elbo"], point["seconds"]) for point in read["curve"]] == curve
    assert curve
    assert read["parameters"] == trained.build().num_parameters
    assert (read["recipe"], read["seed"], read["commit"], read["clean"]) == ("digits-vae", 0, COMMIT, True)
    assert read["command"] == "tightbound reproduce tiny"
    kept = trained.resolved["data"]
    assert read["data"] == kept
    assert set(read["data"]["fingerprint"]) == {"train", "validation", "test"}
    assert read["versions"] == trained.resolved["versions"]
    assert read["machine"].startswith(trained.resolved["processor"])


@pytest.mark.parametrize(
    ("shared", "words", "several"),
    [
        ({"threads": 1}, "1 thread", None),
        ({"threads": 1, "processes": [1]}, "1 thread", None),
        ({"threads": 3, "processes": [2]}, "2 processes of 3 threads", "2"),
        ({"threads": 1, "processes": [1, 4]}, "1, then 4 processes of 1 thread", "1, then 4"),
    ],
)
def test_a_row_says_what_shared_the_training(trained, shared, words, several):
    kept = {name: value for name, value in trained.resolved.items() if name != "processes"}
    run = dataclasses.replace(trained, resolved={**kept, "processor": "a chip", "machine": "Linux", **shared})
    row = result_row(with_checkouts(run, {"commit": COMMIT, "changed": False}), "tightbound reproduce tiny")
    assert row["machine"] == f"a chip, {words}, Linux"
    before = f"trained before, in {several} processes, by `train --processes N --out RUNS/digits-vae-seed0`"
    assert row["note"] == (before if several else "")


def test_only_the_evaluations_that_the_recipe_asks_for_are_in_the_row(copied):
    path = copied.folder / "evaluation.json"
    asked = json.loads(path.read_text())[0]
    strays = [
        {**asked, key: value, "log_likelihood": 1.0}
        for key, value in {"samples": 7, "images": 3, "seed": 5, "split": "validation", "checkpoint": "last"}.items()
    ]
    path.write_text(json.dumps([*strays, asked, *strays]))
    row = result_row(with_checkouts(copied, None), "", commit=COMMIT)
    assert row["evaluations"] == [asked]
    assert row["value"] == asked["log_likelihood"]


def test_a_probe_comes_last_whatever_the_recipe_says_and_alone_makes_no_row(copied):
    main = copied.evaluations()[0]
    settings = read_method({"method": "probe", "train_limit": 50, "limit": 40})
    probed = evaluate_run(copied, settings)
    copied.add_evaluation(probed)
    asked = dataclasses.replace(copied.recipe, evaluation=(settings, *copied.recipe.evaluation))
    run = dataclasses.replace(copied, recipe=asked)
    row = result_row(with_checkouts(run, None), "", commit=COMMIT)
    assert row["evaluations"] == [main, probed.to_row()]
    assert row["value"] == main["log_likelihood"]
    alone = dataclasses.replace(run, recipe=dataclasses.replace(asked, evaluation=(settings,)))
    with pytest.raises(RunError, match=r"asks for no estimate of log p\(x\)"):
        result_row(with_checkouts(alone, None), "", commit=COMMIT)


@pytest.mark.parametrize(
    "change",
    [{"samples": 31}, {"limit": 11}, {"limit": None}, {"seed": 1}, {"split": "train"}, {"checkpoint": "last"}],
)
def test_an_evaluation_with_other_settings_is_not_the_one_asked_for(trained, change):
    asked = {"samples": 30, "limit": 12}
    for given, there in ((asked, True), (asked | change, False)):
        (settings,) = load_recipe("digits-vae", [{"evaluation": [given]}]).evaluation
        assert (find_evaluation(trained, settings) is not None) is there


def test_all_images_are_asked_for_where_the_limit_is_beyond_them(copied):
    path = copied.folder / "evaluation.json"
    row = {**json.loads(path.read_text())[0], "images": 300}
    path.write_text(json.dumps([row]))
    for limit in ("null", "300", "1000"):
        (settings,) = load_recipe("digits-vae", [f"evaluation=[{{samples: 30, limit: {limit}}}]"]).evaluation
        assert find_evaluation(copied, settings) == row


def test_the_last_minibatch_says_how_many_steps_it_averages():
    rows = [training(50, -9.0), training(100, -8.0, skipped_steps=3, loss=8.5, rmse=0.2)]
    expected = {"step": 100, "steps": 47, "elbo": -8.0, "log_likelihood": -7.0, "kl": 1.0, "rmse": 0.2, "mae": None}
    assert last_minibatch(rows) == {**expected, "objective": -8.5}
    alone = last_minibatch([training(6, -9.0)])
    assert (alone["steps"], alone["rmse"], alone["objective"]) == (6, None, None)


def test_the_last_hundred_rows_give_a_mean_and_its_standard_error():
    elbo = np.random.default_rng(0).normal(-90, 3, 130)
    summary = last_steps([training(5 * (i + 1), value) for i, value in enumerate(elbo)])
    assert (summary["rows"], summary["steps"]) == (100, 500)
    assert summary["elbo"]["mean"] == pytest.approx(elbo[30:].mean(), rel=1e-14)
    assert summary["elbo"]["standard_error"] == pytest.approx(elbo[30:].std(ddof=1) / 10, rel=1e-12)
    assert (summary["elbo"]["smallest"], summary["elbo"]["largest"]) == (elbo[30:].min(), elbo[30:].max())
    assert summary["rmse"] is None
    few = last_steps([training(2, -1.0), training(4, -3.0), {"step": 6, "skipped_steps": 2}])
    assert (few["rows"], few["steps"], few["elbo"]["mean"]) == (3, 6, -2.0)
    assert few["elbo"]["standard_error"] == pytest.approx(math.sqrt(2) / math.sqrt(2))


def test_the_commit_is_the_runs_or_the_given_one(tmp_path):
    first, second = {"commit": COMMIT, "changed": True}, {"commit": "f" * 40, "changed": False}
    assert settle_commits(tmp_path, [first, second], None) == [first, second]
    assert settle_commits(tmp_path, [first], COMMIT[:7]) == [first]
    for said in (None, [], [None], [None, second]):
        assert settle_commits(tmp_path, said, "abcdef0") == [{"commit": "abcdef0", "changed": None}]
        with pytest.raises(
            RunError, match=r"does not say with which commit it was made\n  hint: give it with --commit"
        ):
            settle_commits(tmp_path, said, None)
    with pytest.raises(RunError, match=f"says that it was made with commit {COMMIT}, not abcdef0\n  hint: --commit is"):
        settle_commits(tmp_path, [first], "abcdef0")


def test_a_run_gone_on_with_at_another_commit_says_so(trained):
    first, second = {"commit": COMMIT, "changed": False}, {"commit": "f" * 40, "changed": True}
    row = result_row(with_checkouts(trained, first, second), "")
    assert (row["commit"], row["clean"], row["note"]) == (COMMIT, False, f"gone on with at {'f' * 40}")
    assert result_row(with_checkouts(trained, None), "", commit="abcdef0")["clean"] is None


def test_where_the_data_were_is_not_kept(trained):
    resolved = {**trained.resolved, "data": {**trained.resolved["data"], "path": "/home/somebody/images"}}
    run = with_checkouts(dataclasses.replace(trained, resolved=resolved), {"commit": COMMIT, "changed": False})
    row = result_row(run, "")
    assert "somebody" not in json.dumps(row)


def test_an_unfinished_run_has_no_row(copied):
    (copied.folder / "evaluation.json").write_text("[]")
    with pytest.raises(RunError, match=r"lacks an evaluation that its recipe asks for\n  hint: finish the run first"):
        result_row(with_checkouts(copied, {"commit": COMMIT, "changed": False}), "")


def test_a_damaged_training_log_is_named(tmp_path):
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged: .*No such file"):
        metrics_rows(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"split": "tra')
    with pytest.raises(RunError, match=r"metrics\.jsonl is damaged: "):
        metrics_rows(tmp_path)
    (tmp_path / "metrics.jsonl").write_text('{"split": "validation"}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl has no row of training"):
        metrics_rows(tmp_path)
