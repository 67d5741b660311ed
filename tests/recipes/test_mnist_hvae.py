"""The published comparison of an IWAE and a Hamiltonian VAE, number by number, and what ours make of it."""

from __future__ import annotations

import pytest
from torch import nn

from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import Recipe, load_recipe

FACTS = {"threshold": DataFacts((1, 28, 28), "binary", 1), "none": DataFacts((1, 28, 28), "levels", 255)}
# As printed: the encoder with its map to mean and log-scale, and the decoder.
PUBLISHED = 328_520 + 306_615
IDLE = 32  # biases of the published encoder's last convolution, before a normalization that takes them out
LATENTS = 64
OF_LATENTS = 2 * LATENTS  # scale and shift of the published decoder's normalization of z, which needs batch statistics
WIDE = 1280
# Of the flow over z and momentum: five hidden layers, two outputs for each of 128, and the features' 450 to the first;
# a norm for each row of weights.
FLOW = (128 + 1 + 1) * WIDE + 4 * (WIDE + 2) * WIDE + (WIDE + 2) * 256 + (450 + 1) * WIDE
SIZES = {
    "mnist-iwae-batch-norm": PUBLISHED - IDLE,
    "mnist-iwae": PUBLISHED - IDLE - OF_LATENTS,
    "mnist-hvae": PUBLISHED - IDLE - OF_LATENTS + LATENTS + 15,  # a step size for each latent, a temperature each step
    "mnist-hvae-gray": PUBLISHED - IDLE - OF_LATENTS + LATENTS + 20,
    "mnist-hvae-iaf": PUBLISHED - IDLE - OF_LATENTS + LATENTS + 20 + FLOW,
    "mnist-vae-iaf-joint": PUBLISHED - IDLE - OF_LATENTS + FLOW,  # no steps
}


@pytest.mark.parametrize("name", SIZES)
def test_networks_have_the_published_sizes(name: str) -> None:
    """But for what a normalization takes out, and for that of the latents, which only the published variant has."""
    recipe = load_recipe(name)
    model = build(recipe, FACTS[recipe.data.binarize]).model
    assert sum(p.numel() for p in model.parameters()) == SIZES[name]
    in_decoder = [module for module in model.decoder.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert bool(in_decoder) is (name == "mnist-iwae-batch-norm")


@pytest.mark.parametrize(
    ("name", "epochs", "rate", "train"),
    [
        ("mnist-iwae-batch-norm", 40, 1e-3, ("train", 10_000)),
        ("mnist-iwae", 40, 1e-3, ("train", 10_000)),
        ("mnist-hvae", 40, 1e-3, ("train", 10_000)),
        ("mnist-hvae-gray", 30, 1e-3, ("test", None)),
        ("mnist-hvae-iaf", 15, 1e-4, ("test", None)),
        ("mnist-vae-iaf-joint", 15, 1e-3, ("test", None)),
    ],
)
def test_training_is_as_published(name: str, epochs: int, rate: float, train: tuple[str, int | None]) -> None:
    """10,000 images in batches of 256, by Adam; the gray ones are trained on the images that they are scored on."""
    recipe = load_recipe(name)
    assert (recipe.training.epochs, recipe.training.batch_size) == (epochs, 256)
    assert (recipe.training.optimizer.kind, recipe.training.optimizer.options["learning_rate"]) == ("adam", rate)
    assert (recipe.data.train_split, recipe.data.train_limit) == train
    assert recipe.gray_protocol is (train[0] == "test")


def test_objectives_and_posteriors() -> None:
    """40 weighted samples against 15 or 20 leapfrog steps of one; both networks else the same."""
    assert load_recipe("mnist-iwae").objective.options["num_samples"] == 40
    for name, steps, first, most in (
        ("mnist-hvae", 15, 0.005, 0.5),
        ("mnist-hvae-gray", 20, 0.005, 0.01),
        ("mnist-hvae-iaf", 20, 0.05, 0.1),
    ):
        recipe = load_recipe(name)
        posterior = _posterior(recipe)
        assert (posterior["steps"], posterior["step_size"], posterior["max_step_size"]) == (steps, first, most)
        assert (posterior["tempering"], recipe.objective.kind) == ("free", "elbo")
        assert recipe.model.options["encoder"] == load_recipe("mnist-iwae").model.options["encoder"]
        assert recipe.model.options["decoder"] == load_recipe("mnist-iwae").model.options["decoder"]
    joint = _posterior(load_recipe("mnist-vae-iaf-joint"))
    assert (joint["steps"], joint["tempering"]) == (0, "none")


def _posterior(recipe: Recipe):
    return recipe.model.options["posterior"].options
