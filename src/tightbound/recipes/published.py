"""Numbers that somebody published, and the same quantity of a run of ours, found in its result row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge

Metric = Literal["nll", "elbo", "log_likelihood", "kl", "objective", "rmse", "mae", "bits_per_dim", "elbo_bits_per_dim"]
LAST_MINIBATCH = "last minibatch"
MOST_UNEVEN = 0.05  # of the images may have k̂ > 0.7 before the error of their mean is not given

_NAMES: Mapping[str, str] = {
    "nll": "bound on −log p(x)",
    "elbo": "ELBO",
    "log_likelihood": "log p(x | z)",
    "kl": "KL",
    "objective": "objective",
    "rmse": "RMSE",
    "mae": "MAE",
    "bits_per_dim": "bits/dim",
    "elbo_bits_per_dim": "bits/dim by the ELBO",
}
_BOUNDS = ("nll", "bits_per_dim")  # by K samples
_NOT_LOGGED = (*_BOUNDS, "elbo_bits_per_dim")
# Of a row of evaluation.json: key, and factor of it. E_q[log p(x | z)] is there as distortion, its negative.
_EVALUATED: Mapping[str, tuple[str, float]] = {
    "elbo": ("elbo", 1.0),
    "log_likelihood": ("distortion", -1.0),
    "kl": ("rate", 1.0),
    "rmse": ("reconstruction_rmse", 1.0),
    "mae": ("reconstruction_mae", 1.0),
}

Row = Mapping[str, Any]


class Quantity(NamedTuple):
    """What a number is of; see ``Published``."""

    metric: str
    split: str
    samples: int | None = None

    @property
    def label(self) -> str:
        """Such as ``bound on −log p(x), K = 1,000, test``."""
        samples = f", K = {self.samples:,}" if self.samples else ""
        return f"{_NAMES[self.metric]}{samples}, {self.split}"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that somebody published for this recipe, to be set beside ours.

    Args:
        metric: ``nll`` is −log p(x) by ``samples`` samples; ``elbo``; ``log_likelihood`` is the mean of log p(x | z)
            under the posterior, ``kl`` the other part of the ELBO; ``objective`` is what training raised, where that
            is not the ELBO; ``rmse`` and ``mae`` are of the reconstruction; ``bits_per_dim`` is −log p(x) by
            ``samples`` samples and ``elbo_bits_per_dim`` −ELBO, in bits per pixel and channel. Nats per image, pixels
            in [0, 1].
        value: the number.
        split: of the data; ``last minibatch`` is the last one of training, in training mode.
        samples: K of the bound, where known; of ``nll`` and ``bits_per_dim`` only.
        id: the line of docs/results.md, such as ``P10``.
        protocol: such as ``dynamic`` binarization.
        source: paper and table.
        caveat: what makes the comparison unequal.

    Raises:
        ValueError: there is no value, the metric has no K, or it is not known of that split.
    """

    metric: Metric = "nll"
    value: float | None = None
    split: Literal["test", "validation", "train", "last minibatch"] = "test"
    samples: Annotated[int, Ge(1)] | None = None
    id: str = ""
    protocol: str = ""
    source: str = ""
    caveat: str = ""

    def __post_init__(self) -> None:
        if self.value is None:
            raise ValueError("value: got null; expected the published number")
        if self.samples is not None and self.metric not in _BOUNDS:
            raise ValueError(f"samples: got {self.samples}; K has no effect on metric {self.metric!r}, leave it out")
        if self.split == LAST_MINIBATCH and self.metric in _NOT_LOGGED:
            raise ValueError(f"metric: got {self.metric!r}; training does not log it, so split has to be another one")
        if self.split != LAST_MINIBATCH and self.metric == "objective":
            raise ValueError(f"metric: got 'objective'; it is known of split {LAST_MINIBATCH!r} only")

    @property
    def quantity(self) -> Quantity:
        """What the number is of."""
        return Quantity(self.metric, self.split, self.samples)


class Ours(NamedTuple):
    """The same quantity of one run.

    Attributes:
        value: None where the run has no such number.
        error: its Monte Carlo error, where it has one that holds (see ``trusted_error``).
        reason: why there is no value.
        images: how many images it is of; None where that is not known, or where it is of training's own batches.
        precision: of the networks, where it is not the evaluator's own.
    """

    value: float | None
    error: float | None = None
    reason: str = ""
    images: int | None = None
    precision: str | None = None


def find_ours(row: Row, quantity: Quantity) -> Ours:
    """A quantity of the run that a result row is of (see ``result_row``); of the first evaluation that has it."""
    metric, split, samples = quantity
    if split == LAST_MINIBATCH:
        value = row["last_minibatch"].get(metric)
        return Ours(value, reason="" if value is not None else "training does not log it")
    rows = [found for found in row["evaluations"] if found.get("split") == split]
    if not rows:
        return Ours(None, reason=f"not evaluated on {split} images")
    if metric in _EVALUATED:
        key, factor = _EVALUATED[metric]
        return _none() if rows[0].get(key) is None else _of(rows[0], Ours(factor * rows[0][key]))
    evaluation, bound, error = _bound(rows, samples) if metric in _BOUNDS else (rows[0], rows[0].get("elbo"), None)
    if evaluation is None:
        return Ours(None, reason=f"not evaluated with K = {samples:,}")
    if bound is None:
        return _none()
    found = Ours(-bound, error) if metric == "nll" else _bits_per_dim(row, evaluation, bound, error)
    return found if found.value is None else _of(evaluation, found)


def _of(evaluation: Row, found: Ours) -> Ours:
    """With what of the evaluation has to be said beside the value."""
    return found._replace(images=evaluation.get("images"), precision=evaluation.get("precision"))


def trusted_error(evaluation: Row) -> float | None:
    """The Monte Carlo error of an evaluation's bound; None where the weights are too uneven, or too few, for it.

    It is given while at most 5 % of the images have k̂ > 0.7. Beyond, the variance of their weights may not exist.
    """
    uneven = evaluation.get("pareto_k_over_0_7")
    return None if uneven is None or uneven > MOST_UNEVEN else evaluation.get("standard_error")


def _none() -> Ours:
    return Ours(None, reason="the evaluation has no such number")


def _bound(rows: Sequence[Row], samples: int | None) -> tuple[Row | None, float | None, float | None]:
    """The evaluation with K samples, its bound on log p(x) and the error; with a larger K, the bound at K on its curve.

    K that is not known is that of the first evaluation.
    """
    for row in rows:
        if samples in (None, row.get("samples")):
            return row, row.get("log_likelihood"), trusted_error(row)
    for row in rows:
        for at, bound in row.get("curve") or ():
            if at == samples and bound is not None:
                return row, bound, None
    return None, None, None


def _bits_per_dim(row: Row, evaluation: Row, bound: float, error: float | None) -> Ours:
    """A bound on log p(x) in bits per pixel and channel.

    The evaluation has v/ln 2 − L/(D ln 2) of its own bound L, with v the log-volume of a pixel's bin. For another bound
    B it is larger by (L − B)/(D ln 2).
    """
    bits, own = evaluation.get("bits_per_dim"), evaluation["log_likelihood"]
    if bits is None:
        return _none()
    shape = (row.get("data") or {}).get("image_shape")
    if shape is None:
        return Ours(bits) if bound == own else Ours(None, reason="the row does not say how many pixels an image has")
    nats = math.prod(shape) * math.log(2)
    return Ours(bits + (own - bound) / nats, None if error is None else error / nats)
