"""ELBO and log p(x) of each evaluation, with both kinds of error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tightbound.report.exhibit import BLUE, FAINT, INK, MUTED, ORANGE, TEAL, WIDTH, Exhibit, chart
from tightbound.report.formatting import plural, with_error
from tightbound.report.run_folder import Evaluation, Row, Run
from tightbound.report.tables import effort, elbo_spread, qualified, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_95 = 1.96


class _Point(NamedTuple):
    value: float
    label: str
    where: str
    monte_carlo: float | None
    images: float | None
    color: str
    row: Row


def bounds(run: Run) -> Exhibit | None:
    """A dot a number of every evaluation of the main one's split; None without an evaluation."""
    split = run.row.get("split")
    shown = [evaluation for evaluation in run.estimates if evaluation.row.get("split") == split]
    points = _told_apart([point for evaluation in shown for point in _points(evaluation)])
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
            _name(axes, point.label, height, 1, INK)
            _name(axes, point.where, height, -11, MUTED)
        axes.set_yticks([])
        axes.set_ylim(-0.6, len(points) - 0.2)
        axes.margins(x=0.15)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("nats per image", color=MUTED)

    described = "; ".join(f"{p.label} ({p.where}) {with_error(p.value, p.monte_carlo)} nats" for p in points)
    caption = (
        "Further right is better. Thin lines: 95 % interval over the choice of images (another test set of this size). "
        "Thick lines: 95 % interval of the Monte Carlo error on these very images, often narrower than the dot; "
        "the numbers carry its standard error."
    )
    return chart("bounds", "Bounds", caption, f"Dot chart: {described}.", draw, size=(WIDTH, 1.25 + 0.62 * len(points)))


def _name(axes: Axes, text: str, height: float, offset: float, color: str) -> None:
    """One line left of the plot. Not a tick label: an SVG viewer with another font would misplace its second line."""
    axes.annotate(
        text,
        (0, height),
        (-8, offset),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        color=color,
    )


def _points(evaluation: Evaluation) -> list[_Point]:
    row = evaluation.row
    size, split = row.get("images"), f"{row.get('split') or ''} image".strip()
    where = plural(size, split) if size else f"{split}s"
    samples = f"{where}, {effort(row)}" if row.get("samples") else where
    spread = row.get("standard_error_images")
    given = [
        (row.get("elbo"), qualified("ELBO", row), where, None, elbo_spread(evaluation), BLUE, row),
        (row.get("log_likelihood"), quantity(row), samples, row.get("standard_error"), spread, ORANGE, row),
        (row.get("exact"), f"exact {quantity(row)}", where, None, None, TEAL, row),
    ]
    return [_Point(float(value), *rest) for value, *rest in given if value is not None and np.isfinite(value)]


def _told_apart(points: list[_Point]) -> list[_Point]:
    """Points of one name and place get what their evaluations differ in, such as the seed."""
    told = []
    for point in points:
        alike = [_settings(other.row) for other in points if (other.label, other.where) == (point.label, point.where)]
        own = _settings(point.row)
        differ = [word for word, *others in zip(own, *alike, strict=True) if len(set(others)) > 1]
        told.append(point._replace(where=", ".join([point.where, *differ])))
    return told


def _settings(row: Row) -> tuple[str, ...]:
    samples = effort(row) if row.get("samples") else "K = none"
    annealing = row.get("annealing") or {}
    ways = f"from the {annealing.get('start')}", f"{annealing.get('schedule')} schedule"
    return samples, *ways, f"seed {row.get('seed')}", f"{row.get('checkpoint')} weights", str(row.get("method"))
