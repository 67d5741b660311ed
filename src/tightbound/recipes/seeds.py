"""Means over seeds, and differences between recipes that ran with the same seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Mean(NamedTuple):
    """A mean over runs.

    Attributes:
        value: the mean.
        error: its standard error over seeds, s/√n with n − 1 in s; None with one run.
        seeds: n.
    """

    value: float
    error: float | None
    seeds: int


def mean_over(values: Sequence[float]) -> Mean:
    """The mean of at least one value, with its standard error."""
    count = len(values)
    mean = math.fsum(values) / count
    if count == 1:
        return Mean(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (count - 1)
    return Mean(mean, math.sqrt(variance / count), count)


def interval_over_seeds(mean: Mean) -> tuple[float, float] | None:
    """Student's 95 % interval of a mean over runs; None with one run."""
    from scipy.special import stdtrit

    if mean.error is None:
        return None
    width = float(stdtrit(mean.seeds - 1, 0.975)) * mean.error
    return mean.value - width, mean.value + width


def paired_difference(values: Mapping[int, float], baseline: Mapping[int, float]) -> Mean | None:
    """The mean of value − baseline over the seeds that both ran with; None if there is none.

    The images, their binarization and the evaluation's noise are the same for every seed, so the difference within a
    seed is free of the spread over images, and its spread over seeds is that of training.
    """
    shared = sorted(set(values) & set(baseline))
    return mean_over([values[seed] - baseline[seed] for seed in shared]) if shared else None


def error_of_mean(errors: Sequence[float | None]) -> float | None:
    """The Monte Carlo error √Σe²/n of a mean over runs, as of independent estimates; None if one is unknown.

    Runs that were evaluated with the same seed share their noise, each weighted by its own model. Where their errors
    are correlated, that of the mean is larger, at most Σe/n.
    """
    if not errors or any(error is None for error in errors):
        return None
    return math.sqrt(math.fsum(error**2 for error in errors if error is not None)) / len(errors)
