"""Each finding appears on the input that is made for it, at its limit, and on no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tightbound.report import Pictures
from tightbound.report.realism import fraction_farther, nearest_distance
from tightbound.report.warnings import findings

from .runs import RESOLVED, metrics, run

COLLAPSED: dict[str, Any] = {"images": 100, "kl_units": [[0.01, 0.02, 0.01, 0.0]]}
OTHERS = [False, True, True, True]  # the inactive unit has a KL of 9 nats


def found(row: dict[str, Any] | None = None, lines: list[dict[str, Any]] | None = None) -> dict[str, str]:
    return {finding.kind: finding.level for finding in findings(run(row, lines), None)}


def test_a_good_run_has_no_findings() -> None:
    assert found() == {}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"active_units": [3]} | COLLAPSED, {"collapsed_units": "note"}),
        ({"active_units": [2]} | COLLAPSED, {"collapsed_units": "warning"}),
        ({"active_units": [0]} | COLLAPSED, {"collapsed_units": "warning"}),
        ({"active_units": [0]} | COLLAPSED | {"images": 99}, {}),  # too few images to tell
        ({"active_units": [None]} | COLLAPSED, {}),
        ({"active_units": [0]} | COLLAPSED | {"kl_units": [[0.1, 0.2, 0.1, 0.01]]}, {}),  # 0.41 nats of 4 units
        ({"active_units": [3]} | COLLAPSED | {"kl_units": [[9.0, 0.2, 9.0, 9.0]]}, {}),
        ({"active_units": [3]} | COLLAPSED | {"kl_units": [[9.0, 0.1, 9.0, 9.0]]}, {"collapsed_units": "note"}),
        ({"active_units": [3]} | COLLAPSED | {"kl_units": [[9.0, 0.1, 9.0, 9.0]], "active_mask": [OTHERS]}, {}),
        (
            {"active_units": [3]} | COLLAPSED | {"kl_units": [[0.1]]},
            {},
        ),  # not split: some of it may be the inactive one's
        ({"active_units": [0]} | COLLAPSED | {"kl_units": [[0.1]]}, {"collapsed_units": "warning"}),
        ({"active_units": [0]} | COLLAPSED | {"kl_units": [[0.5]]}, {}),
        ({"pareto_k_over_0_7": 0.05, "images_k_over_0_7": 5, "images": 100}, {"uneven_weights": "note"}),
        ({"pareto_k_over_0_7": 0.06, "images_k_over_0_7": 6, "images": 100}, {"uneven_weights": "warning"}),
        ({"pareto_k_over_0_7": None}, {}),
        ({"is_likelihood": False}, {"not_a_likelihood": "warning"}),
        ({"measure": "not a likelihood"}, {"not_a_likelihood": "warning"}),
        ({"measure": "density"}, {"density": "note"}),
        ({"curve": [[10, -100.0], [100, -99.4]]}, {"still_rising": "note"}),
        ({"curve": [[10, -100.0], [100, -99.6]]}, {}),
    ],
)
def test_what_the_evaluation_tells(row: dict[str, Any], expected: dict[str, str]) -> None:
    assert found(row) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (metrics(train=[-120.0, -96.5], validation=[-120.0, -102.0]), {"overfitting": "warning"}),  # 5.4 %
        (metrics(train=[-120.0, -97.5], validation=[-120.0, -102.0]), {}),  # 4.4 %
        (metrics(train=[-12.0, -8.1], validation=[-12.0, -10.0]), {}),  # 19 %, but below two nats
        (metrics(validation=[-101.0, -102.5]), {"past_best": "note"}),
        (metrics(validation=[-101.0, -101.9]), {}),
        (metrics(skipped_steps=3), {"skipped_steps": "warning"}),
        (metrics(validation=[]), {}),
        ([], {}),
    ],
)
def test_what_the_training_tells(lines: list[dict[str, Any]], expected: dict[str, str]) -> None:
    assert found(lines=lines) == expected


def test_findings_name_the_numbers_and_warnings_come_first() -> None:
    row = {"active_units": [3], "pareto_k_over_0_7": 0.25, "images_k_over_0_7": 25} | COLLAPSED
    uneven, collapsed = findings(run(row), None)
    assert uneven.text.startswith("In 25 of 100 images (25 %) the importance weights are too uneven to trust (k̂ > 0.7)")
    assert collapsed.text == "1 of 4 latent units carries nothing: no image moves it."
    (collapsed,) = findings(run(COLLAPSED | {"active_units": [2]}), None)
    assert collapsed.text == "2 of 4 latent units carry nothing: no image moves them."


def test_without_an_encoder_no_unit_is_said_to_have_collapsed() -> None:
    """There no image can move a unit, whatever it carries."""
    usual = run(COLLAPSED | {"active_units": [0]})
    recipe = {**RESOLVED["recipe"], "model": {"kind": "vae", "latent_dim": 4, "encoder": None}}
    assert [finding.kind for finding in findings(usual, None)] == ["collapsed_units"]
    assert findings(replace(usual, resolved={**RESOLVED, "recipe": recipe}), None) == []


def test_the_note_on_a_density_tells_dequantized_pixels() -> None:
    (plain,) = findings(run({"measure": "density"}), None)
    (dequantized,) = findings(run({"measure": "density", "dequantized": True}), None)
    assert "a density of pixels in 0 to 1, not a probability" in plain.text
    assert "Its bits per dimension bound those of the integers from above." in dequantized.text


@pytest.mark.parametrize(
    ("active", "units", "level", "text"),
    [
        (
            [0, 4],
            [8, 4],
            "warning",
            "8 of 12 latent units carry nothing: no image moves them: all of layer 1 (bottom).",
        ),
        (
            [49, 16, 3],
            [64, 16, 4],
            "note",
            "16 of 84 latent units carry nothing: no image moves them: 15 of 64 of layer 1 (bottom), 1 of 4 of layer "
            "3 (top).",
        ),
        ([60, 0], [60, 4], "warning", "4 of 64 latent units carry nothing: no image moves them: all of layer 2 (top)."),
        ([10, 4], [30, 4], "warning", "20 of 34 latent units carry nothing: no image moves them: 20 of 30 of layer 1"),
        ([4, 3], [4, 4], "note", "1 of 8 latent units carries nothing: no image moves it: 1 of 4 of layer 2 (top)."),
        ([7] * 12, [8] * 12, "note", ": 1 of 8 of layer 12 (top), 1 of 8 of layer 11, "),
        ([7] * 12, [8] * 12, "note", ", and of 6 other layers."),
        ([8, 4], [8, 4], None, ""),
    ],
)
def test_unused_units_of_a_ladder_are_one_finding(
    active: list[int], units: list[int], level: str | None, text: str
) -> None:
    found = findings(run({"active_units": active, "units": units, "kl_units": [], "images": 100}), None)
    assert [finding.level for finding in found] == ([] if level is None else [level])
    assert all(text in finding.text for finding in found)


@pytest.mark.parametrize(("nearer", "expected"), [(80, []), (81, ["samples_far_off"])])
def test_samples_far_from_the_data(nearer: int, expected: list[str]) -> None:
    samples = np.full(1, 0.5)
    reconstructions = np.where(np.arange(100) < nearer, 0.4, 0.6)  # the sample is farther than this many of 100
    pictures = Pictures(np.zeros((1, 1, 2, 2)), sample_distance=samples, reconstruction_distance=reconstructions)
    assert [finding.kind for finding in findings(run(), pictures)] == expected


def test_nearest_distance_is_the_smallest_root_mean_square() -> None:
    images = np.array([[0.0, 0.0], [1.0, 0.5]]).reshape(2, 1, 1, 2)
    references = np.array([[0.0, 1.0], [0.6, 0.8]]).reshape(2, 1, 1, 2)
    expected = [np.sqrt(1 / 2), np.sqrt((0.4**2 + 0.3**2) / 2)]
    np.testing.assert_allclose(nearest_distance(images, references), expected, rtol=1e-12)


def test_fraction_farther_counts_pairs() -> None:
    assert fraction_farther(np.array([1.0, 3.0]), np.array([0.0, 2.0])) == 0.75
    assert fraction_farther(np.array([1.0]), np.array([1.0])) == 0.5


def test_equal_distributions_are_half_within_the_stated_error() -> None:
    random = np.random.default_rng(0)
    fractions = [fraction_farther(random.random(64), random.random(64)) for _ in range(400)]
    error = np.sqrt((64 + 64 + 1) / (12 * 64 * 64))
    assert abs(np.mean(fractions) - 0.5) < 4 * error / np.sqrt(400)
    assert abs(np.std(fractions) / error - 1) < 4 / np.sqrt(2 * 400)
