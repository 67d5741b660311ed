"""Charts draw the numbers they are given."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from tightbound.report import Evaluation
from tightbound.report.bound_against_k import bound_against_k
from tightbound.report.bounds import bounds
from tightbound.report.curves import MOST_POINTS, bound_curve, kl_curve, series, speed_curve
from tightbound.report.exhibit import Exhibit
from tightbound.report.tables import elbo_spread, gap
from tightbound.report.units import unit_bars
from tightbound.report.weights import _edges_with_limit, weight_histograms

from .runs import PER_IMAGE, ROW, metrics, run


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
    chart = words(bounds(run({"exact": -97.0})))
    for text in (
        "ELBO",
        "−101.25",
        "log p(x)",
        "−97.31 ± 0.02",
        "4 test images, K = 5,000",
        "exact log p(x)",
        "−97.00",
    ):
        assert text in chart
    assert chart.count("4 test images") == 2


def test_bounds_are_of_one_split_and_say_of_how_many_images() -> None:
    rows = [{}, {"images": 1, "elbo": -50.0}, {"split": "validation", "elbo": -75.0}]
    evaluations = tuple(Evaluation({**ROW, **row}) for row in rows)
    chart = words(bounds(replace(run(), evaluations=evaluations)))
    assert [text for text in chart if text in ("4 test images", "1 test image")] == ["1 test image", "4 test images"]
    assert "−50.00" in chart
    assert "−75.00" not in chart


def test_evaluations_of_the_same_images_are_told_apart_by_what_differs() -> None:
    rows = [{}, {"seed": 8, "elbo": -101.5}, {"samples": 50, "elbo": -101.0}]
    evaluations = tuple(Evaluation({**ROW, **row}) for row in rows)
    chart = words(bounds(replace(run(), evaluations=evaluations)))
    labels = [text for text in chart if text.startswith("4 test images")]
    assert sorted(labels) == sorted(
        [f"4 test images, K = {k}, seed {seed}" for k, seed in (("5,000", 7), ("5,000", 8), ("50", 7))]
        + [f"4 test images, K = 5,000, seed {seed}" for seed in (7, 8)]
        + ["4 test images, K = 50"]
    )


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
    """The inactive unit is the one of the mask, not that of the smallest KL."""
    mask = [[True, True, True, False]]
    (exhibit,) = unit_bars(run({"active_units": [3], "active_mask": mask}).main)
    active, inactive = bar_heights(exhibit.markup, "blue")[:3], bar_heights(exhibit.markup, "faint")[:1]
    np.testing.assert_allclose(np.array(active + inactive) / active[0], np.array([12, 3, 0.5, 10]) / 12, atol=1e-3)
    assert "3 of 4 units are active" in exhibit.caption
    assert "Together 25.50 nats per image." in exhibit.caption
    assert {"active", "inactive"} <= set(words(exhibit))


@pytest.mark.parametrize("amortized", [True, False])
def test_units_have_one_color_where_it_is_not_known_which_are_active(amortized: bool) -> None:
    row = {"active_units": [3]} if amortized else {"active_units": [0], "active_mask": [[False] * 4]}
    (exhibit,) = unit_bars(run(row).main, amortized=amortized)
    assert len(bar_heights(exhibit.markup, "blue")) == 4
    assert bar_heights(exhibit.markup, "faint") == []
    assert not {"active", "inactive"} & set(words(exhibit))
    assert ("3 of 4 units are active" in exhibit.caption) == amortized


def test_activity_is_shown_where_the_kl_does_not_split() -> None:
    values = [0.1, 1e-3, 1.0, -1e-9]
    row = {"kl_units": [[4.0]], "active_units": [2], "active_mask": [[True, False, True, False]], "activity": [values]}
    (exhibit,) = unit_bars(run(row).main)
    assert exhibit.name == "activity"
    assert exhibit.title == "Activity of each latent unit"
    active, inactive = bar_heights(exhibit.markup, "blue")[:2], bar_heights(exhibit.markup, "faint")[:1]
    # On a log axis from 10⁻⁵: five, four and two decades.
    np.testing.assert_allclose(np.array(active + inactive) / active[0], [1, 4 / 5, 2 / 5], atol=2e-3)
    assert "2 of 4 units are active: their posterior mean varies over the 4 images" in exhibit.caption
    assert {"limit 0.01", "0.00001", "1"} <= set(words(exhibit))
    assert unit_bars(run(row).main, amortized=False) == []


def test_one_unit_and_the_hundreds_of_a_ladder_are_not_drawn() -> None:
    row = {"kl_units": [[3.0, 1.0], [4.0]], "active_units": [2, None], "activity": [None, [0.5, 0.2]]}
    assert unit_bars(run(row).main) == []
    assert unit_bars(run({"kl_units": [[4.0]], "activity": [None], "active_units": [None]}).main) == []


def test_a_single_logged_point_is_seen() -> None:
    lines = metrics(train=[-140.0], validation=[])
    for exhibit in (kl_curve(lines), speed_curve(lines), bound_curve(lines, ROW)):
        assert exhibit is not None
        assert re.search(r"<use[^>]*fill: var\(--chart-(blue|muted)\)", exhibit.markup)  # a dot
        assert {"0", "1", "2"} <= set(words(exhibit))


def test_histograms_of_one_image_count_in_whole_images() -> None:
    arrays = {"pareto_k": np.array([0.63]), "ess": np.array([120.0])}
    pareto, effective = weight_histograms(Evaluation({"samples": 1000}, arrays))
    assert pareto.caption.startswith("In 0 of 1 image (0 %)")
    for exhibit in (pareto, effective):
        assert {"0", "1"} <= set(words(exhibit))
        assert not {"0.2", "0.5"} & set(words(exhibit)[-6:])
    assert {"200", "500", "1,000"} <= set(words(effective))
    _, even = weight_histograms(Evaluation({"samples": 50}, {**arrays, "ess": np.full(3, 50.0)}))
    assert {"50", "0", "1", "2", "3"} <= set(words(even))


def test_histograms_count_the_images_beyond_the_limit() -> None:
    arrays = {**PER_IMAGE, "pareto_k": np.array([0.2, 0.7, 0.71, np.nan])}
    pareto, effective = weight_histograms(Evaluation(ROW, arrays))
    assert pareto.caption.startswith("In 1 of 3 images (33 %) k̂ is above 0.7")
    assert len(bar_heights(pareto.markup, "orange")) == 1
    assert effective.caption == "Effective sample size: 41.3 samples of 5,000 drawn in the median image."


@pytest.mark.parametrize("values", [[0.75, 0.9], [2.0, 9.5, 1.7, 21.3], [-40.0, 5.0]])
def test_the_limit_of_trust_is_always_in_the_frame(values: list[float]) -> None:
    edges = _edges_with_limit(np.array(values))
    assert 0.7 in edges
    assert edges[0] <= min(0, *values) <= max(1, *values) <= edges[-1]
    assert len(edges) < 125
    assert np.histogram(values, edges)[0].sum() == len(values)


def test_errors_over_images() -> None:
    evaluation = run().main
    assert evaluation is not None
    difference = np.array([3.0, 3.75, 4.0, 5.0])
    spread = np.sqrt(((difference - difference.mean()) ** 2).sum() / 3 / 4)
    assert gap(evaluation) == (3.9375, spread)
    elbo = PER_IMAGE["elbo"]
    assert elbo_spread(evaluation) == np.sqrt(((elbo - elbo.mean()) ** 2).sum() / 3 / 4)
