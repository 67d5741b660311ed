"""Evaluators: functions of a model and data that return log p(x) with its uncertainty."""

from tightbound.evaluation.diagnostics import (
    active_mask,
    active_units,
    bound_curve,
    curve_samples,
    delta_standard_error,
    ess,
    interval_of_mean,
    intervals,
    jackknife_standard_error,
    variance_of_means,
)
from tightbound.evaluation.importance import importance
from tightbound.evaluation.pareto import PARETO_K_LIMIT, pareto_k
from tightbound.evaluation.result import Estimate, summarize
from tightbound.evaluation.source import Source

__all__ = [
    "PARETO_K_LIMIT",
    "Estimate",
    "Source",
    "active_mask",
    "active_units",
    "bound_curve",
    "curve_samples",
    "delta_standard_error",
    "ess",
    "importance",
    "interval_of_mean",
    "intervals",
    "jackknife_standard_error",
    "pareto_k",
    "summarize",
    "variance_of_means",
]
