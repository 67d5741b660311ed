"""The published recipe of the VAE with inverse autoregressive flow, number by number, and what it makes of them."""

from __future__ import annotations

import pytest
import torch

from tightbound.core import Step
from tightbound.flows import InverseAutoregressive
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.training.schedules import RunLength

STEPS_PER_EPOCH = 300


@pytest.fixture(scope="module")
def built():
    return build(load_recipe("mnist-iaf"), DataFacts((1, 28, 28), "binary", 1))


def test_750_000_steps_of_200_images_the_rate_halved_every_800_epochs() -> None:
    recipe = load_recipe("mnist-iaf")
    training = recipe.training
    length = RunLength(STEPS_PER_EPOCH, STEPS_PER_EPOCH * 2500)
    assert (training.epochs, training.batch_size, recipe.data.validation, recipe.data.binarize) == (
        2500,
        200,
        0,
        "dynamic",
    )
    assert training.optimizer.kind == "adam"
    assert training.optimizer.options["learning_rate"] == 1e-3
    assert training.clip_norm is None
    rate = training.schedule().factor
    epochs = (0, 799, 800, 1599, 1600, 2399, 2400, 2499)
    found = [rate(STEPS_PER_EPOCH * epoch, length) for epoch in epochs]
    assert found == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_the_weight_of_the_kl_rises_by_epochs_from_0_to_1_in_200() -> None:
    warm_up = load_recipe("mnist-iaf").objective.options["warm_up"]()
    for step in (0, 299, 300, 59_699, 59_999, 60_000, 700_000):
        done = Step(torch.tensor(step), torch.tensor(step / STEPS_PER_EPOCH))
        assert float(warm_up(done)) == pytest.approx(min(1, step // 300 / 200), abs=1e-6)


def test_networks_have_the_published_sizes(built) -> None:
    """Weights: 8 × 4,055,040 in the flows, 12 convolutions on either side, 3136 → 450 → 2 · 64 and 450 → 1920.

    A transposed 7 × 7 convolution of one pixel is a linear map of 64 to 3136 values.
    """
    posterior = built.model.posterior
    weights = [p for name, p in posterior.flow.named_parameters() if p.dim() == 2]
    assert sum(p.numel() for p in weights) == 8 * 4_055_040
    shapes = [tuple(p.shape) for p in built.model.parameters()]
    assert {(450, 3136), (128, 450), (1920, 450), (3136, 64)} <= set(shapes)
    assert shapes.count((64, 64, 3, 3)) == 24
    assert built.model.noise_size == 64


def test_the_posterior_starts_as_published(built) -> None:
    """log σ is 3 below what the network says, which is normalized over the batch; then eight gated steps."""
    posterior = built.model.posterior
    features = torch.randn(2000, 450, dtype=torch.float32)
    with torch.no_grad():
        scale = posterior.train().base(features).scale.log()
    torch.testing.assert_close(scale.mean(0), torch.full((64,), -3.0, dtype=scale.dtype), rtol=0, atol=1e-3)
    torch.testing.assert_close(scale.std(0), torch.ones(64, dtype=scale.dtype), rtol=0, atol=0.01)
    (flow,) = posterior.flow.steps
    assert isinstance(flow, InverseAutoregressive)
    assert [step.transform for step in flow.steps] == ["gated"] * 8
    assert {step.network.adds_context for step in flow.steps} == {True}


def test_batch_normalization_has_the_numbers_of_its_code(built) -> None:
    """Its defaults: decay 0.999, ε = 0.001."""
    layers = [m for m in built.model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(layers) > 8 * 3
    assert {(layer.momentum, layer.eps) for layer in layers} == {(0.001, 1e-3)}


def test_shorter_runs_have_the_same_parts() -> None:
    """Warm-up over 8 %, halvings at 32 %, 64 % and 96 % of the run."""
    for name in ("mnist-iaf", "mnist-iaf-hour"):
        recipe = load_recipe(name)
        epochs = recipe.training.epochs
        assert recipe.objective.options["warm_up"].options["epochs"] / epochs == pytest.approx(0.08)
        assert recipe.training.schedule.options["every_epochs"] / epochs == pytest.approx(0.32)
