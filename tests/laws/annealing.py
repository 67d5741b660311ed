"""The laws of annealed evaluation, as functions of ratios to the exact evidence; and how the ratios are made."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.laws.laws import evidence_on_grid
from tightbound.core import Model
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings, walk
from tightbound.evaluation.pilot import Annealing, tune
from tightbound.numerics import generator_for

_ALL = 10**9


def settings_of(model: Model, annealing: Annealing, seed: int = 0) -> Settings:
    """What the pilot makes of it."""
    with torch.no_grad():
        return tune(model, annealing, seed=seed, chunk=_ALL)


def exact_evidence(model: Model, x: Tensor) -> Tensor:
    """log p(x) (B): in closed form, or from a grid, where each distinct image is integrated once."""
    with torch.no_grad():
        exact = model.log_evidence(x)
        if exact is not None:
            return exact
        distinct, which = torch.unique(x.flatten(1), dim=0, return_inverse=True)
        return evidence_on_grid(model, distinct.unflatten(1, x.shape[1:]), 161)[which]


def simulated(model: Model, count: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Images of the model, the exact ε behind each, and log p(x)."""
    with torch.no_grad():
        x, epsilon = model.simulate(count, generator_for(seed, "law"))
    return x, epsilon, exact_evidence(model, x)


def forward_log_ratios(model: Model, x: Tensor, exact: Tensor, settings: Settings, seed: int = 0) -> Tensor:
    """log ŵ − log p(x) of one chain an image (n)."""
    noise = ChainNoise(seed, "forward", range(len(x)), 1, x)
    with torch.no_grad():
        chains = Chains(model, x, settings.start, 1, _ALL)
        chains.begin(noise)
        return walk(chains, settings, noise)[0] - exact


def reverse_log_ratios(
    model: Model, x: Tensor, epsilon: Tensor, exact: Tensor, settings: Settings, seed: int = 0
) -> Tensor:
    """log ŵ − log p(x) of one reverse chain an image (n), from its exact ε."""
    noise = ChainNoise(seed, "reverse", range(len(x)), 1, x)
    with torch.no_grad():
        chains = Chains(model, x, settings.start, 1, _ALL)
        chains.begin_at(epsilon.unsqueeze(0), noise)
        return walk(chains, settings, noise, reverse=True)[0] - exact


def forward_is_unbiased(log_ratios: Tensor) -> None:
    """E[ŵ]/p(x) = 1 within 4 standard errors, and they are small enough to mean something."""
    _mean_is_one(log_ratios.exp(), "the forward weight")


def reverse_is_unbiased(log_ratios: Tensor) -> None:
    """p(x) E[1/ŵ] = 1 within 4 standard errors, likewise."""
    _mean_is_one((-log_ratios).exp(), "one over the reverse weight")


def forward_is_below(log_ratios: Tensor) -> None:
    """E[log ŵ] ≤ log p(x) + 4 standard errors."""
    mean, error = _mean_and_error(log_ratios)
    assert mean <= 4 * error, f"the lower bound is {mean:.3f} ± {error:.3f} nats above the evidence"


def reverse_is_above(log_ratios: Tensor) -> None:
    """log p(x) ≤ E[log ŵ] + 4 standard errors."""
    mean, error = _mean_and_error(log_ratios)
    assert mean >= -4 * error, f"the upper bound is {-mean:.3f} ± {error:.3f} nats below the evidence"


def _mean_is_one(ratios: Tensor, what: str) -> None:
    mean, error = _mean_and_error(ratios)
    assert error < 0.02, f"precondition: standard error {error:.3f}; take more chains or temperatures"
    assert abs(mean - 1) < 4 * error, f"{what} is {mean:.4f} ± {error:.4f} times the evidence"


def _mean_and_error(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std()) / math.sqrt(len(values))
