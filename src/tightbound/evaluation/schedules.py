"""Temperatures 0 = t_0 < … < t_{T−1} = 1 of a path.

A schedule is an increasing function s ∈ [0, 1] → t ∈ [0, 1], read at T equally spaced s.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Schedule = Literal["sigmoid", "linear", "adaptive"]

_REACH = 4.0  # the sigmoid runs over [−4, 4]; Wu et al. 2017, `ais.py`
_LOW, _HIGH = 1 / (1 + math.exp(_REACH)), 1 / (1 + math.exp(-_REACH))


def linear(num_temperatures: int) -> np.ndarray:
    """T equally spaced temperatures."""
    return np.linspace(0.0, 1.0, num_temperatures)


def sigmoid(num_temperatures: int) -> np.ndarray:
    """The sigmoid of T equally spaced numbers in [−4, 4], rescaled to [0, 1]: dense at both ends."""
    temperatures = (1 / (1 + np.exp(-np.linspace(-_REACH, _REACH, num_temperatures))) - _LOW) / (_HIGH - _LOW)
    temperatures[0], temperatures[-1] = 0.0, 1.0
    return temperatures


def sigmoid_position(temperature: np.ndarray) -> np.ndarray:
    """s ∈ [0, 1] at which the sigmoid schedule has a temperature."""
    share = _LOW + np.asarray(temperature) * (_HIGH - _LOW)
    return np.clip(0.5 + (np.log(share) - np.log1p(-share)) / (2 * _REACH), 0.0, 1.0)


def adaptive(num_temperatures: int, grid: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """T temperatures at equal distances in thermodynamic length, so that the conditional ESS is constant.

    With K equal chains at t, the increment Δt δ has conditional effective sample size K (E w)²/E w² with w = exp(Δt δ),
    and 1 − CESS/K ≈ Δt² Var_t(δ) for small Δt (Zhou, Johansen & Aston 2016, section 3.3). So CESS is constant where
    temperatures are equally spaced in Λ(t) = ∫ √Var_t(δ) dt, which is also where the sum of the divergences between
    neighbors is least, whatever T (Gelman & Meng 1998, section 4.4).

    Args:
        num_temperatures: T.
        grid: temperatures from 0 to 1 at which the variance is known, dense enough that √Var·dt/ds is nearly linear
            between them, with s the position in the sigmoid schedule.
        variance: mean over images of Var_t(δ), nats².
    """
    position = sigmoid_position(grid)
    share = _LOW + grid * (_HIGH - _LOW)
    rate = np.sqrt(variance) * share * (1 - share)  # dΛ/ds up to a factor, since dt/ds ∝ σ'
    length = np.concatenate([[0.0], np.cumsum(np.diff(position) * (rate[1:] + rate[:-1]) / 2)])
    if not np.isfinite(length[-1]) or length[-1] <= 0:  # nothing to learn from: δ is constant
        return sigmoid(num_temperatures)
    length += np.linspace(0, 1e-6 * length[-1], len(length))  # strictly increasing, so that it can be inverted
    places = np.interp(np.linspace(0, length[-1], num_temperatures), length, position)
    temperatures = (1 / (1 + np.exp(-_REACH * (2 * places - 1))) - _LOW) / (_HIGH - _LOW)
    temperatures[0], temperatures[-1] = 0.0, 1.0
    return temperatures
