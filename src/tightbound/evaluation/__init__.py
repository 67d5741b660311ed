"""Evaluators: functions of a model and data that return log p(x) with its uncertainty; and a probe of the latents."""

from tightbound.evaluation.annealed import annealed
from tightbound.evaluation.bidirectional import bidirectional
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
from tightbound.evaluation.forecast import MOST_HOURS, Forecast
from tightbound.evaluation.importance import importance
from tightbound.evaluation.pareto import PARETO_K_LIMIT, pareto_k
from tightbound.evaluation.pilot import Annealing
from tightbound.evaluation.probe import linear_probe
from tightbound.evaluation.probed import Probed
from tightbound.evaluation.result import Estimate, summarize
from tightbound.evaluation.shares import Processes
from tightbound.evaluation.source import Source
from tightbound.evaluation.trajectory import Trajectories, trajectories

__all__ = [
    "MOST_HOURS",
    "PARETO_K_LIMIT",
    "Annealing",
    "Estimate",
    "Forecast",
    "Probed",
    "Processes",
    "Source",
    "Trajectories",
    "active_mask",
    "active_units",
    "annealed",
    "bidirectional",
    "bound_curve",
    "curve_samples",
    "delta_standard_error",
    "ess",
    "importance",
    "interval_of_mean",
    "intervals",
    "jackknife_standard_error",
    "linear_probe",
    "pareto_k",
    "summarize",
    "trajectories",
    "variance_of_means",
]
