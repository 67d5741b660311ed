"""The published ladders, number by number, and what their recipes make of them."""

from __future__ import annotations

import pytest

from tightbound.models.ladder import Ladder
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

BINARY, COLORS = DataFacts((1, 28, 28), "binary", 1), DataFacts((3, 32, 32), "levels", 255)
SPRITES, FACES = DataFacts((3, 64, 64), "binary", 1), DataFacts((3, 64, 64), "levels", 255)
# recipe: images, parameters, free bits, layers at each size of the maps
PUBLISHED = {
    "static-mnist-ladder-3": (BINARY, 3_209_153, 0.5, {8: 1, 4: 1, 2: 1}),
    "static-mnist-ladder-6": (BINARY, 6_008_705, 0.5, {16: 1, 8: 2, 4: 2, 2: 1}),
    "static-mnist-ladder-12": (BINARY, 11_607_809, 1.0, {16: 2, 8: 3, 4: 4, 2: 3}),
    "multi-dsprites-ladder-12": (SPRITES, 11_686_019, 1.0, {32: 2, 16: 2, 8: 3, 4: 3, 2: 2}),
    "svhn-ladder-15": (COLORS, 14_467_684, 1.0, {16: 4, 8: 4, 4: 4, 2: 3}),
    "cifar10-ladder-3": (COLORS, 3_269_476, 0.5, {8: 1, 4: 1, 2: 1}),
    "cifar10-ladder-6": (COLORS, 6_069_028, 0.5, {16: 1, 8: 2, 4: 2, 2: 1}),
    "cifar10-ladder-15": (COLORS, 14_467_684, 1.0, {16: 4, 8: 4, 4: 4, 2: 3}),
    "celeba64-ladder-20": (FACES, 19_207_460, 1.0, {32: 4, 16: 4, 8: 4, 4: 4, 2: 4}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_layers_and_training_are_as_published(name: str) -> None:
    facts, parameters, free_bits, layers = PUBLISHED[name]
    recipe = load_recipe(name)
    model = build(recipe, facts).model
    assert isinstance(model, Ladder)
    assert sum(p.numel() for p in model.parameters()) == parameters
    sizes = [group.shape[-1] for group in reversed(model.groups)]
    assert {size: sizes.count(size) for size in sorted(set(sizes), reverse=True)} == layers
    assert {group.shape[0] for group in model.groups} == {32}
    objective = recipe.objective.options
    assert (objective["free_bits"], objective["free_bits_over"], objective["kl"]) == (free_bits, "sample", "sampled")
    assert objective.get("warm_up") is None
    training = recipe.training
    optimizer = training.optimizer
    assert (optimizer.kind, optimizer.options["learning_rate"]) == ("adamax", 3e-4)
    assert (training.batch_size, training.initialize, training.schedule, training.clip_norm) == (64, "data", None, None)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_number_is_beside_its_recipe(name: str) -> None:
    recipe = load_recipe(name)
    split = "validation" if name == "celeba64-ladder-20" else "test"
    assert {entry.split for entry in recipe.published} == {split}
    wanted = {(entry.samples, entry.split) for entry in recipe.published if entry.samples}
    made = {(e.options["samples"], e.options["split"]) for e in recipe.evaluation}
    assert wanted <= made


@pytest.mark.parametrize("name", ["celeba64-ladder-20", "celeba64-ladder-4-hour"])
def test_weights_are_not_chosen_by_the_images_that_are_scored(name: str) -> None:
    """The published split is the validation images."""
    scored = [settings.options for settings in load_recipe(name).evaluation]
    assert any(options["split"] == "validation" for options in scored)
    assert all(options["checkpoint"] == "last" for options in scored)


def test_the_latents_of_the_published_digits_are_2688_and_24960() -> None:
    sizes = [build(load_recipe(f"static-mnist-ladder-{layers}"), BINARY).model.noise_size for layers in (3, 12)]
    assert sizes == [2688, 24_960]
