"""The importance bound against the number of samples K."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import ORANGE, TEAL, Exhibit, chart, legend_above
from tightbound.report.formatting import count, fixed
from tightbound.report.run_folder import Evaluation
from tightbound.report.tables import quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def bound_against_k(evaluation: Evaluation | None) -> Exhibit | None:
    """A line that flattens where more samples no longer help; None without a curve of two points."""
    row = {} if evaluation is None else evaluation.row
    points = [(k, value) for k, value in row.get("curve") or [] if value is not None and np.isfinite(value)]
    if len(points) < 2:
        return None
    samples, values = np.array(points, dtype=float).T
    exact = row.get("exact")

    def draw(axes: Axes) -> None:
        axes.plot(samples, values, color=ORANGE, marker="o", markersize=6, label=f"bound on {quantity(row)}")
        axes.set_xscale("log")
        axes.set_xticks(samples, [count(k) for k in samples])
        axes.minorticks_off()
        if exact is not None:
            axes.axhline(exact, color=TEAL, linestyle=(0, (4, 3)), label=f"exact {quantity(row)}")
            legend_above(axes)
        axes.margins(y=0.18)
        # The first label stands below its point, the last above, unless the exact value is there.
        ends = [(0, (4, -14), "left"), (-1, (0, 9 if exact is None else -16), "right")]
        for end, offset, side in ends:
            point = (samples[end], values[end])
            axes.annotate(fixed(values[end]), point, offset, textcoords="offset points", ha=side)
        axes.set_xlabel("samples per image, K (log scale)")
        axes.set_ylabel("nats per image")

    last = values[-1] - values[-2]
    caption = (
        f"K = 1 is the ELBO of these draws; the bound rises with K towards {quantity(row)}. "
        f"From K = {count(samples[-2])} to {count(samples[-1])} it still moved by {fixed(last)} nats."
    )
    described = "; ".join(f"K = {count(k)}: {fixed(value)} nats" for k, value in points)
    return chart("bound_against_k", "Bound against K", caption, f"Line chart of the bound: {described}.", draw)
