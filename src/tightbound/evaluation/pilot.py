"""The pilot of annealed evaluation: step sizes and temperatures, tuned before any weighted chain and then frozen.

A step size that adapts inside a weighted chain depends on where the chain was, and the weights are then no longer
unbiased. The pilot sees no image of the data, only ones that it simulates from the model with noise of its own: one
set of settings serves the images of a split and the simulated images that certify it alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.evaluation import schedules
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings
from tightbound.evaluation.path import Start
from tightbound.evaluation.schedules import Schedule
from tightbound.numerics import generator_for, hmc_step

IMAGES, CHAINS = 32, 4  # simulated images, and chains of each
GRID = 64  # temperatures of the pilot's own sigmoid schedule, whatever T
BURN_IN, TRANSITIONS = 32, 4  # transitions at its first temperature, and at each
PAIR_TRANSITIONS = IMAGES * CHAINS * (BURN_IN + TRANSITIONS * (GRID - 1))  # all of its work
FIRST_STEP, _FIRST_GAIN, _GAIN = 0.1, 1.0, 0.4
_SMOOTH = 5  # grid points in the moving averages


@dataclass(frozen=True)
class Annealing:
    """What is chosen of an annealed evaluation; the pilot makes ``Settings`` of it.

    Args:
        temperatures: T, the density it starts from and the posterior included.
        leapfrog_steps: of each transition.
        schedule: ``sigmoid``, ``linear``, or ``adaptive`` (of constant conditional ESS).
        start: ``prior``, ``base`` (the posterior's base Gaussian) or ``posterior`` (in its noise).
        target_acceptance: what step sizes are tuned for.
        refresh: how much of the momentum is drawn anew before each transition; 1 is all of it.

    Raises:
        RecipeError: a number is out of its range.
    """

    temperatures: int = 500
    leapfrog_steps: int = 10
    schedule: Schedule = "sigmoid"
    start: Start = "prior"
    target_acceptance: float = 0.65
    refresh: float = 1.0

    def __post_init__(self) -> None:
        if self.temperatures < 2:
            raise RecipeError(
                f"temperatures: got {self.temperatures}; expected at least 2, the start and the posterior"
            )
        if self.leapfrog_steps < 1:
            raise RecipeError(f"leapfrog_steps: got {self.leapfrog_steps}; expected at least 1")
        for name in ("target_acceptance", "refresh"):
            value = getattr(self, name)
            if not 0 < value <= 1 or (name, value) == ("target_acceptance", 1):
                raise RecipeError(f"{name}: got {value}; expected a number above 0 and {_UPPER[name]} 1")


_UPPER = {"target_acceptance": "below", "refresh": "up to"}


def tune(
    model: Model,
    annealing: Annealing,
    *,
    seed: int,
    chunk: int,
    tick: Callable[[], None] = lambda: None,
) -> Settings:
    """Runs the pilot.

    Stochastic approximation of the logarithm of the step size (Robbins & Monro 1951), log h ← log h + gain ·
    (acceptance − target), with the mean acceptance of all chains at each transition, along a sigmoid schedule of 64
    temperatures from t = 0 to 1, several transitions each. The logarithms are averaged, smoothed, and interpolated.

    Args:
        model: in eval mode, without gradients.
        annealing: what was chosen.
        seed: of the evaluation; the pilot's numbers are independent of the chains'.
        chunk: pairs in one evaluation.
        tick: called after every transition.
    """
    like = next(model.parameters(), torch.empty(0))
    x, _ = model.simulate(IMAGES, generator_for(seed, "annealing pilot images", device=like.device))
    noise = ChainNoise(seed, "annealing pilot", range(IMAGES), CHAINS, x)
    chains = Chains(model, x, annealing.start, CHAINS, chunk)
    chains.begin(noise)
    grid = schedules.sigmoid(GRID)
    log_steps, variance = _along(grid, chains, annealing, noise, tick)
    if annealing.schedule == "adaptive":
        temperatures = schedules.adaptive(annealing.temperatures, grid, np.exp(_smooth(np.log(variance + 1e-300))))
    else:
        temperatures = getattr(schedules, annealing.schedule)(annealing.temperatures)
    position = schedules.sigmoid_position
    steps = np.exp(np.interp(position(temperatures), position(grid), _smooth(log_steps)))
    return Settings(temperatures, steps, annealing.leapfrog_steps, annealing.refresh, annealing.start)


def _along(
    grid: np.ndarray, chains: Chains, annealing: Annealing, noise: ChainNoise, tick: Callable[[], None]
) -> tuple[np.ndarray, np.ndarray]:
    """Log step sizes and mean Var_t(δ) over images at the temperatures of the grid."""
    trial = Settings(grid, np.full(GRID, np.nan), annealing.leapfrog_steps, annealing.refresh, annealing.start)
    log_step, log_steps, variance = float(np.log(FIRST_STEP)), np.zeros(GRID), np.zeros(GRID)
    variance[0] = _spread(chains.delta)
    for index in range(1, GRID):
        tried, spreads = [], []
        for attempt in range(BURN_IN * (index == 1) + TRANSITIONS):
            gain = gain_of(attempt) if index == 1 else _GAIN
            acceptance = chains.step(hmc_step, float(grid[index]), float(np.exp(log_step)), trial, noise)
            log_step += gain * (float(acceptance.double().mean()) - annealing.target_acceptance)
            tried.append(log_step)
            spreads.append(_spread(chains.delta))
            tick()
        log_steps[index] = np.mean(tried[-TRANSITIONS:])
        variance[index] = np.mean(spreads[-TRANSITIONS:])
    log_steps[0] = log_steps[1]
    return log_steps, variance


def gain_of(attempt: int) -> float:
    """How far the logarithm of a step size moves, from a first guess that may be far off: large steps first."""
    return max(_GAIN, _FIRST_GAIN / (1 + attempt / 8))


def _spread(delta: Tensor) -> float:
    """Mean over images of the variance over chains."""
    variance = delta.var(0)
    return float(variance[variance.isfinite()].mean()) if bool(variance.isfinite().any()) else 0.0


def _smooth(values: np.ndarray) -> np.ndarray:
    """Centered moving averages, of fewer points at the ends."""
    ones = np.ones(_SMOOTH)
    return np.convolve(values, ones, "same") / np.convolve(np.ones_like(values), ones, "same")
