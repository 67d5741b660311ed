"""What annealed evaluation leaves open: the gap on each simulated image, and how chains drift apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, INK, ORANGE, Exhibit, chart, legend_above
from tightbound.report.formatting import count, fixed, percent, plural, with_error
from tightbound.report.run_folder import Row, Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def annealing(run: Run) -> list[Exhibit]:
    """Of the last annealed and the last bidirectional evaluation; none of other methods."""
    rows = [evaluation.row for evaluation in run.evaluations]
    sandwiched = next((row for row in reversed(rows) if row.get("simulated")), None)
    annealed = next((row for row in reversed(rows) if row.get("annealing")), None)
    made = [None if sandwiched is None else _gaps(sandwiched), None if annealed is None else _variance(annealed)]
    return [exhibit for exhibit in made if exhibit is not None]


def _gaps(row: Row) -> Exhibit | None:
    """A dot a simulated image; its place is its own bound, so that no real image is on the axis."""
    lower, upper = (np.array(row["simulated"][side], dtype=float) for side in ("lower", "upper"))
    gap = upper - lower
    if not np.isfinite(gap).all():
        return None
    mean, error = float(gap.mean()), row["simulated"].get("gap_error")

    def draw(axes: Axes) -> None:
        axes.axhline(0, color=INK, lw=0.8)
        axes.axhline(mean, color=ORANGE, lw=1.2, linestyle=(0, (4, 3)), label=f"mean {with_error(mean, error)} nats")
        axes.plot(lower, gap, "o", color=BLUE, markersize=4, alpha=0.75)
        axes.set_xlabel("lower bound on log p(x) of a simulated image, nats")
        axes.set_ylabel("upper − lower bound, nats")
        legend_above(axes)

    caption = (
        f"A dot is one of {plural(len(gap), 'image')} drawn from the model itself, whose exact latents are known: "
        f"chains forward give a lower bound, chains in reverse an upper one. They are {with_error(mean, error)} nats "
        "apart on average; each holds in expectation, so a single gap may be negative. This certifies the settings, "
        "not a number on real images, of which no upper bound exists."
    )
    alt = f"Scatter of gaps between {fixed(float(gap.min()))} and {fixed(float(gap.max()))} nats. {caption}"
    return chart("simulated_gap", "Gap of the same settings on simulated images", caption, alt, draw)


def _variance(row: Row) -> Exhibit | None:
    """Where along the path the chains' log-weights come apart."""
    found = row["annealing"]
    at = np.array(found["listed"], dtype=float)
    variance = np.array([np.nan if v is None else v for v in found["log_weight_variance"]], dtype=float)
    known = np.isfinite(variance)
    if known.sum() < 2:
        return None
    acceptance = found.get("acceptance")

    def draw(axes: Axes) -> None:
        axes.plot(at[known], variance[known], color=BLUE)
        axes.set_xlim(0, max(at))
        axes.set_ylim(bottom=0)
        axes.set_xlabel(
            f"temperature, of {count(found['temperatures'])}, from {_STARTS[found['start']]} to the posterior"
        )
        axes.set_ylabel("variance of log w, nats²")

    chains = plural(row["samples"], "chain")
    caption = (
        f"Variance of the log-weight over {chains} of an image, as it accumulates from temperature to temperature; "
        f"mean over {plural(row['images'], 'image')}. It ends at {fixed(float(variance[known][-1]))} nats²: half of "
        "that is about what the mean of the logarithms lies below log p(x), and averaging the chains in probability "
        "takes most of it away."
    )
    if acceptance is not None:
        caption += f" Transitions are accepted in {percent(acceptance)}."
    title = "Where annealed chains come apart"
    return chart("log_weight_variance", title, caption, f"Line chart. {caption}", draw)


_STARTS = {"prior": "the prior", "base": "the Gaussian base", "posterior": "the posterior q"}
