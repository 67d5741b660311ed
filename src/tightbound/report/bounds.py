"""ELBO and log p(x) of each evaluation, with both kinds of error bars."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tightbound.report.exhibit import BLUE, FAINT, INK, MUTED, ORANGE, TEAL, Exhibit, chart
from tightbound.report.formatting import count, with_error
from tightbound.report.run_folder import Evaluation
from tightbound.report.tables import elbo_spread, qualified, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_95 = 1.96


class _Point(NamedTuple):
    label: str
    value: float
    monte_carlo: float | None
    images: float | None
    color: str


def bounds(evaluations: Sequence[Evaluation]) -> Exhibit | None:
    """A dot a number; None without an evaluation."""
    points = [point for evaluation in evaluations for point in _points(evaluation)]
    if not points:
        return None

    def draw(axes: Axes) -> None:
        for height, point in enumerate(reversed(points)):
            if point.images:
                axes.errorbar(point.value, height, xerr=_95 * point.images, color=FAINT, lw=1.4, capsize=4)
            if point.monte_carlo:
                axes.errorbar(point.value, height, xerr=_95 * point.monte_carlo, color=point.color, lw=5, alpha=0.5)
            axes.plot(point.value, height, "o", color=point.color, markersize=7)
            text = with_error(point.value, point.monte_carlo)
            axes.annotate(text, (point.value, height), (0, 9), textcoords="offset points", ha="center", color=INK)
        axes.set_yticks(range(len(points)), [point.label for point in reversed(points)])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(-0.6, len(points) - 0.2)
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("nats per image", color=MUTED)

    described = "; ".join(f"{p.label} {with_error(p.value, p.monte_carlo)} nats".replace("\n", ", ") for p in points)
    caption = (
        "Further right is better. Thin lines: 95 % interval over the choice of images (another test set of this size). "
        "Thick lines: 95 % interval of the Monte Carlo error on these very images, often narrower than the dot; "
        "the numbers carry its standard error."
    )
    return chart("bounds", "Bounds", caption, f"Dot chart: {described}.", draw, size=(5.4, 1.25 + 0.62 * len(points)))


def _points(evaluation: Evaluation) -> list[_Point]:
    row = evaluation.row
    where = f"{row.get('split', '')}, {row.get('method', '')}".strip(", ")
    points = []
    if row.get("elbo") is not None:
        points.append(_Point(f"{qualified('ELBO', row)}\n{where}", row["elbo"], None, elbo_spread(evaluation), BLUE))
    if row.get("log_likelihood") is not None:
        samples = f", K = {count(row['samples'])}" if row.get("samples") else ""
        label = f"{quantity(row)}\n{where}{samples}"
        points.append(
            _Point(label, row["log_likelihood"], row.get("standard_error"), row.get("standard_error_images"), ORANGE)
        )
    if row.get("exact") is not None:
        points.append(_Point(f"exact {quantity(row)}\n{row.get('split', '')}", row["exact"], None, None, TEAL))
    return [point for point in points if np.isfinite(point.value)]
