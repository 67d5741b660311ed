"""What is read of a run folder, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tightbound.errors import RunError
from tightbound.report import read_run

from .runs import PER_IMAGE, ROW, write_run


def test_everything_is_read(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "run"))
    assert run.main is not None
    assert run.main.row == ROW
    assert run.main.per_image is not None
    np.testing.assert_array_equal(run.main.per_image["pareto_k"], PER_IMAGE["pareto_k"])
    assert [row["elbo"] for row in run.metrics] == [-140.0, -104.0, -101.0, -120.0, -104.5, -102.0]


def test_a_half_written_last_line_of_metrics_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "el')
    assert len(read_run(folder).metrics) == 6


def test_the_main_evaluation_is_of_the_test_set_of_most_images_then_samples(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    changes = [
        {"split": "validation", "images": 9, "samples": 9000},
        {"samples": 100},
        {"images": 2, "samples": 9000},
        {},
        {"samples": 5000, "seed": 8},
    ]
    (folder / "evaluation.json").write_text(json.dumps([{**ROW, **change} for change in changes]))
    main = read_run(folder).main
    assert main is not None
    assert main.row["seed"] == 8


def test_every_row_has_its_own_arrays(tmp_path: Path) -> None:
    """The name is made of the row; an older run has one file for a method and split."""
    folder = write_run(tmp_path / "run")
    shifted = {**PER_IMAGE, "log_likelihood": PER_IMAGE["log_likelihood"] + 1}
    rows = [ROW, {**ROW, "samples": 50, "log_likelihood": ROW["log_likelihood"] + 1}, {**ROW, "checkpoint": "step-9"}]
    (folder / "evaluation.json").write_text(json.dumps(rows))
    np.savez(folder / "evaluation" / "importance-test-k50-n4-seed7-best.npz", **shifted)  # pyright: ignore[reportArgumentType]
    np.savez(folder / "evaluation" / "importance-test-k5000-n4-seed7-step-9.npz", **shifted)  # pyright: ignore[reportArgumentType]
    old, new, wrong = read_run(folder).evaluations
    for evaluation, expected in (
        (old, PER_IMAGE),
        (new, shifted),
        (wrong, PER_IMAGE),
    ):  # a file of other numbers: not its
        assert evaluation.per_image is not None
        np.testing.assert_array_equal(evaluation.per_image["log_likelihood"], expected["log_likelihood"])


@pytest.mark.parametrize("change", [{"images": 5}, {"log_likelihood": -97.4}])
def test_arrays_of_another_evaluation_are_left_out(tmp_path: Path, change: dict[str, float]) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "evaluation.json").write_text(json.dumps([{**ROW, **change}]))
    main = read_run(folder).main
    assert main is not None
    assert main.per_image is None


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no run folder at .*nowhere"):
        read_run(tmp_path / "nowhere")


def test_another_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"is not a run folder: it has no resolved\.json"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("evaluation.json", '[{"method"', r"evaluation\.json is damaged: Expecting"),
        ("evaluation.json", "{}", r"evaluation\.json is damaged: expected a JSON list"),
        ("resolved.json", "[]", r"resolved\.json is damaged: expected a JSON object"),
        ("metrics.jsonl", '{"step"\n{}\n', r"metrics\.jsonl is damaged in line 1"),
        ("evaluation/importance-test.npz", "PK", r"importance-test\.npz is damaged"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_text(content)
    with pytest.raises(RunError, match=message):
        read_run(folder)
