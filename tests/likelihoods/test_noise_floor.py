"""A Gaussian's noise on images with a constant background: with its floor it stays bounded, without it does not."""

from __future__ import annotations

import math
from collections.abc import Iterator

import jaxtyping
import pytest
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.recipes.build import build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

SHAPE = (1, 4, 4)
FLOOR = 1e-2
CEILING = math.prod(SHAPE) * (-math.log(FLOOR) - 0.5 * math.log(2 * math.pi))  # log N at its mode, σ at the floor


@pytest.fixture(autouse=True)
def _shapes_are_checked_elsewhere() -> Iterator[None]:
    """Checking them would take half the time of ten thousand small steps."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def images() -> Tensor:
    """A black image and three with a random patch on black."""
    x = torch.zeros(4, *SHAPE)
    x[1:, :, 1:3, 1:3] = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    return x


def small_model(min_scale: float) -> Model:
    network = {"kind": "mlp", "hidden": [4]}
    likelihood = {"kind": "gaussian", "noise": "imagewise", "min_scale": min_scale, "mean_activation": "sigmoid"}
    model = {"latent_dim": 2, "encoder": network, "decoder": network, "likelihood": likelihood}
    return build(load_recipe({"name": "floor", "model": model}), DataFacts(SHAPE, "continuous")).model.double()


def train(model: Model, steps: int) -> tuple[float, float]:
    """Steps of Adam on the ELBO: the largest ELBO and the smallest σ on the way."""
    x, generator = images(), torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    largest, smallest = -math.inf, math.inf
    for step in range(steps):
        draw = model.draw(x, 1, noise=torch.randn(1, len(x), 2, generator=generator))
        elbo = draw.log_weight.mean()
        optimizer.zero_grad()
        (-elbo).backward()
        optimizer.step()
        largest = max(largest, elbo.item())
        if step % 100 == 99:
            smallest = min(smallest, model.likelihood.std(draw.params.detach()).min().item())
    return largest, smallest


def test_imagewise_noise_does_not_diverge() -> None:
    largest, smallest = train(small_model(FLOOR), 10_000)
    assert largest < CEILING
    assert FLOOR <= smallest < 1.1 * FLOOR  # it did want to go lower


def test_without_a_floor_it_would() -> None:
    largest, smallest = train(small_model(1e-9), 1_000)
    assert largest > CEILING + 20
    assert smallest < FLOOR / 1_000
