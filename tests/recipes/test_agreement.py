"""Rows that are not of the same thing are neither averaged nor compared, and what differs is named."""

from __future__ import annotations

import copy
import re

import pytest

from tightbound.commands.beside import ours
from tightbound.errors import RunError
from tightbound.recipes.agreement import check_recipes, check_seeds, data_difference, with_fewest_samples
from tightbound.recipes.published import Quantity

MAIN = {"split": "test", "samples": 100, "images": 20, "seed": 0, "protocol": "binarized", "measure": "probability"}
DATA = {"name": "omniglot (drawings)", "binarize": "dynamic", "test": 20, "fingerprint": {"train": "a", "test": "b"}}
ROW = {"recipe": "one", "seed": 0, "data": DATA, "evaluations": [{**MAIN, "elbo": -1.0, "log_likelihood": -0.5}]}


def changed(recipe, keys, value):
    """The row of seed 1 with one value another."""
    row = copy.deepcopy(ROW) | {"recipe": recipe, "seed": 1}
    *path, last = keys
    place = row
    for key in path:
        place = place[key]
    place[last] = value
    return row


EVALUATIONS = [
    (("evaluations", 0, "samples"), 50, "evaluation.samples is 100 there and 50 here"),
    (("evaluations", 0, "images"), 3, "evaluation.images is 20 there and 3 here"),
    (("evaluations", 0, "split"), "train", "evaluation.split is 'test' there and 'train' here"),
    (("evaluations", 0, "seed"), 5, "evaluation.seed is 0 there and 5 here"),
    (("evaluations", 0, "protocol"), "thresholded", "evaluation.protocol is 'binarized' there and 'thresholded' here"),
    (("evaluations", 0, "measure"), "density", "evaluation.measure is 'probability' there and 'density' here"),
    (
        ("data", "name"),
        "omniglot (chardata.mat)",
        "data.name is 'omniglot (drawings)' there and 'omniglot (chardata.mat)'",
    ),
    (("data", "fingerprint", "test"), "c", "data.fingerprint.test is 'b' there and 'c' here"),
]
TRAINED_ON = (("data", "fingerprint", "train"), "c", "data.fingerprint.train is 'a' there and 'c' here")


@pytest.mark.parametrize(("keys", "value", "message"), [*EVALUATIONS, TRAINED_ON])
def test_seeds_that_differ_are_not_averaged(keys, value, message):
    rows = [ROW, changed("one", keys, value)]
    expected = re.escape(f"one: seeds 0 and 1 cannot be averaged: {message}") + "(.|\\n)*  hint: run and evaluate both"
    with pytest.raises(RunError, match=expected):
        check_seeds(rows)
    with pytest.raises(RunError, match="cannot be averaged"):
        ours(Quantity("elbo", "test"), rows)


@pytest.mark.parametrize(("keys", "value", "message"), EVALUATIONS)
def test_recipes_that_differ_are_not_compared(keys, value, message):
    expected = re.escape(f"one (there) and two (here) cannot be compared: {message}")
    with pytest.raises(RunError, match=expected + "(.|\\n)*  hint: evaluate both in the same way"):
        check_recipes(ROW, changed("two", keys, value))


def test_what_was_measured_in_the_same_way_agrees():
    other = changed("one", ("evaluations", 0, "elbo"), -3.0)
    check_seeds([ROW, other])
    mean, _ = ours(Quantity("elbo", "test"), [ROW, other])
    assert mean.value == -2.0
    check_recipes(ROW, changed("two", TRAINED_ON[0], TRAINED_ON[1]))


def test_where_data_are_and_what_only_one_says_is_no_difference():
    assert data_difference({**DATA, "path": "/here"}, {**DATA, "path": "/there"}) == ""
    assert data_difference({"name": DATA["name"]}, DATA) == ""
    assert data_difference(DATA, {**DATA, "test": 19}) == "data.test is 20 there and 19 here"


def of_samples(samples, bound, **more):
    """A row of a bound at K, whose weights are even."""
    main = {**MAIN, "samples": samples, "log_likelihood": bound, "elbo": -3.0, "pareto_k_over_0_7": 0.0, **more}
    return ROW | {"evaluations": [main]}


def test_seeds_of_different_k_are_brought_to_the_smaller_one():
    """The larger one has the bound of its curve there; what is known of all its weights alone is left open."""
    curve = [[1, -3.0], [10, -2.0], [50, -1.75]]
    rows = with_fewest_samples([of_samples(50, -1.75, curve=curve, standard_error=0.1), of_samples(10, -2.5)])
    first, second = (row["evaluations"][0] for row in rows)
    assert (first["samples"], first["log_likelihood"], first["elbo"]) == (10, -2.0, -3.0)
    assert first["curve"] == [[1, -3.0], [10, -2.0]]
    assert (first["standard_error"], first["pareto_k_over_0_7"]) == (None, None)
    assert (second["samples"], second["log_likelihood"], second["pareto_k_over_0_7"]) == (10, -2.5, 0.0)
    mean, error = ours(Quantity("nll", "test", 10), rows)
    assert (mean.value, error) == (2.25, None)


def test_a_curve_without_that_k_leaves_the_row_as_it_is():
    rows = [of_samples(50, -1.75, curve=[[1, -3.0], [50, -1.75]]), of_samples(10, -2.5)]
    assert with_fewest_samples(rows) == rows
    with pytest.raises(RunError, match=r"evaluation\.samples is 50 there and 10 here"):
        check_seeds(with_fewest_samples(rows))


def test_a_seed_that_was_evaluated_further_is_compared_in_what_both_have():
    """The longer evaluation stands before the probe; probes are compared with probes."""
    probe = {"method": "probe", "split": "test", "images": 20, "seed": 0}
    longer = {**MAIN, "samples": 500}
    first = ROW | {"evaluations": [MAIN, longer, probe]}
    second = ROW | {"seed": 1, "evaluations": [MAIN, probe]}
    check_seeds([first, second])
    check_seeds([second, first])
    other = ROW | {"seed": 1, "evaluations": [MAIN, probe | {"images": 10}]}
    with pytest.raises(RunError, match=r"evaluation\.images is 20 there and 10 here"):
        check_seeds([first, other])
