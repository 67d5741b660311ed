"""What each latent unit carries: KL per unit, sorted, active units marked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, FAINT, Exhibit, chart, legend_above
from tightbound.report.formatting import count, fixed
from tightbound.report.pictures import Array
from tightbound.report.run_folder import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def unit_bars(evaluation: Evaluation | None) -> list[Exhibit]:
    """A chart for each latent group that has more than one unit."""
    row = {} if evaluation is None else evaluation.row
    groups = [np.sort(np.array(group, dtype=float).ravel())[::-1] for group in row.get("kl_units") or []]
    active = row.get("active_units") or [None] * len(groups)
    return [
        _bars(values, number, index, len(groups))
        for index, (values, number) in enumerate(zip(groups, active, strict=False))
        if len(values) > 1 and np.isfinite(values).all()
    ]


def _bars(values: Array, active: int | None, index: int, groups: int) -> Exhibit:
    shown = len(values) if active is None else active

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        places = np.arange(1, len(values) + 1)
        axes.bar(places[:shown], values[:shown], color=BLUE, width=0.78, label="active")
        if shown < len(values):
            axes.bar(places[shown:], values[shown:], color=FAINT, width=0.78, label="inactive")
        axes.set_ylim(bottom=min(0.0, values.min() * 1.05))
        axes.set_xlim(0.3, len(values) + 0.7)
        axes.set_xlabel("latent unit, sorted by KL")
        axes.set_ylabel("mean KL, nats per image")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if active is not None:
            legend_above(axes)

    which = "" if groups == 1 else f" of group {index + 1}"
    caption = f"Together {fixed(float(values.sum()))} nats per image."
    if active is not None:
        caption = (
            f"{count(active)} of {count(len(values))} units{which} are active: their posterior mean varies over the "
            f"images (variance above 0.01, Burda et al. 2016); those of largest KL are marked. {caption}"
        )
    name = "units" if groups == 1 else f"units_{index + 1}"
    title = "Latent units" if groups == 1 else f"Latent units, group {index + 1}"
    return chart(name, title, caption, f"Bar chart of the KL of each latent unit. {caption}", draw)
