"""Charts draw the numbers they are given."""

from __future__ import annotations

import re

import numpy as np

from tightbound.report import Evaluation
from tightbound.report.bound_against_k import bound_against_k
from tightbound.report.bounds import bounds
from tightbound.report.curves import MOST_POINTS, series
from tightbound.report.exhibit import Exhibit
from tightbound.report.tables import elbo_spread, gap
from tightbound.report.units import unit_bars
from tightbound.report.weights import weight_histograms

from .runs import PER_IMAGE, ROW, run


def words(exhibit: Exhibit | None) -> list[str]:
    assert exhibit is not None
    return re.findall(r"<text[^>]*>([^<]*)</text>", exhibit.markup)


def test_series_keeps_finite_values_of_one_split() -> None:
    rows = [
        {"split": "train", "epoch": 1, "elbo": -3.0},
        {"split": "validation", "epoch": 1, "elbo": -4.0},
        {"split": "train", "epoch": 2, "elbo": float("nan")},
        {"split": "train", "epoch": 3, "elbo": None},
        {"split": "train", "epoch": 4},
        {"split": "train", "step": 5, "elbo": -1.0},
    ]
    x, y = series(rows, "train", "elbo")
    assert x.tolist() == [1.0, 5.0]
    assert y.tolist() == [-3.0, -1.0]


def test_a_long_series_is_averaged_in_bins() -> None:
    rows = [{"split": "train", "epoch": i, "elbo": 2.0 * i} for i in range(3 * MOST_POINTS)]
    x, y = series(rows, "train", "elbo")
    np.testing.assert_allclose(x, 3 * np.arange(MOST_POINTS) + 1)
    np.testing.assert_allclose(y, 2 * x)


def test_bounds_name_their_numbers() -> None:
    chart = words(bounds(run({"exact": -97.0}).evaluations))
    for text in ("ELBO", "−101.25", "log p(x)", "−97.31 ± 0.02", "importance, K = 5,000", "exact log p(x)", "−97.00"):
        assert text in chart


def test_the_curve_marks_every_k_on_its_axis() -> None:
    chart = words(bound_against_k(run().main))
    assert [text for text in chart if text in ("1", "10", "100", "1,000", "5,000")] == [
        "1",
        "10",
        "100",
        "1,000",
        "5,000",
    ]
    assert chart.count("−97.31") == 1
    assert bound_against_k(Evaluation({"curve": [[1, -2.0]]})) is None


def bar_heights(markup: str, color: str) -> list[float]:
    paths = re.findall(rf'<path d="([^"]*)"[^>]*style="fill: var\(--chart-{color}\)"', markup)
    corners = [np.array(re.findall(r"-?[\d.]+", path), dtype=float).reshape(-1, 2) for path in paths]
    return [float(np.ptp(points[:, 1])) for points in corners if len(points) >= 4]


def test_units_are_sorted_and_the_inactive_are_gray() -> None:
    (exhibit,) = unit_bars(run({"active_units": [3], "kl_units": [[3.0, 0.5, 12.0, 10.0]]}).main)
    active, inactive = bar_heights(exhibit.markup, "blue")[:3], bar_heights(exhibit.markup, "faint")[:1]
    np.testing.assert_allclose(np.array(active + inactive) / active[0], np.array([12, 10, 3, 0.5]) / 12, atol=1e-3)
    assert "3 of 4 units are active" in exhibit.caption
    assert "Together 25.50 nats per image." in exhibit.caption


def test_histograms_count_the_images_beyond_the_limit() -> None:
    arrays = {**PER_IMAGE, "pareto_k": np.array([0.2, 0.7, 0.71, np.nan])}
    pareto, effective = weight_histograms(Evaluation(ROW, arrays))
    assert pareto.caption.startswith("In 1 of 3 images (33 %) k̂ is above 0.7")
    assert len(bar_heights(pareto.markup, "orange")) == 1
    assert effective.caption == "Effective sample size: 41.3 samples of 5,000 drawn in the median image."


def test_errors_over_images() -> None:
    evaluation = run().main
    assert evaluation is not None
    difference = np.array([3.0, 3.75, 4.0, 5.0])
    spread = np.sqrt(((difference - difference.mean()) ** 2).sum() / 3 / 4)
    assert gap(evaluation) == (3.9375, spread)
    elbo = PER_IMAGE["elbo"]
    assert elbo_spread(evaluation) == np.sqrt(((elbo - elbo.mean()) ** 2).sum() / 3 / 4)
