"""Likelihoods against data: what is chosen, what is refused, what is labeled."""

from __future__ import annotations

import pytest

from tightbound import api
from tightbound.errors import RecipeError
from tightbound.recipes.facts import DataFacts, choose_likelihood, with_likelihood
from tightbound.recipes.recipe import load_recipe

SHAPE = (1, 8, 8)


def build(likelihood, kind, levels=None, **sections):
    return api.build(
        {"model": {"likelihood": likelihood}, **sections}, image_shape=SHAPE, data_kind=kind, levels=levels
    )


@pytest.mark.parametrize(
    ("facts", "kind", "options", "why"),
    [
        (DataFacts(SHAPE, "binary", 255), "bernoulli", {}, "because the pixels are binary"),
        (DataFacts(SHAPE, "levels", 16), "binomial", {"levels": 16}, "because the pixels are integers from 0 to 16"),
        (DataFacts(SHAPE, "levels", 255), "gaussian", {"learned": True}, "because the pixels are 8-bit"),
        (DataFacts(SHAPE, "continuous", None), "gaussian", {"learned": True}, "because the pixels are continuous"),
    ],
)
def test_an_open_likelihood_is_chosen_from_the_data_and_says_why(facts, kind, options, why):
    load_recipe({})
    chosen, sentence = choose_likelihood(facts)
    assert chosen.kind == kind
    assert options.items() <= chosen.options.items()
    assert why in sentence
    model, sentences = with_likelihood(load_recipe({}).model, facts)
    assert model.options["likelihood"] == chosen
    assert sentences == (sentence,)


def test_a_named_likelihood_is_kept():
    model = load_recipe({"model": {"likelihood": "bernoulli"}}).model
    assert with_likelihood(model, DataFacts(SHAPE, "levels", 255)) == (model, ())


@pytest.mark.parametrize(
    ("kind", "levels", "pixels"), [("levels", 255, "0 to 255"), ("continuous", None, "continuous")]
)
def test_a_bernoulli_on_gray_pixels_is_refused_with_the_fix(kind, levels, pixels):
    with pytest.raises(RecipeError) as error:
        build("bernoulli", kind, levels)
    assert f"a Bernoulli is a likelihood of binary pixels only; these are {pixels}" in error.value.message
    assert "data.binarize=dynamic" in error.value.hint
    assert "gray_protocol=true" in error.value.hint


def test_the_gray_protocol_is_labeled_as_no_likelihood():
    built = build("bernoulli", "levels", 255, gray_protocol=True)
    assert built.measure == "not a likelihood"
    assert "not a likelihood" in built.notes[-1]


@pytest.mark.parametrize(("likelihood", "kind"), [("bernoulli", "binary"), ("gaussian", "levels")])
def test_a_gray_protocol_without_effect_is_refused(likelihood, kind):
    with pytest.raises(RecipeError, match="gray_protocol: true has no effect here"):
        build(likelihood, kind, 255, gray_protocol=True)


@pytest.mark.parametrize("kind", ["binomial", "discretized_logistic"])
def test_a_probability_of_levels_needs_the_datas_levels(kind):
    assert build(kind, "levels", 255).measure == "probability"
    assert build({"kind": kind, "levels": 16}, "levels", 16).measure == "probability"
    assert build({"kind": kind, "levels": 1}, "binary", 255).measure == "probability"
    with pytest.raises(RecipeError, match=r"likelihood.levels: got 255; .* from 0 to 16\n  hint: .*levels=16, or"):
        build(kind, "levels", 16)
    with pytest.raises(RecipeError, match=r"levels: got 255; .* from 0 to 1\n  hint: data.binarize=none for"):
        build({"kind": kind, "levels": 255}, "binary", 255)
    with pytest.raises(RecipeError, match="probability of integer gray levels; these pixels are continuous"):
        build(kind, "continuous", 16)


def test_wrong_keys_of_a_likelihood_are_refused():
    for key, value in (("beta_nll", 1.5), ("noise", "patchwise"), ("levels", 255)):
        with pytest.raises(RecipeError, match=rf"model\.likelihood\.{key}"):
            build({"kind": "gaussian", key: value}, "continuous")
    with pytest.raises(RecipeError, match=r"model\.likelihood\.learned: it has no effect with pixelwise noise"):
        build({"kind": "gaussian", "noise": "pixelwise", "learned": True}, "continuous")


def test_beta_nll_is_refused_by_an_objective_of_the_true_likelihood():
    likelihood = {"kind": "gaussian", "noise": "pixelwise", "beta_nll": 0.5}
    assert build(likelihood, "continuous").model.likelihood.has_surrogate
    with pytest.raises(
        RecipeError, match="objective 'iwae' is a function of the true likelihood; likelihood 'gaussian'"
    ):
        build(likelihood, "continuous", objective="iwae")


def test_a_density_is_labeled_unless_the_pixels_are_continuous():
    assert build("gaussian", "continuous", 255).notes == ()
    for kind, pixels in (("levels", "integer pixels (0 to 255)"), ("binary", "binary pixels")):
        built = build("gaussian", kind, 255)
        assert built.measure == "density"
        assert pixels in built.notes[-1]
        assert "not dequantized" in built.notes[-1]


def test_facts_round_trip():
    facts = DataFacts((3, 4, 5), "levels", 255)
    assert DataFacts.from_dict(facts.to_dict()) == facts
