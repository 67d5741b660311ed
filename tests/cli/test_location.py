"""``tightbound reproduce gaussian-location``: run, kept, used again, refused; its tables and charts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tightbound.report.location import charts, number, tables

ASKED = ("dimensions=3", "methods=mean-field,planar-1", "rows=300", "data_sets=2", "passes=2", "processes=1")


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.recipes.location.fit._MOST_UPDATES", 3)
    monkeypatch.setattr("tightbound.commands.location.checkout", lambda: {"commit": "0" * 40, "changed": False})


def test_what_is_there_is_used_again(tightbound, tmp_path: Path) -> None:
    where = ("--runs", tmp_path / "runs", "--rows", tmp_path / "rows")
    first = tightbound("reproduce", "gaussian-location", *ASKED, *where)
    assert first.exit_code == 0, first.stderr
    assert "0 of 4 cells are there already" in first.stderr
    assert "4 of 4, published-mean-field-3: " in first.stderr
    rows = json.loads((tmp_path / "rows/gaussian-location/3.json").read_text())
    assert [(row["table"], row["method"], row["updates"]) for row in rows] == [
        ("bound", "planar-1", 3),
        ("bound", "mean-field", 3),
        ("published", "planar-1", 3),
        ("published", "mean-field", 4),  # two passes over 300 rows in two mini-batches
    ]
    assert rows[0]["commit"] == "0" * 40
    assert "dimensions=3" in rows[0]["command"]
    truth = next(row for row in rows if row["table"] == "published" and row["method"] == "mean-field")["truth"]
    assert f"| {number(sum(truth['shift']) / 2)} |" in first.stdout
    pictures = {path.name for path in (tmp_path / "runs/gaussian-location/figures").glob("*.png")}
    assert pictures == {
        f"{table}-{part}-learning-3.png" for table in ("bound", "published") for part in ("shift", "scale")
    }

    cell = tmp_path / "runs/gaussian-location/bound-planar-1-3.json"
    cell.write_text(cell.read_text().replace('"updates": 3', '"updates": 7'))
    (tmp_path / "runs/gaussian-location/bound-mean-field-3.json").unlink()
    second = tightbound("reproduce", "gaussian-location", *ASKED, *where)
    assert second.exit_code == 0, second.stderr
    assert "3 of 4 cells are there already\n4 of 4, bound-mean-field-3: " in second.stderr
    assert json.loads((tmp_path / "rows/gaussian-location/3.json").read_text())[0]["updates"] == 7

    alone = [argument.replace("mean-field,planar-1", "mean-field") for argument in ASKED]
    third = tightbound("reproduce", "gaussian-location", *alone, "--runs", tmp_path / "apart", *where[2:])
    assert third.exit_code == 0, third.stderr
    rows = json.loads((tmp_path / "rows/gaussian-location/3.json").read_text())
    assert [row["method"] for row in rows] == ["planar-1", "mean-field"] * 2
    assert ["planar" in row["command"] for row in rows] == [True, False] * 2

    other = tightbound("reproduce", "gaussian-location", *ASKED, "rows=301", *where)
    assert other.exit_code == 1
    assert "was run with rows = 300; asked for is 301" in other.stderr

    for damage in (lambda text: text[:40], lambda _: "{}", lambda _: "3"):
        cell.write_text(damage(cell.read_text()))
        damaged = tightbound("reproduce", "gaussian-location", *ASKED, *where)
        assert damaged.exit_code == 1
        assert f"error: {cell} is damaged: expected rows of the study" in damaged.stderr


def test_a_study_that_is_stopped_says_how_it_goes_on(tightbound, tmp_path: Path, monkeypatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tightbound.commands.location.run_cell", stopped)
    where = ("--runs", tmp_path / "runs")
    result = tightbound("reproduce", "gaussian-location", *ASKED, *where)
    assert result.exit_code == 130
    again = " ".join(["tightbound reproduce gaussian-location", *ASKED, "--runs", str(tmp_path / "runs")])
    assert f"error: stopped by Ctrl-C\n  hint: go on with: {again}\n" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["methods=planar"], "methods: got 'planar'; expected some of"),
        (["mnist-mlp"], "mnist-mlp: the study gaussian-location stands alone"),
        (["--seeds", "2"], "gaussian-location has data sets in place of --seeds"),
    ],
)
def test_what_is_refused(tightbound, arguments: list[str], message: str) -> None:
    result = tightbound("reproduce", "gaussian-location", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def row(table: str, method: str, dimension: int, shift: list[float], scale: list[float]) -> dict[str, object]:
    """A row of two data sets."""
    found = {"shift": shift, "scale": scale}
    return {
        "table": table,
        "method": method,
        "dimension": dimension,
        "rows": 10_000,
        "data_sets": 2,
        "passes": None,
        "truth": found,
        "optimum": found,
        "squared_latent": [20.0, 30.0],
        "elbo": [-10.0, -12.0],
        "elbo_error": [0.3, 0.4],
        "log_evidence": [-9.0, -9.0],
        "curve": [{"update": 1, "pass": 1.0, "optimum": found}, {"update": 9, "pass": 9.0, "optimum": found}],
    }


def test_tables_have_the_means_over_data_sets() -> None:
    text = "\n".join(tables([row("bound", "iaf", 25, [22.0, 24.0], [1e-4, 3e-4])]))
    assert "Squared error of θ against the truth:\n\n| d | IAF |\n|---|---|\n| 25 | 23.000 |" in text
    assert "| d | IAF | Σ z² |" in text
    assert "| 25 | 23.000 | 25.000 |" in text
    assert "| 25 | 2.00e-04 | 3.31e-04 |" in text  # Σ σ²/(2N) at d = 25
    assert "| 25 | 2 ± 0 |" in text  # √(0.3² + 0.4²)/2 = 0.25 is too much for decimals


def test_charts_are_drawn_of_the_rows() -> None:
    rows = [row("bound", "iaf", d, [22.0, 24.0], [1e-4, 3e-4]) for d in (25, 50)]
    names = [exhibit.name for exhibit in charts(rows)]
    assert names[:3] == ["bound-theta-by-dimension", "bound-shift-by-dimension", "bound-scale-by-dimension"]
    assert names[3:] == [f"bound-{part}-learning-{d}" for d in (25, 50) for part in ("shift", "scale")]


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.2e-10, "< 1e-9"), (3.2e-4, "3.20e-04"), (0.0403, "0.04030"), (1.14149, "1.141"), (331.2, "331.200")],
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text
