"""How far the importance weights can be trusted: Pareto k̂ and effective sample size of each image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, INK, ORANGE, Exhibit, chart, legend_above
from tightbound.report.formatting import count, percent, significant
from tightbound.report.pictures import Array
from tightbound.report.run_folder import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PARETO_LIMIT = 0.7  # above it the error estimate itself cannot be trusted (Vehtari et al. 2024, §3.2.4)
_BINS = 30


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
    low, high = min(0.0, values.min()), max(1.0, values.max())
    edges = np.arange(np.floor(low * 20), np.ceil(high * 20) + 1) / 20  # 0.7 is an edge: no bar straddles the limit
    if len(edges) > 4 * _BINS:
        edges = np.histogram_bin_edges(values, _BINS)

    def draw(axes: Axes) -> None:
        good = values <= PARETO_LIMIT
        _histogram(axes, values[good], edges, BLUE)
        _histogram(axes, values[~good], edges, ORANGE)
        axes.axvline(PARETO_LIMIT, color=INK, lw=1.2, linestyle=(0, (4, 3)), label="limit of trust, 0.7")
        axes.set_xlabel("Pareto k̂ of an image (no unit)")
        axes.set_ylabel("images")
        legend_above(axes)

    caption = (
        f"In {count(above)} of {count(len(values))} images ({percent(above / len(values))}) k̂ is above 0.7: a few "
        "samples carry nearly all the weight, and the error of that image's number cannot be trusted."
    )
    return chart("pareto_k", "Evenness of the weights", caption, f"Histogram of Pareto k. {caption}", draw)


def _histogram(axes: Axes, values: Array, edges: Array, color: str) -> None:
    counts, _ = np.histogram(values, bins=edges)
    some = counts > 0
    axes.bar(edges[:-1][some], counts[some], width=0.9 * np.diff(edges)[some], align="edge", color=color)


def _effective(values: Array, samples: int | None) -> Exhibit:
    low, high = np.log10(max(values.min(), 0.5)), np.log10(max(samples or 0, values.max()) * 1.01)
    median = float(np.median(values))

    def draw(axes: Axes) -> None:
        edges = np.logspace(low, max(high, low + 0.1), _BINS)
        _histogram(axes, values, edges, BLUE)
        axes.set_xscale("log")
        axes.minorticks_off()
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,g}")
        axes.axvline(median, color=INK, lw=1.2, linestyle=(0, (4, 3)), label=f"median {significant(median)}")
        axes.set_xlabel("effective samples of an image (log scale)")
        axes.set_ylabel("images")
        legend_above(axes)

    of = f" of {count(samples)} drawn" if samples else ""
    caption = f"Effective sample size: {significant(median)} samples{of} in the median image."
    return chart("ess", "Effective samples", caption, f"Histogram of effective sample sizes. {caption}", draw)
