"""Annealed and bidirectional evaluation on models of known evidence: unbiased both ways, and bounds on both sides."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.laws.annealing import (
    forward_is_below,
    forward_is_unbiased,
    forward_log_ratios,
    reverse_is_above,
    reverse_is_unbiased,
    reverse_log_ratios,
    settings_of,
    simulated,
)
from tests.laws.ladders import linear_ladder
from tests.laws.subjects import linear_gaussian, small_vae
from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.evaluation import Annealing, annealed
from tightbound.evaluation.chains import Settings
from tightbound.evaluation.path import Start
from tightbound.evaluation.schedules import Schedule, sigmoid
from tightbound.models import VAE


def shaped(model: VAE) -> VAE:
    """A decoder that bends p(z | x), under a posterior that is off, but not by far."""
    with torch.no_grad():
        for part, factor in ((model.decoder, 3.0), (model.posterior, 0.4)):
            for parameter in part.parameters():
                parameter.mul_(factor)
    return model


MODELS = {
    "linear": lambda: linear_gaussian(3, side=2, posterior="full_covariance", widen=1.3, noise=1.5),
    "learned prior": lambda: shaped(small_vae("diagonal", "learned_diagonal", "bernoulli", 2)),
    "mixture": lambda: shaped(small_vae("full_covariance", "mixture", "bernoulli", 2)),
    "vamp": lambda: shaped(small_vae("diagonal", "vamp", "bernoulli", 2)),
}
COUNT = 5000


@cache
def subject(name: str) -> tuple[Model, Tensor, Tensor, Tensor]:
    model = MODELS[name]()
    return model, *simulated(model, COUNT)


def by_hand(start: Start, refresh: float = 1.0, temperatures: int = 60) -> Settings:
    """No pilot: the laws hold for any step size."""
    return Settings(sigmoid(temperatures), np.linspace(0.9, 0.5, temperatures), 3, refresh, start)


@pytest.mark.parametrize(
    ("name", "refresh"), [("linear", 1.0), ("linear", 0.2), ("learned prior", 1.0), ("mixture", 0.3), ("vamp", 1.0)]
)
@pytest.mark.parametrize("start", ["prior", "base", "posterior"])
def test_every_start(name: str, start: Start, refresh: float) -> None:
    model, x, epsilon, exact = subject(name)
    settings = by_hand(start, refresh)
    forward = forward_log_ratios(model, x, exact, settings)
    forward_is_unbiased(forward)
    forward_is_below(forward)
    if start != "posterior":
        reverse = reverse_log_ratios(model, x, epsilon, exact, settings)
        reverse_is_unbiased(reverse)
        reverse_is_above(reverse)


@pytest.mark.parametrize("start", ["prior", "posterior"])
def test_every_start_of_a_ladder(start: Start) -> None:
    """Two layers, linear and Gaussian, so that log p(x) is known; there is no Gaussian base."""
    options = {"merge": "linear", "skip": False, "noise": 0.8, "spread": 0.15}
    model = linear_ladder((1, 2, 2), latent_channels=(2, 1), downsample=(0, 0), **options)
    x, epsilon, exact = simulated(model, 1000)
    settings = by_hand(start, temperatures=12)
    forward = forward_log_ratios(model, x, exact, settings)
    forward_is_unbiased(forward)
    forward_is_below(forward)
    if start == "prior":
        reverse = reverse_log_ratios(model, x, epsilon, exact, settings)
        reverse_is_unbiased(reverse)
        reverse_is_above(reverse)
    with pytest.raises(RecipeError, match="the posterior's base is no Gaussian"):
        annealed(model, x[:1], 2, Annealing(10, 1, start="base"))
    with pytest.raises(RecipeError, match="most_hours"):
        annealed(model, x, 16, Annealing(1000, 10), most_hours=1e-6)


@pytest.mark.parametrize("schedule", ["linear", "sigmoid", "adaptive"])
@pytest.mark.parametrize("temperatures", [2, 3, 25])
def test_every_schedule(schedule: Schedule, temperatures: int) -> None:
    """T = 2 is importance sampling from the start; T = 3 has one transition."""
    model, x, epsilon, exact = subject("learned prior")
    settings = settings_of(model, Annealing(temperatures=temperatures, leapfrog_steps=3, schedule=schedule))
    forward_is_unbiased(forward_log_ratios(model, x, exact, settings))
    reverse_is_unbiased(reverse_log_ratios(model, x, epsilon, exact, settings))


def test_more_temperatures_close_the_gap() -> None:
    """Ten times the temperatures leave less than a third of the gap."""
    model = linear_gaussian(4, side=4, posterior="full_covariance")
    x, epsilon, exact = simulated(model, 96)
    gaps = []
    for temperatures in (100, 1000):
        settings = settings_of(model, Annealing(temperatures=temperatures, leapfrog_steps=1))
        forward = forward_log_ratios(model, x, exact, settings)
        reverse = reverse_log_ratios(model, x, epsilon, exact, settings)
        gaps.append(float((reverse - forward).mean()))
    assert 0 < gaps[1] < gaps[0] / 3
