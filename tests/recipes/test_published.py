"""Published numbers as recipes give them, and the same quantity of a result row."""

from __future__ import annotations

import pytest

from tightbound.errors import RecipeError
from tightbound.recipes.published import Ours, Published, Quantity, find_ours
from tightbound.recipes.recipe import load_recipe

ROW = {
    "last_minibatch": {"elbo": 607.5, "kl": 47.0, "rmse": None, "objective": 607.5},
    "evaluations": [
        {
            "split": "test",
            "samples": 1000,
            "log_likelihood": -93.0,
            "standard_error": 0.01,
            "elbo": -98.0,
            "rate": 25.0,
            "distortion": 73.0,
            "reconstruction_rmse": 0.17,
            "reconstruction_mae": 0.06,
            "bits_per_dim": 0.17,
            "curve": [[1, -98.0], [100, -94.0], [1000, -93.0]],
        },
        {"split": "test", "samples": 5000, "log_likelihood": -92.5, "standard_error": 0.02, "elbo": -98.0},
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
        (Quantity("bits_per_dim", "test"), Ours(0.17)),
        (Quantity("elbo", "last minibatch"), Ours(607.5)),
        (Quantity("objective", "last minibatch"), Ours(607.5)),
        (Quantity("rmse", "last minibatch"), Ours(None, None, "training does not log it")),
    ],
)
def test_each_quantity_is_found_where_it_is(quantity, expected):
    assert find_ours(ROW, quantity) == expected


def test_the_elbo_is_its_two_parts():
    parts = [find_ours(ROW, Quantity(name, "test")).value for name in ("log_likelihood", "kl", "elbo")]
    assert parts[0] - parts[1] == parts[2]


def test_labels_say_what_is_compared():
    assert Quantity("nll", "test", 1000).label == "−log p(x), K = 1,000, test"
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
        ({"value": 1, "metric": "objective"}, r"'objective'; it is known of split 'last minibatch' only"),
    ],
)
def test_a_wrong_entry_is_refused(entry, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe("mnist-mlp", [{"published": [entry]}])
