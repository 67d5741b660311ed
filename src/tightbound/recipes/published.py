"""Numbers that somebody published, and the same quantity of a run of ours, found in its result row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge

Metric = Literal["nll", "elbo", "log_likelihood", "kl", "objective", "rmse", "mae", "bits_per_dim"]
LAST_MINIBATCH = "last minibatch"

_NAMES: Mapping[str, str] = {
    "nll": "−log p(x)",
    "elbo": "ELBO",
    "log_likelihood": "log p(x | z)",
    "kl": "KL",
    "objective": "objective",
    "rmse": "RMSE",
    "mae": "MAE",
    "bits_per_dim": "bits/dim",
}
# Of a row of evaluation.json: key, and factor of it. E_q[log p(x | z)] is there as distortion, its negative.
_EVALUATED: Mapping[str, tuple[str, float]] = {
    "nll": ("log_likelihood", -1.0),
    "elbo": ("elbo", 1.0),
    "log_likelihood": ("distortion", -1.0),
    "kl": ("rate", 1.0),
    "rmse": ("reconstruction_rmse", 1.0),
    "mae": ("reconstruction_mae", 1.0),
    "bits_per_dim": ("bits_per_dim", 1.0),
}


class Quantity(NamedTuple):
    """What a number is of; see ``Published``."""

    metric: str
    split: str
    samples: int | None = None

    @property
    def label(self) -> str:
        """Such as ``−log p(x), K = 1,000, test``."""
        samples = f", K = {self.samples:,}" if self.samples else ""
        return f"{_NAMES[self.metric]}{samples}, {self.split}"


@dataclass(frozen=True, kw_only=True)
class Published:
    """A number that somebody published for this recipe, to be set beside ours.

    Args:
        metric: ``nll`` is −log p(x) by ``samples`` samples; ``elbo``; ``log_likelihood`` is the mean of log p(x | z)
            under the posterior, ``kl`` the other part of the ELBO; ``objective`` is what training raised, where that
            is not the ELBO; ``rmse`` and ``mae`` are of the reconstruction. Nats per image, pixels in [0, 1].
        value: the number.
        split: of the data; ``last minibatch`` is the last one of training, in training mode.
        samples: K of the bound, where known.
        id: the line of docs/results.md, such as ``P10``.
        protocol: such as ``dynamic`` binarization.
        source: paper and table.
        caveat: what makes the comparison unequal.

    Raises:
        ValueError: there is no value, or the metric is not known of that split.
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
        if self.split == LAST_MINIBATCH and self.metric in ("nll", "bits_per_dim"):
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
        error: its Monte Carlo error, where it has one.
        reason: why there is no value.
    """

    value: float | None
    error: float | None = None
    reason: str = ""


def find_ours(row: Mapping[str, Any], quantity: Quantity) -> Ours:
    """A quantity of the run that a result row is of (see ``result_row``)."""
    metric, split, samples = quantity
    if split == LAST_MINIBATCH:
        value = row["last_minibatch"].get(metric)
        return Ours(value, reason="" if value is not None else "training does not log it")
    rows = [found for found in row["evaluations"] if found.get("split") == split]
    if not rows:
        return Ours(None, reason=f"not evaluated on {split} images")
    if metric != "nll" or samples is None:
        return _read(rows[0], metric)
    exact = [found for found in rows if found.get("samples") == samples]
    return _read(exact[0], metric) if exact else _on_curve(rows, samples)


def _read(row: Mapping[str, Any], metric: str) -> Ours:
    key, factor = _EVALUATED[metric]
    value = row.get(key)
    if value is None:
        return Ours(None, reason="the evaluation has no such number")
    return Ours(factor * value, row.get("standard_error") if metric == "nll" else None)


def _on_curve(rows: list[Mapping[str, Any]], samples: int) -> Ours:
    """The bound at a smaller K of the same draws."""
    found = [bound for row in rows for at, bound in row.get("curve") or () if at == samples and bound is not None]
    return Ours(-found[0]) if found else Ours(None, reason=f"not evaluated with K = {samples:,}")
