"""What each latent unit carries: its KL, active units marked; its activity where the KL does not split into units."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, FAINT, INK, Exhibit, chart, legend_above
from tightbound.report.formatting import count, fixed, plural
from tightbound.report.pictures import Array
from tightbound.report.run_folder import Evaluation, Row, of_group

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ACTIVE_VARIANCE = 0.01  # Burda et al. 2016
_LOWEST = 1e-5  # of the activity's axis
_DASHES = (0, (4, 3))


def unit_bars(evaluation: Evaluation | None, *, amortized: bool = True) -> list[Exhibit]:
    """A chart of the units, if there are more than one; of a ladder none, as it has hundreds in each of its layers.

    Args:
        evaluation: the main one.
        amortized: ``Run.amortized``; without an encoder activity is zero by construction, and not spoken of.
    """
    row = {} if evaluation is None else evaluation.row
    groups = max(len(row.get(key) or []) for key in ("kl_units", "activity"))
    exhibit = _unit_bars(row, amortized) if groups == 1 else None
    return [] if exhibit is None else [exhibit]


def _unit_bars(row: Row, amortized: bool) -> Exhibit | None:
    kl = np.array(of_group(row, "kl_units", 0) or [], dtype=float).ravel()
    activity = np.array(of_group(row, "activity", 0) or [], dtype=float).ravel()
    if len(kl) > 1 and np.isfinite(kl).all():
        mask = of_group(row, "active_mask", 0) if amortized else None
        active = of_group(row, "active_units", 0) if amortized else None
        return _kl(kl, mask, active)
    if len(activity) > 1 and np.isfinite(activity).all() and amortized:
        return _activity(activity, row.get("images") or 0)
    return None


def _kl(values: Array, mask: list[bool] | None, active: int | None) -> Exhibit:
    """Sorted by KL; in one color where it is not known which units are active."""
    order = np.argsort(-values, kind="stable")
    known = mask is not None and len(mask) == len(values)
    marks = np.array(mask)[order] if known else None
    values = values[order]

    def draw(axes: Axes) -> None:
        _bars(axes, values, marks, 0.0)
        axes.set_ylim(bottom=min(0.0, values.min() * 1.05))
        axes.set_xlabel("latent unit, sorted by KL")
        axes.set_ylabel("mean KL, nats per image")
        if marks is not None:
            legend_above(axes)

    caption = f"Together {fixed(float(values.sum()))} nats per image."
    if active is not None:
        caption = (
            f"{count(active)} of {plural(len(values), 'unit')} are active: their posterior mean varies over the "
            f"images (variance above {ACTIVE_VARIANCE}, Burda et al. 2016). {caption}"
        )
    alt = f"Bar chart of the KL of each latent unit. {caption}"
    return chart("units", "Latent units", caption, alt, draw)


def _activity(values: Array, images: int) -> Exhibit:
    """Sorted; on a log axis, whose bottom stands for all that is smaller (an estimate can be negative)."""
    values = np.sort(values)[::-1]
    marks = values > ACTIVE_VARIANCE
    smallest = max(_LOWEST, min(float(values.min()), ACTIVE_VARIANCE / 10))
    bottom = 10.0 ** np.floor(np.log10(smallest))
    shown = np.maximum(values, bottom)

    def draw(axes: Axes) -> None:
        axes.set_yscale("log")
        _bars(axes, shown, marks, bottom)
        axes.axhline(ACTIVE_VARIANCE, color=INK, lw=1.2, linestyle=_DASHES, label=f"limit {ACTIVE_VARIANCE}")
        axes.set_ylim(bottom, 2 * max(float(shown.max()), 10 * ACTIVE_VARIANCE))
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.5f}".rstrip("0").rstrip("."))
        axes.set_xlabel("latent unit, sorted by activity")
        axes.set_ylabel("variance over images (log scale)")
        legend_above(axes)

    caption = (
        f"{count(marks.sum())} of {plural(len(values), 'unit')} are active: their posterior mean varies over the "
        f"{plural(images, 'image')} with a variance above {ACTIVE_VARIANCE} (Burda et al. 2016). The KL does not "
        "split into units, as posterior and prior are not both of independent units."
    )
    described = "; ".join(fixed(value, 4) for value in values)
    alt = f"Bar chart of the variance over images of each latent unit's posterior mean: {described}. {caption}"
    return chart("activity", "Activity of each latent unit", caption, alt, draw)


def _bars(axes: Axes, values: Array, marks: Array | None, bottom: float) -> None:
    from matplotlib.ticker import MaxNLocator

    places = np.arange(1, len(values) + 1)
    parts = [(np.ones(len(values), bool), BLUE, "")]
    if marks is not None:
        parts = [(marks, BLUE, "active"), (~marks, FAINT, "inactive")]
    for chosen, color, label in parts:
        if chosen.any():
            axes.bar(places[chosen], values[chosen] - bottom, bottom=bottom, color=color, width=0.78, label=label)
    axes.set_xlim(0.3, len(values) + 0.7)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
