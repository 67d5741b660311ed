"""How far the importance weights can be trusted: Pareto k̂ and effective sample size of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, INK, ORANGE, Exhibit, chart, legend_above
from tightbound.report.formatting import count, percent, plural, significant
from tightbound.report.pictures import Array
from tightbound.report.run_folder import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARETO_LIMIT = 0.7  # above it the error estimate itself cannot be trusted (Vehtari et al. 2024, §3.2.4)
_BINS = 30
_FEWEST_BINS = 8
_NARROWEST = 0.75  # decades of the axis of effective samples, whose ticks are then two at least
_FEW_IMAGES = 100  # below, bars are wider


def weight_histograms(evaluation: Evaluation | None) -> list[Exhibit]:
    """Histograms over the images, as far as the per-image arrays have them."""
    arrays = {} if evaluation is None or evaluation.per_image is None else evaluation.per_image
    samples = None if evaluation is None else evaluation.row.get("samples")
    pareto, ess = _finite(arrays.get("pareto_k")), _finite(arrays.get("ess"))
    exhibits = []
    if len(pareto):
        exhibits.append(_pareto(pareto))
    if len(ess) and ess.min() > 0:
        exhibits.append(_effective(ess, samples))
    return exhibits


def _finite(values: Array | None) -> Array:
    return np.array([]) if values is None else values[np.isfinite(values)]


def _pareto(values: Array) -> Exhibit:
    above = int((values > PARETO_LIMIT).sum())
    edges = _edges_with_limit(values)

    def draw(axes: Axes) -> None:
        good = values <= PARETO_LIMIT
        _histogram(axes, values[good], edges, BLUE)
        _histogram(axes, values[~good], edges, ORANGE)
        axes.axvline(PARETO_LIMIT, color=INK, lw=1.2, linestyle=(0, (4, 3)), label="limit of trust, 0.7")
        axes.set_xlim(edges[0], edges[-1])
        axes.set_xlabel("Pareto k̂ of an image (no unit)")
        _count_axis(axes)
        legend_above(axes)

    caption = (
        f"In {count(above)} of {plural(len(values), 'image')} ({percent(above / len(values))}) k̂ is above 0.7: a few "
        "samples carry nearly all the weight, and the error of that image's number cannot be trusted."
    )
    return chart("pareto_k", "Evenness of the weights", caption, f"Histogram of Pareto k. {caption}", draw)


def _edges_with_limit(values: Array) -> Array:
    """Bins of all values and of 0 to 1. The limit is an edge: it is in the frame, and no bar straddles it."""
    low, high = min(0.0, float(values.min())), max(1.0, float(values.max()))
    width = 0.05 if len(values) >= _FEW_IMAGES else 0.1
    if (high - low) / width > 4 * _BINS:
        width = (high - low) / _BINS
    first, last = (np.floor((low - PARETO_LIMIT) / width + 1e-9), np.ceil((high - PARETO_LIMIT) / width - 1e-9))
    edges = PARETO_LIMIT + width * np.arange(first, last + 1)
    edges[[0, -1]] = min(edges[0], low), max(edges[-1], high)  # against rounding
    return edges


def _histogram(axes: Axes, values: Array, edges: Array, color: str) -> None:
    counts, _ = np.histogram(values, bins=edges)
    some = counts > 0
    axes.bar(edges[:-1][some], counts[some], width=0.9 * np.diff(edges)[some], align="edge", color=color)


def _count_axis(axes: Axes) -> None:
    """Images are counted: whole ticks, also where a bar is one image high."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_ylabel("images")


def _effective(values: Array, samples: int | None) -> Exhibit:
    low, high = np.log10(max(values.min(), 0.5)), np.log10(max(samples or 0, values.max()) * 1.01)
    edges = np.logspace(
        min(low, high - _NARROWEST), high, 1 + int(np.clip(2 * np.sqrt(len(values)), _FEWEST_BINS, _BINS))
    )
    median = float(np.median(values))

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import LogLocator

        _histogram(axes, values, edges, BLUE)
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if edges[-1] < 100 * edges[0] else (1.0,)))
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.axvline(median, color=INK, lw=1.2, linestyle=(0, (4, 3)), label=f"median {significant(median)}")
        axes.set_xlabel("effective samples of an image (log scale)")
        _count_axis(axes)
        legend_above(axes)

    of = f" of {count(samples)} drawn" if samples else ""
    caption = f"Effective sample size: {significant(median)} samples{of} in the median image."
    return chart("ess", "Effective samples", caption, f"Histogram of effective sample sizes. {caption}", draw)
