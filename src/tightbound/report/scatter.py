"""Posterior means in their two principal components, colored by label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, CLASSES, INK, PAGE, POINTS, WIDTH, Exhibit, chart
from tightbound.report.formatting import percent, plural
from tightbound.report.pictures import Array, Pictures
from tightbound.report.principal import principal_components

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 12
_BLOCK = 100  # images drawn of all classes in turn, so that none lies on top of the others
_SIZE = (WIDTH, 4.5)
_NO_LENGTH = 1e-9  # of the picture's width
_RING = 18.0  # points from one class's number to the next
_ROUNDS = 500


def scatter(pictures: Pictures | None) -> Exhibit | None:
    """A dot an image; None without codes of two directions."""
    if pictures is None or pictures.codes is None:
        return None
    codes = pictures.codes
    found = principal_components(codes.mean)
    if found is None:
        return None
    points, shares = found
    label = np.zeros(len(points), int) if codes.label is None else codes.label
    classes, kinds = np.unique(label, return_inverse=True)
    told_apart = 1 < len(classes) <= MOST_CLASSES
    kinds = kinds if told_apart else np.zeros_like(kinds)
    colors = [CLASSES[i % len(CLASSES)] for i in range(len(classes))] if told_apart else [BLUE]

    def draw(axes: Axes) -> None:
        size = 3.6 if len(points) <= 1000 else 2.4
        length = _NO_LENGTH * float(np.ptp(points[:, 0]))  # the PNG renderer leaves out lines of none at all
        for start in range(0, len(points), _BLOCK):
            block = slice(start, start + _BLOCK)
            for kind, color in enumerate(colors):
                dots(axes, points[block][kinds[block] == kind], color, size, length)
        axes.autoscale_view()
        axes.set_aspect("equal", adjustable="datalim")
        axes.grid(visible=True, axis="both")
        for side, share, set_label in zip(("first", "second"), shares, (axes.set_xlabel, axes.set_ylabel), strict=True):
            set_label(f"{side} component, {percent(share)} of the variance")
        medians = np.array([np.median(points[kinds == kind], axis=0) for kind in range(len(colors))])
        if told_apart:
            _labels(axes, [str(name) for name in classes], medians, colors)

    images = plural(len(points), f"{pictures.split} image")
    whose = "" if codes.groups == 1 else f", the latents of all {codes.groups} layers side by side"
    caption = f"A dot is the posterior mean of one of {images}{whose}, in the two directions of largest variance."
    if told_apart:
        caption += " Colors and numbers are labels, which the model has not seen; each number stands by its median."
    elif len(classes) > MOST_CLASSES:
        caption += f" The {len(classes)} labels are not told apart."
    if codes.mean_samples:
        caption += f" Means are over {codes.mean_samples} samples of the posterior."
    return chart("principal_components", "Where images lie in the latent space", caption, caption, draw, size=_SIZE)


def dots(axes: Axes, points: Array, color: str, size: float, length: float) -> None:
    """Round dots as one path of lines of nearly no length: a tenth of the bytes of as many markers."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    if not len(points):
        return
    ends = np.repeat(points, 2, axis=0)
    ends[1::2, 0] += length
    path = Path(ends, np.tile([Path.MOVETO, Path.LINETO], len(points)))
    path.should_simplify = False
    dots = PathPatch(path, fill=False, edgecolor=color, lw=size, capstyle="round", alpha=0.75)
    dots.set_snap(False)
    axes.add_patch(dots)


def _labels(axes: Axes, names: Sequence[str], medians: Array, colors: Sequence[str]) -> None:
    """A number in a ring at the median of its class, or a little off where another is in the way."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # only now the axes have their place
    scale = POINTS / figure.dpi
    places = spread_out(axes.transData.transform(medians) * scale, _RING)
    back = axes.transData.inverted().transform(places / scale)
    for name, (x, y), color in zip(names, back, colors, strict=True):
        box = {"boxstyle": "circle,pad=0.22", "facecolor": PAGE, "edgecolor": color, "lw": 1.8}
        axes.text(
            float(x), float(y), name, ha="center", va="center", fontsize=9, fontweight="bold", color=INK, bbox=box
        )


def spread_out(points: Array, distance: float) -> Array:
    """Moves the points of every pair that is closer than ``distance`` apart, until none is: (n, 2) -> (n, 2)."""
    points = points.astype(np.float64)
    for _ in range(_ROUNDS):
        gaps = points[:, None] - points[None]
        sizes = np.hypot(gaps[..., 0], gaps[..., 1])
        close = (sizes < distance * 0.999) & ~np.eye(len(points), dtype=bool)
        if not close.any():
            break
        # Points in one place leave it in different directions.
        turns = 2 * np.pi * np.arange(len(points)) / len(points)
        ways = np.where(sizes[..., None] > 0, gaps / np.maximum(sizes, 1e-12)[..., None], 0)
        away = np.stack([np.cos(turns), np.sin(turns)], axis=-1)[:, None]
        ways = np.where((sizes > 0)[..., None], ways, away)
        points = points + (np.where(close, (distance - sizes) / 2, 0)[..., None] * ways).sum(1)
    return points
