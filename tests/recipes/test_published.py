"""Published numbers as recipes give them, and the same quantity of a result row."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tightbound.errors import RecipeError
from tightbound.evaluation.result import summarize
from tightbound.recipes.published import Ours, Published, Quantity, find_ours, trusted_error
from tightbound.recipes.recipe import load_recipe

ROW = {
    "last_minibatch": {"elbo": 607.5, "kl": 47.0, "rmse": None, "objective": 607.5},
    "evaluations": [
        {
            "split": "test",
            "samples": 1000,
            "log_likelihood": -93.0,
            "standard_error": 0.01,
            "pareto_k_over_0_7": 0.05,
            "elbo": -98.0,
            "rate": 25.0,
            "distortion": 73.0,
            "reconstruction_rmse": 0.17,
            "reconstruction_mae": 0.06,
            "bits_per_dim": 0.17,
            "curve": [[1, -98.0], [100, -94.0], [1000, -93.0]],
        },
        {"split": "test", "samples": 5000, "log_likelihood": -92.5, "standard_error": 0.02, "pareto_k_over_0_7": 0.0},
        {"split": "train", "samples": 10, "log_likelihood": -90.0, "standard_error": None, "curve": None},
    ],
}


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        (Quantity("nll", "test"), Ours(93.0, 0.01)),
        (Quantity("nll", "test", 5000), Ours(92.5, 0.02)),
        (Quantity("nll", "test", 100), Ours(94.0)),
        (Quantity("nll", "test", 7), Ours(None, None, "not evaluated with K = 7")),
        (Quantity("nll", "validation"), Ours(None, None, "not evaluated on validation images")),
        (Quantity("elbo", "test"), Ours(-98.0)),
        (Quantity("elbo", "train"), Ours(None, None, "the evaluation has no such number")),
        (Quantity("kl", "test"), Ours(25.0)),
        (Quantity("log_likelihood", "test"), Ours(-73.0)),
        (Quantity("rmse", "test"), Ours(0.17)),
        (Quantity("mae", "test"), Ours(0.06)),
        (Quantity("elbo", "last minibatch"), Ours(607.5)),
        (Quantity("objective", "last minibatch"), Ours(607.5)),
        (Quantity("rmse", "last minibatch"), Ours(None, None, "training does not log it")),
    ],
)
def test_each_quantity_is_found_where_it_is(quantity, expected):
    assert find_ours(ROW, quantity) == expected


BITS = {"image_shape": [3, 4, 4]}
LOG_VOLUME = -math.log(256)


def evaluated(log_likelihood, samples, curve, elbo):
    """A row whose bits/dim are the evaluation's own."""
    images = {"log_likelihood": np.full(5, log_likelihood), "standard_error": np.full(5, 0.2)}
    summary = summarize(images, samples, num_pixels=48, log_volume=-LOG_VOLUME)
    del summary["per_image"]
    main = {**summary, "split": "test", "curve": curve, "elbo": elbo, "pareto_k_over_0_7": 0.0}
    return {"data": BITS, "evaluations": [main]}


@pytest.mark.parametrize(
    ("quantity", "bound", "error"),
    [
        (Quantity("bits_per_dim", "test"), 30.0, 0.2 / math.sqrt(5)),
        (Quantity("bits_per_dim", "test", 1000), 30.0, 0.2 / math.sqrt(5)),
        (Quantity("bits_per_dim", "test", 100), 25.0, None),
        (Quantity("elbo_bits_per_dim", "test"), 20.0, None),
    ],
)
def test_bits_per_dim_are_those_of_the_bound_at_k(quantity, bound, error):
    """−(L/D + ln of the bin's width 1/256)/ln 2 for D = 48 and the bound L that was asked for."""
    row = evaluated(30.0, 1000, [[1, 20.5], [100, 25.0], [1000, 30.0]], 20.0)
    found = find_ours(row, quantity)
    assert found.value == pytest.approx(-(bound / 48 + LOG_VOLUME) / math.log(2), rel=1e-14)
    assert found.error == (None if error is None else pytest.approx(error / (48 * math.log(2)), rel=1e-14))


def test_bits_per_dim_at_a_k_that_is_not_there_are_not_taken_from_another():
    row = evaluated(30.0, 1000, [[1, 20.5], [1000, 30.0]], 20.0)
    assert find_ours(row, Quantity("bits_per_dim", "test", 100)).reason == "not evaluated with K = 100"
    del row["data"]
    assert find_ours(row, Quantity("bits_per_dim", "test")) == Ours(row["evaluations"][0]["bits_per_dim"], images=5)
    reason = "the row does not say how many pixels an image has"
    assert find_ours(row, Quantity("elbo_bits_per_dim", "test")).reason == reason


@pytest.mark.parametrize(("uneven", "error"), [(0.0, 0.3), (0.05, 0.3), (0.0501, None), (1.0, None), (None, None)])
def test_an_error_that_does_not_hold_is_not_given(uneven, error):
    main = {"split": "test", "samples": 9, "log_likelihood": -1.0, "standard_error": 0.3, "pareto_k_over_0_7": uneven}
    assert trusted_error(main) == error
    assert find_ours({"evaluations": [main]}, Quantity("nll", "test", 9)) == Ours(1.0, error)


def test_the_elbo_is_its_two_parts():
    parts = [find_ours(ROW, Quantity(name, "test")).value for name in ("log_likelihood", "kl", "elbo")]
    assert parts[0] - parts[1] == parts[2]


def test_labels_say_what_is_compared():
    assert Quantity("nll", "test", 1000).label == "bound on −log p(x), K = 1,000, test"
    assert Quantity("elbo", "last minibatch").label == "ELBO, last minibatch"


def test_a_recipe_keeps_its_published_numbers():
    given = {"metric": "elbo", "value": -82.14, "id": "P1", "source": "a table"}
    recipe = load_recipe("mnist-mlp", [{"published": [given]}])
    assert recipe.published == (Published(metric="elbo", value=-82.14, id="P1", source="a table"),)
    assert load_recipe(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"metric": "elbo"}, r"published\.0: value: got null; expected the published number"),
        ({"value": 1, "metric": "loss"}, r"published\.0\.metric: got 'loss'; expected one of nll, elbo"),
        ({"value": 1, "split": "last"}, r"published\.0\.split: got 'last'; expected one of test, validation"),
        ({"value": 1, "samples": 0}, r"published\.0\.samples: got 0; expected a whole number >= 1"),
        ({"value": 1, "split": "last minibatch"}, r"published\.0: metric: got 'nll'; training does not log it"),
        (
            {"value": 1, "metric": "elbo", "samples": 9},
            r"samples: got 9; K has no effect on metric 'elbo', leave it out",
        ),
        (
            {"value": 1, "metric": "elbo_bits_per_dim", "split": "last minibatch"},
            r"published\.0: metric: got 'elbo_bits_per_dim'; training does not log it",
        ),
        ({"value": 1, "metric": "objective"}, r"'objective'; it is known of split 'last minibatch' only"),
    ],
)
def test_a_wrong_entry_is_refused(entry, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("mnist-mlp", [{"published": [entry]}])
