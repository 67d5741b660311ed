"""Numbers of the page: the headline, and one column for each evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tightbound.report.formatting import count, duration, fixed, percent, plural, significant, with_error
from tightbound.report.run_folder import Evaluation, Row


@dataclass(frozen=True)
class Headline:
    """A number large on the page.

    Args:
        name: what it is.
        value: as printed, with its error.
        unit: never empty.
        note: what its error is, or how it was computed.
    """

    name: str
    value: str
    unit: str
    note: str = ""


def is_likelihood(row: Row) -> bool:
    """False where a published protocol scores pixels with a density of others, such as gray levels with a Bernoulli."""
    return row.get("is_likelihood") is not False and row.get("measure") != "not a likelihood"


def quantity(row: Row) -> str:
    """What the estimate estimates: log p(x), or its name where it is no likelihood."""
    return "log p(x)" if is_likelihood(row) else "score (not a likelihood)"


def qualified(name: str, row: Row) -> str:
    """``ELBO``, or ``ELBO (not a likelihood)``."""
    return name if is_likelihood(row) else f"{name} (not a likelihood)"


def is_code_length(row: Row) -> bool:
    """Whether bits per dimension are, or bound, the length of a code: not those of a density of bare pixels."""
    return row.get("measure") != "density" or bool(row.get("dequantized"))


def effort(row: Row) -> str:
    """What the estimate was made of: ``K = 5,000``, or ``16 chains of 500 temperatures``."""
    samples = int(row["samples"])
    annealing = row.get("annealing")
    if not annealing:
        return f"K = {count(samples)}"
    return f"{plural(samples, 'chain')} of {count(annealing['temperatures'])} temperatures"


def elbo_spread(evaluation: Evaluation) -> float | None:
    """Standard error of the mean ELBO over the choice of images, from the per-image values."""
    return _spread(None if evaluation.per_image is None else evaluation.per_image.get("elbo"))


def gap(evaluation: Evaluation) -> tuple[float, float] | None:
    """Mean of (log p(x) − ELBO) and its standard error over the choice of images; paired, so their spread cancels."""
    arrays = evaluation.per_image or {}
    if "elbo" not in arrays or "log_likelihood" not in arrays:
        return None
    difference = arrays["log_likelihood"] - arrays["elbo"]
    error = _spread(difference)
    return None if error is None else (float(difference.mean()), error)


def _spread(values: np.ndarray | None) -> float | None:
    if values is None or len(values) < 2 or not np.isfinite(values).all():
        return None
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def headlines(evaluation: Evaluation | None, *, amortized: bool = True) -> list[Headline]:
    """At most six numbers of the main evaluation.

    Args:
        evaluation: the main one.
        amortized: ``Run.amortized``; without an encoder no unit can be active, and none is said to be.
    """
    if evaluation is None:
        return []
    row = evaluation.row
    made = [
        _log_likelihood(row),
        _simulated(row),
        _elbo(evaluation),
        _bits(row),
        _error(row),
        _active(row) if amortized else None,
        _ess(row),
    ]
    return [headline for headline in made if headline is not None]


def _log_likelihood(row: Row) -> Headline | None:
    if row.get("log_likelihood") is None:
        return None
    notes = [f"lower bound, {effort(row)}" if row.get("samples") else "lower bound"]
    if row.get("exact") is not None:
        notes.append(f"exact: {fixed(row['exact'])}")
    if row.get("pareto_k_over_0_7"):
        notes.append(f"k̂ > 0.7 in {percent(row['pareto_k_over_0_7'])} of images, where the error is unknown")
    if row.get("standard_error_images"):
        notes.append(f"± {significant(row['standard_error_images'], 2)} for another test set")
    value = with_error(row["log_likelihood"], row.get("standard_error"))
    return Headline(quantity(row), value, "nats per image", "; ".join(notes))


def _simulated(row: Row) -> Headline | None:
    """The gap of annealing, never on one axis with numbers of real images: no upper bound exists for those."""
    if row.get("simulated_gap") is None:
        return None
    images = (row.get("simulated") or {}).get("images")
    where = f"{plural(images, 'image')} drawn from the model" if images else "images drawn from the model"
    value = with_error(row["simulated_gap"], row.get("simulated_gap_error"))
    note = f"upper − lower bound on {where}, not of the data; no upper bound exists for a real image"
    return Headline("Gap, simulated images", value, "nats per image", note)


def _elbo(evaluation: Evaluation) -> Headline | None:
    row = evaluation.row
    if row.get("elbo") is None:
        return None
    distance = gap(evaluation)
    note = f"{with_error(*distance)} below {quantity(row)}" if distance is not None else ""
    return Headline(qualified("ELBO", row), fixed(row["elbo"]), "nats per image", note)


def _bits(row: Row) -> Headline | None:
    value = row.get("bits_per_dim")
    if value is None:
        return None
    name = "Code length" if is_code_length(row) else _DENSITY
    return Headline(qualified(name, row), fixed(value, 3), "bits per dimension")


def _error(row: Row) -> Headline | None:
    value = row.get("reconstruction_rmse")
    return None if value is None else Headline("Reconstruction error", fixed(value, 3), "RMSE, pixels in 0 to 1")


def _active(row: Row) -> Headline | None:
    active, units = row.get("active_units"), row.get("units")
    if not active or not units or None in active:
        return None
    return Headline("Active", f"{count(sum(active))} of {count(sum(units))}", "latent units")


def _ess(row: Row) -> Headline | None:
    if row.get("ess_median") is None or not row.get("samples"):
        return None
    return Headline("Effective samples", significant(row["ess_median"]), f"of {count(row['samples'])}, median image")


@dataclass(frozen=True)
class Line:
    """A row of the table of evaluations: a name with its unit, and one cell for each evaluation."""

    name: str
    cells: tuple[str, ...]


def evaluation_table(evaluations: Sequence[Evaluation]) -> list[Line]:
    """Everything that the evaluations say, one column each; lines that none has are left out."""
    rows = [evaluation.row for evaluation in evaluations]
    lines = [Line(_line_name(name, rows), tuple(_cell(row, read) for row in rows)) for name, read in _LINES]
    return [line for line in lines if any(line.cells)]


def _line_name(name: str, rows: Sequence[Row]) -> str:
    if name == _BITS and not all(is_code_length(row) for row in rows):
        name = f"{_DENSITY}, bits per dimension"
    likelihoods = [is_likelihood(row) for row in rows]
    if all(likelihoods) or not ("nats" in name or "bits" in name):
        return name
    if any(likelihoods):
        return f"{name} (not a likelihood where Measure says so)"
    return _SCORE if name == _ESTIMATE else f"{name} (not a likelihood)"


def _cell(row: Row, read: Callable[[Row], str | None]) -> str:
    try:
        return read(row) or ""
    except (KeyError, TypeError):  # absent or null: the method has no such number
        return ""


def _interval(row: Row) -> str:
    low, high = row["interval"]
    return f"{fixed(low)} to {fixed(high)}"


def _acceptance(annealing: Row) -> str:
    return f"{fixed(annealing['acceptance'])} ({fixed(annealing['target_acceptance'])})"


_START_NAMES = {"prior": "the prior", "base": "the posterior's base Gaussian", "posterior": "the posterior"}
_SCORE = "Score (not a likelihood), nats per image"
_BITS = "Code length, bits per dimension"
_DENSITY = "−log density (no code length)"
_ESTIMATE = "Estimate of log p(x), nats per image"
_LINES: tuple[tuple[str, Callable[[Row], str | None]], ...] = (
    ("Method", lambda r: r["method"]),
    ("Split", lambda r: r["split"]),
    ("Protocol", lambda r: r["protocol"]),
    ("Measure", lambda r: r["measure"]),
    ("Images", lambda r: count(r["images"])),
    ("Samples per image, K", lambda r: count(r["samples"]) + (" chains" if r.get("annealing") else "")),
    ("Temperatures", lambda r: f"{count(r['annealing']['temperatures'])}, {r['annealing']['schedule']}"),
    ("Annealed from", lambda r: _START_NAMES[r["annealing"]["start"]]),
    ("Acceptance, mean (target)", lambda r: _acceptance(r["annealing"])),
    (_ESTIMATE, lambda r: with_error(r["log_likelihood"], r.get("standard_error"))),
    ("95 % interval, Monte Carlo error, nats", _interval),
    ("Standard error over images, nats", lambda r: significant(r["standard_error_images"], 2)),
    ("Exact log p(x), nats per image", lambda r: fixed(r["exact"])),
    ("ELBO, nats per image", lambda r: fixed(r["elbo"])),
    ("Rate (KL), nats per image", lambda r: fixed(r["rate"])),
    ("Distortion (−log p(x | z)), nats per image", lambda r: fixed(r["distortion"])),
    (_BITS, lambda r: fixed(r["bits_per_dim"], 4)),
    ("Reconstruction RMSE, pixels in 0 to 1", lambda r: fixed(r["reconstruction_rmse"], 4)),
    ("Reconstruction MAE, pixels in 0 to 1", lambda r: fixed(r["reconstruction_mae"], 4)),
    ("Effective samples, median image", lambda r: significant(r["ess_median"])),
    ("Images with k̂ > 0.7", lambda r: percent(r["pareto_k_over_0_7"])),
    ("Simulated images (drawn from the model)", lambda r: count(r["simulated"]["images"])),
    ("Simulated images: lower bound, nats per image", lambda r: fixed(r["simulated_lower"])),
    ("Simulated images: upper bound, nats per image", lambda r: fixed(r["simulated_upper"])),
    ("Simulated images: gap, nats per image", lambda r: with_error(r["simulated_gap"], r.get("simulated_gap_error"))),
    ("Active latent units", lambda r: f"{count(sum(r['active_units']))} of {count(sum(r['units']))}"),
    ("Weights", lambda r: r["checkpoint"]),
    ("Seed", lambda r: str(r["seed"])),
    ("Device", lambda r: r["device"]),
    ("Time", lambda r: duration(r["seconds"])),
    ("Images per second", lambda r: significant(r["images_per_second"])),
)
