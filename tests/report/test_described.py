"""The lead sentence tells variants apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tightbound.recipes.recipe import load_recipe
from tightbound.report.described import model_traits, objective_words
from tightbound.report.summary import summary

from .runs import run


def sentence(recipe: dict[str, Any], parameters: int | None = None) -> str:
    resolved = {"recipe": recipe, "parameters": parameters}
    return summary(replace(run(), resolved=resolved, metrics=(), evaluations=()), []).partition(" It has")[0]


def test_posterior_prior_likelihood_and_objective_are_named() -> None:
    changes = ["model.prior={kind: vamp, components: 500}", "model.posterior=full_covariance", "model.latent_dim=16"]
    recipe = load_recipe("mnist-uncertainty-pixelwise", changes).to_dict()
    assert sentence(recipe, 225_042) == (
        "A VAE of 225,042 parameters with 16 latent units, a full-covariance posterior, a VampPrior of 500 and a "
        "Gaussian likelihood with one σ for each pixel, trained by β-NLL (β = 0.5) on mnist."
    )


@pytest.mark.parametrize(
    ("likelihood", "words"),
    [
        ({"kind": "gaussian", "noise": "imagewise"}, "a Gaussian likelihood with one σ for each image"),
        ({"kind": "gaussian", "noise": "homoscedastic", "learned": None}, "a Gaussian likelihood with one learned σ"),
        (
            {"kind": "gaussian", "noise": "homoscedastic", "learned": False, "scale": 0.1},
            "a Gaussian likelihood with σ fixed at 0.1",
        ),
        ({"kind": "discretized_logistic"}, "a discretized logistic likelihood"),
        ({"kind": "odd_thing_of_yours"}, "an odd thing of yours likelihood"),
    ],
)
def test_likelihoods_and_their_mode(likelihood: dict[str, Any], words: str) -> None:
    assert model_traits({"likelihood": likelihood}) == [words]


def test_other_parts() -> None:
    given = {"encoder": None, "posterior": {"kind": "diagonal"}, "prior": {"kind": "mixture", "components": 1000}}
    assert model_traits({**given, "likelihood": {"kind": "auto"}}) == [
        "a diagonal posterior that is the same for every image",
        "a mixture prior of 1,000",
    ]
    assert model_traits({"kind": "ladder", "latent_channels": [8, 8, 4], "likelihood": {"kind": "bernoulli"}}) == [
        "3 layers of latents",
        "a Bernoulli likelihood",
    ]
    assert sentence({}) == "A model, trained."


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        ({"kind": "elbo", "beta": 1.0, "num_samples": 1, "warm_up": None, "free_bits": 0.0}, "the ELBO"),
        (
            {"kind": "elbo", "beta": 4.0, "warm_up": {"kind": "linear", "epochs": 5}, "free_bits": 2.0},
            "the ELBO (KL weight 4, KL warm-up, free bits of 2 nats)",
        ),
        ({"kind": "iwae", "num_samples": 16}, "IWAE (K = 16)"),
        ({"kind": "dreg", "num_samples": 8}, "DReG (K = 8)"),
        ({"kind": "wake_sleep"}, "wake sleep"),
        ({}, ""),
    ],
)
def test_objectives(objective: dict[str, Any], words: str) -> None:
    assert objective_words({"objective": objective}) == words
