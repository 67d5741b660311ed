"""The published recipes of the VAE and the IWAE with spatial transformation, number by number."""

from __future__ import annotations

import pytest

from tightbound.errors import RecipeError
from tightbound.networks import SpatialTransformer
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.training.schedules import RunLength

KINDS = ("plain", "affine", "tps")
VARIANTS = ("", "-multisample", "-iwae", "-gray")
FACTS = {"dynamic": DataFacts((1, 28, 28), "binary", 1), "none": DataFacts((1, 28, 28), "levels", 255)}
# Reconstruction and bound on gray levels, and the bound of both kinds of training on binarized ones, as printed.
PUBLISHED = {
    "plain": (88.2669, 101.1427, 98.2965, 93.9943),
    "affine": (83.6312, 99.1765, 96.0623, 92.7514),
    "tps": (82.8589, 97.9127, 93.9956, 92.1647),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
every_variant = pytest.mark.parametrize("variant", VARIANTS)


def built(name: str):
    recipe = load_recipe(name)
    assert recipe.data.binarize in FACTS
    return build(recipe, FACTS[recipe.data.binarize])


@every_kind
@every_variant
def test_50_epochs_of_adadelta_whose_rate_falls_by_epochs(kind: str, variant: str) -> None:
    """lr 1, ρ 0.9, ε 1e-6, times (1 − epoch/50)^0.9; all training images, in batches of 128, or of 100 at K = 5."""
    recipe = load_recipe(f"mnist-tvae-{kind}{variant}")
    training = recipe.training
    assert (training.epochs, training.batch_size) == (50, 100 if variant in ("-multisample", "-iwae") else 128)
    assert recipe.data.validation == 0
    options = training.optimizer.options
    assert training.optimizer.kind == "adadelta"
    assert [options[name] for name in ("learning_rate", "rho", "epsilon", "weight_decay")] == [1.0, 0.9, 1e-6, 0.0]
    assert training.schedule is not None
    steps = 60_000 // training.batch_size
    factor = training.schedule().factor
    found = [
        factor(step, RunLength(steps, 50 * steps)) for step in (0, steps - 1, steps, 25 * steps + 7, 50 * steps - 1)
    ]
    assert found == pytest.approx([1.0, 1.0, 0.98**0.9, 0.5**0.9, 0.02**0.9])
    assert training.clip_norm is None
    assert training.ema is None


@every_kind
def test_objectives(kind: str) -> None:
    """The ELBO of one sample with a closed KL; of five independent ones with a sampled KL; the bound of five."""
    assert load_recipe(f"mnist-tvae-{kind}").objective.options["num_samples"] == 1
    several = load_recipe(f"mnist-tvae-{kind}-multisample").objective
    assert (several.kind, several.options["num_samples"], several.options["kl"]) == ("elbo", 5, "sampled")
    weighted = load_recipe(f"mnist-tvae-{kind}-iwae").objective
    assert (weighted.kind, weighted.options) == ("iwae", {"num_samples": 5})


@every_variant
def test_networks_have_the_published_sizes(variant: str) -> None:
    """784-256-256, heads to 2 · 60, z_what-256-256-784 and u → u: of the spline 576,222 numbers, as in the code."""
    widths = 784 * 256 + 256 + 256 * 256 + 256, 256 * 120 + 120, 256 * 256 + 256 + 256 * 784 + 784
    for kind, where in zip(KINDS, (0, 6, 18), strict=True):
        expected = sum(widths) + (60 - where) * 256 + 256 + where * where + where
        assert built(f"mnist-tvae-{kind}{variant}").num_parameters == expected
    assert expected == 576_222


@every_variant
@pytest.mark.parametrize(("kind", "units"), [("affine", 6), ("tps", 18)])
def test_the_warp_is_the_published_one(kind: str, units: int, variant: str) -> None:
    """Of probabilities, by W tanh-bounded means of the last units + b, which do not start at the identity."""
    model = built(f"mnist-tvae-{kind}{variant}").model
    decoder = model.decoder
    assert isinstance(decoder, SpatialTransformer)
    assert (decoder.warp, decoder.where_dim, decoder.what_dim) == (kind, units, 60 - units)
    assert decoder.applied_to == "probabilities"
    assert decoder.to_warp.bias.abs().max() > 0.05
    assert model.posterior.bounded_units == units
    assert built(f"mnist-tvae-plain{variant}").model.posterior.bounded_units == 0


@every_kind
def test_published_numbers(kind: str) -> None:
    recipes = [load_recipe(f"mnist-tvae-{kind}{variant}") for variant in ("-gray", "-multisample", "-iwae", "")]
    found = [(entry.id, entry.metric, entry.split, entry.value) for recipe in recipes for entry in recipe.published]
    reconstruction, gray, several, weighted = PUBLISHED[kind]
    assert found == [
        ("P11", "log_likelihood", "train", -reconstruction),
        ("P12", "nll", "test", gray),
        ("P13", "nll", "test", several),
        ("P14", "nll", "test", weighted),
    ]


@every_kind
def test_gray_levels_are_labeled(kind: str) -> None:
    gray = built(f"mnist-tvae-{kind}-gray")
    assert gray.measure == "not a likelihood"
    assert {factory.options["split"] for factory in gray.recipe.evaluation} == {"test", "train"}
    for variant in ("", "-multisample", "-iwae"):
        assert built(f"mnist-tvae-{kind}{variant}").measure == "probability"


def test_changing_the_warp_alone_is_refused_with_the_units_to_name() -> None:
    with pytest.raises(RecipeError, match=r"of the last 6 units are bounded; the warp 'tps' has the last 18") as error:
        build(load_recipe("mnist-tvae-affine", ["model.decoder.warp=tps"]), FACTS["dynamic"])
    assert error.value.hint.startswith("use model.posterior.bounded_units=18")
