"""The pictures of annealing show the row's numbers, and say of which images they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tightbound.report.annealing import annealing
from tightbound.report.run_folder import Evaluation, Run


def run_of(*rows: dict[str, object]) -> Run:
    return Run(Path("run"), "", {}, (), tuple(Evaluation(row) for row in rows))


ANNEALED = {
    "method": "annealed",
    "images": 7,
    "samples": 8,
    "annealing": {
        "temperatures": 500,
        "start": "prior",
        "listed": [0, 250, 499],
        "log_weight_variance": [None, 0.25, 1.5],
        "acceptance": 0.66,
    },
}
BIDIRECTIONAL = {
    **ANNEALED,
    "method": "bidirectional",
    "simulated": {"lower": [-90.0, -80.0, -85.0], "upper": [-89.5, -79.9, -85.1], "gap_error": 0.18},
}


def test_other_methods_have_no_such_pictures() -> None:
    assert annealing(run_of({"method": "importance", "images": 3, "samples": 10})) == []


def test_gap_of_each_simulated_image() -> None:
    """Gaps 0.5, 0.1 and −0.1: mean 0.17 with the row's error; the axis is of simulated images and says so."""
    gaps, variance = annealing(run_of({"method": "importance"}, BIDIRECTIONAL))
    assert "They are 0.17 ± 0.18 nats apart" in gaps.caption
    assert "drawn from the model itself" in gaps.caption
    assert "no upper bound exists" in gaps.caption
    assert "gaps between −0.10 and 0.50 nats" in gaps.markup
    assert "of a simulated image" in gaps.markup
    assert variance.name == "log_weight_variance"


def test_variance_ends_where_the_row_says() -> None:
    (variance,) = annealing(run_of(ANNEALED))
    assert "over 8 chains" in variance.caption
    assert "It ends at 1.50 nats²" in variance.caption
    assert "accepted in 66 %" in variance.caption


@pytest.mark.parametrize(
    "broken", [{"log_weight_variance": [None, None, None]}, {"log_weight_variance": [None, 1.0, None]}]
)
def test_one_chain_has_no_variance(broken: dict[str, object]) -> None:
    row = {**ANNEALED, "samples": 1, "annealing": {**ANNEALED["annealing"], **broken}}  # pyright: ignore
    assert annealing(run_of(row)) == []


def test_the_last_evaluation_is_shown() -> None:
    other = {**BIDIRECTIONAL, "simulated": {"lower": [0.0], "upper": [3.0], "gap_error": None}}
    (gaps, _) = annealing(run_of(other, BIDIRECTIONAL))
    assert "0.17" in gaps.caption
    (gaps, _) = annealing(run_of(BIDIRECTIONAL, other))
    assert "They are 3.00 nats apart" in gaps.caption
