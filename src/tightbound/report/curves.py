"""Training curves: ELBO and bound, KL, speed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, MUTED, ORANGE, TEAL, Exhibit, chart, legend_above
from tightbound.report.formatting import count, fixed
from tightbound.report.pictures import Array
from tightbound.report.run_folder import Row
from tightbound.report.tables import qualified, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_POINTS = 300
_START = 0.1  # the part of training whose values may fall below the frame


def series(metrics: Iterable[Row], split: str, key: str) -> tuple[Array, Array]:
    """Epochs (or steps where a line has none) and values of one curve; lines without a finite value are left out."""
    points = [
        (row.get("epoch", row.get("step")), row[key])
        for row in metrics
        if row.get("split") == split and isinstance(row.get(key), int | float) and math.isfinite(row[key])
    ]
    known = [(x, y) for x, y in points if x is not None]
    table = np.array(known, dtype=float).reshape(-1, 2)
    return _averaged(table[:, 0]), _averaged(table[:, 1])


def _averaged(values: Array) -> Array:
    """Means of consecutive bins, so that a curve has at most MOST_POINTS points."""
    if len(values) <= MOST_POINTS:
        return values
    return np.array([part.mean() for part in np.array_split(values, MOST_POINTS)])


def bound_curve(metrics: Sequence[Row], main: Row) -> Exhibit | None:
    """ELBO of training and validation, and the importance bound where training computes it; None without any.

    Args:
        metrics: the lines of metrics.jsonl.
        main: the main evaluation's row, or empty; decides how the numbers are called.
    """
    train, validation = series(metrics, "train", "elbo"), series(metrics, "validation", "elbo")
    bound = series(metrics, "validation", "bound")
    elbo = qualified("ELBO", main)
    curves = [(f"{elbo}, training mode", train, BLUE), (f"{elbo}, validation", validation, ORANGE)]
    curves += [(_bound_label(metrics, quantity(main)), bound, TEAL)]
    curves = [curve for curve in curves if len(curve[1][0])]
    if not curves:
        return None
    floor = _floor([values for _, (_, values), _ in curves])
    hidden = floor is not None and any((values < floor).any() for _, (_, values), _ in curves)

    def draw(axes: Axes) -> None:
        for label, (x, y), color in curves:
            _line(axes, x, y, color, label)
        axes.set_ylim(bottom=floor)
        _x_axis(axes, metrics, [x for _, (x, _), _ in curves])
        axes.set_ylabel("nats per image")
        legend_above(axes)

    last = "; ".join(f"{label}: last value {fixed(y[-1])} nats" for label, (_, y), _ in curves)
    caption = "Higher is better. Training values are means over minibatches while the weights still move"
    caption += ", validation values are of held-out images" if len(curves) > 1 else ""
    caption += ". The start lies below the frame." if hidden else "."
    alt = f"Line chart of the ELBO during training. {last}."
    return chart("training", "ELBO during training", caption, alt, draw)


def _bound_label(metrics: Sequence[Row], name: str) -> str:
    samples = next((row["bound_samples"] for row in metrics if row.get("bound_samples")), None)
    of = f", K = {count(samples)}" if samples else ""
    return f"{name} bound{of}, validation"


def _floor(curves: list[Array]) -> float | None:
    """Lower edge that shows all but the steep start, if the start would squash the rest."""
    later = np.concatenate([values[math.ceil((len(values) - 1) * _START) :] for values in curves])
    everything = np.concatenate(curves)
    height = later.max() - later.min()
    if height <= 0 or everything.min() > later.min() - height:
        return None
    return float(later.min() - 0.1 * height)


def kl_curve(metrics: Sequence[Row]) -> Exhibit | None:
    """KL of training and validation; None without any."""
    curves = [
        ("training mode", series(metrics, "train", "kl"), BLUE),
        ("validation", series(metrics, "validation", "kl"), ORANGE),
    ]
    curves = [curve for curve in curves if len(curve[1][0])]
    if not curves:
        return None

    def draw(axes: Axes) -> None:
        for label, (x, y), color in curves:
            _line(axes, x, y, color, label)
        axes.set_ylim(0, 1.1 * max(1e-3, *(y.max() for _, (_, y), _ in curves)))
        _x_axis(axes, metrics, [x for _, (x, _), _ in curves])
        axes.set_ylabel("nats per image")
        legend_above(axes)

    caption = "KL(q(z | x) ‖ p(z)): what the code z carries of an image. Near zero, the decoder ignores z."
    last = "; ".join(f"{label}: last value {fixed(y[-1])} nats" for label, (_, y), _ in curves)
    return chart("kl", "Rate during training", caption, f"Line chart of the KL during training. {last}.", draw)


def speed_curve(metrics: Sequence[Row]) -> Exhibit | None:
    """Images per second while training; None if not recorded."""
    x, y = series(metrics, "train", "images_per_second")
    if not len(x):
        return None

    def draw(axes: Axes) -> None:
        _line(axes, x, y, MUTED)
        axes.set_ylim(0, 1.15 * y.max())
        _x_axis(axes, metrics, [x])
        axes.set_ylabel("images per second")
        axes.yaxis.set_major_formatter(lambda value, _: count(value))

    caption = f"Images per second while training; median {count(float(np.median(y)))}."
    return chart("speed", "Speed", caption, f"Line chart of the training speed. {caption}", draw)


def _line(axes: Axes, x: Array, y: Array, color: str, label: str | None = None) -> None:
    """A line, or dots where a line would have no length to be seen."""
    axes.plot(x, y, color=color, label=label, marker="o" if len(x) < 3 else None, markersize=5)


def _x_axis(axes: Axes, metrics: Sequence[Row], curves: Sequence[Array]) -> None:
    """One moment alone stands in the middle of an axis from 0, whose ticks are whole numbers."""
    from matplotlib.ticker import MaxNLocator

    moments = np.unique(np.concatenate(curves))
    if len(moments) == 1 and moments[0] > 0:
        axes.set_xlim(0, 2 * moments[0])
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=moments[0] >= 1))
    axes.set_xlabel(x_label(metrics))


def x_label(metrics: Sequence[Row]) -> str:
    """What ``series`` counts in."""
    return "epoch" if any("epoch" in row for row in metrics) else "step"
