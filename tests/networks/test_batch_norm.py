"""The two numbers of batch normalization, as a recipe states them."""

from __future__ import annotations

import pytest
import torch

from tightbound.errors import RecipeError
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

TENSORFLOW = {"batch_norm_momentum": 0.001, "batch_norm_eps": 1e-3}


def model_of(**options: object) -> torch.nn.Module:
    network = {"kind": "mlp", "hidden": [5]}
    sections = {"latent_dim": 2, "encoder": network, "decoder": network, "likelihood": "bernoulli", **options}
    return build(
        load_recipe({"name": "batch norm", "model": sections}), DataFacts((1, 3, 4), "binary", 1)
    ).model.double()


@pytest.mark.parametrize(("numbers", "momentum", "eps"), [({}, 0.1, 1e-5), (TENSORFLOW, 0.001, 1e-3)])
def test_running_statistics_and_outputs_are_the_written_out_ones(
    numbers: dict[str, float], momentum: float, eps: float
) -> None:
    """Of the encoder's layer and of the posterior's head, which are in different parts of the model."""
    encoder = {"kind": "mlp", "hidden": [5], "activation": "none", "normalization": "batch"}
    model = model_of(encoder=encoder, posterior={"kind": "diagonal", "normalization": "batch"}, **numbers)
    x = torch.rand(7, 1, 3, 4)
    linear, norm, _ = model.encoder.layers[0]
    y = x.flatten(1) @ linear.weight.T
    features = (y - y.mean(0)) / (y.var(0, correction=0) + eps).sqrt()
    outputs = features @ model.posterior.moments.weight.T
    expected = (outputs - outputs.mean(0)) / (outputs.var(0, correction=0) + eps).sqrt()
    torch.testing.assert_close(model.posterior.moments(model.encoder(x)), expected)
    torch.testing.assert_close(norm.running_mean, momentum * y.mean(0))
    torch.testing.assert_close(norm.running_var, (1 - momentum) + momentum * y.var(0))
    torch.testing.assert_close(model.posterior.moments.normalization.running_mean, momentum * outputs.mean(0))


def test_numbers_without_a_batch_normalization_are_refused() -> None:
    with pytest.raises(
        RecipeError, match=r"batch_norm_momentum=0.001 and model.batch_norm_eps=0.001 have no effect: no layer"
    ):
        model_of(**TENSORFLOW)
