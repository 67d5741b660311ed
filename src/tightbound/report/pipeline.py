"""What the model does with one image: image, bars of z, reconstruction, uncertainty; the same from the prior."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    POINTS,
    SMALL,
    WIDTH,
    Exhibit,
    composed,
    paste,
    place,
    sheet,
    write,
)
from tightbound.report.formatting import count, plural, significant
from tightbound.report.grids import heat, is_constant, to_rgba
from tightbound.report.pictures import Array, Pictures, Pipeline

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points. Together the columns are as wide as a chart.
_TILE = 58.0
_TALLEST = 80.0
_GAP = 9.0
_TICKS = 22.0  # left of the bars
_ARROW = 18.0
_HEAD = 20.0
_FOOT = 34.0
_INNER = 0.85  # of the bars' axis carries numbers
_USUAL, _FAR = 0.995, 2.0  # the scale ends at this quantile of the uncertainty if the largest is so many times that

Column = tuple[str, Array]  # heading, images as (n, H, W, 4)


def pipelines(pictures: Pictures | None) -> list[Exhibit]:
    """One exhibit of held-out images and one of prior samples, as far as they are known."""
    if pictures is None:
        return []
    exhibits = []
    if pictures.encoded is not None:
        exhibits.append(_encoded(pictures.encoded, pictures.split))
    if pictures.generated is not None:
        exhibits.append(_generated(pictures.generated))
    return exhibits


def _encoded(rows: Pipeline, split: str) -> Exhibit:
    before = [] if rows.originals is None else [("image", to_rgba(rows.originals))]
    how = f"the mean of {rows.mean_samples} samples" if rows.mean_samples else "closed form"
    caption = (
        f"From left to right: {_article(split)} {split} image; z, the posterior mean of every latent unit ({how}) with "
        f"one standard deviation to both sides; the mean of every pixel there. {_band(rows)} {_scale(rows)}"
    )
    return _exhibit("pipeline", "From an image to its reconstruction", caption, rows, before, ["reconstruction"])


def _generated(rows: Pipeline) -> Exhibit:
    caption = (
        "From left to right: z, drawn from the prior; the mean of every pixel there; one sample of the pixels. "
        f"{_band(rows)} {_scale(rows)}"
    )
    return _exhibit("pipeline_prior", "From the prior to a sample", caption, rows, [], ["mean"])


def _article(split: str) -> str:
    return "an" if split[:1] in "aeiou" else "a"


def _band(rows: Pipeline) -> str:
    shown, all_units = len(rows.units), rows.z.shape[1]
    truncated = f" Shown are the {count(shown)} of {plural(all_units, 'unit')} that vary most."
    text = "Gray band: one standard deviation of the prior."
    return text + (truncated if shown < all_units else "")


def _scale(rows: Pipeline) -> str:
    if is_constant(rows.std):
        scale = significant(float(rows.std.mean()))
        return f"Every pixel has the same uncertainty: noise scale σ = {scale}, pixels in 0 to 1."
    top, largest = _range(rows)
    beyond = "" if top == largest else f"; a few pixels are beyond, up to {significant(largest, 2)}"
    return (
        "Uncertainty: the standard deviation of every pixel that the likelihood states, on one scale from 0 to "
        f"{significant(top, 2)} for all rows, pixels in 0 to 1{beyond}."
    )


def _range(rows: Pipeline) -> tuple[float, float]:
    """Where the color scale ends, and the largest value: the same, unless a few pixels are far above all others."""
    values = rows.std.mean(1)
    usual, largest = float(np.quantile(values, _USUAL)), float(values.max())
    return (usual, largest) if largest > _FAR * usual > 0 else (largest, largest)


def _exhibit(
    name: str,
    title: str,
    caption: str,
    rows: Pipeline,
    before: Sequence[Column],
    decoded: Sequence[str],
) -> Exhibit:
    top, _ = _range(rows)
    after = [(heading, to_rgba(rows.mean)) for heading in decoded]
    if rows.samples is not None:
        after.append(("sample", to_rgba(rows.samples)))
    mapped = not is_constant(rows.std)
    if mapped:
        after.append(("uncertainty", heat(rows.std, top)))
    n, (height, width) = len(rows.z), rows.mean.shape[2:]
    tall = min(_TILE * height / width, _TALLEST)
    tops = [_HEAD + row * (tall + _GAP) for row in range(n)]
    total = tops[-1] + tall + _FOOT

    def draw(figure: Figure) -> None:
        axes, left = sheet(figure), 0.0
        for column in before:
            _images(axes, column, left, tops, tall)
            _arrows(axes, left + _TILE, tops, tall)
            left += _TILE + _ARROW
        left += _TICKS
        bars = WIDTH * POINTS - left - _ARROW - len(after) * (_TILE + _GAP) + _GAP
        write(axes, left + bars / 2, _HEAD / 2, "z" if rows.z_std is None else "z, mean ± std")
        _bars(figure, rows, left, bars, tops, tall)
        left += bars
        _arrows(axes, left, tops, tall)
        left += _ARROW
        for column in after:
            _images(axes, column, left, tops, tall)
            left += _TILE + _GAP
        if mapped:
            _color_scale(axes, top, left - _TILE - _GAP, total - _FOOT + 6)

    alt = f"{plural(n, 'row')} of pictures. {caption}"
    return composed(name, title, caption, alt, draw, size=(WIDTH, total / POINTS))


def _images(axes: Axes, column: Column, left: float, tops: Sequence[float], tall: float) -> None:
    heading, tiles = column
    wide = min(_TILE, tall * tiles.shape[2] / tiles.shape[1])
    write(axes, left + _TILE / 2, _HEAD / 2, heading)
    for top, tile in zip(tops, tiles, strict=True):
        paste(axes, tile, left + (_TILE - wide) / 2, top, wide, tall)


def _arrows(axes: Axes, left: float, tops: Sequence[float], tall: float) -> None:
    for top in tops:
        write(axes, left + _ARROW / 2, top + tall / 2, "→", fontsize=12)


def _bars(figure: Figure, rows: Pipeline, left: float, width: float, tops: Sequence[float], tall: float) -> None:
    from matplotlib.ticker import MaxNLocator

    low, high = _limits(rows)
    ticks = _ticks(low, high)
    for row, top in enumerate(tops):
        axes = place(figure, left, top, width, tall)
        _bars_of(axes, rows, row)
        axes.set_ylim(low, high)
        axes.set_yticks(ticks, [significant(tick, 1) for tick in ticks])
        axes.tick_params(labelsize=SMALL, pad=2)
        last = row == len(rows.z) - 1
        axes.spines["bottom"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        axes.tick_params(axis="x", length=0, labelbottom=last and len(rows.units) == rows.z.shape[1])
        if last:
            axes.set_xlabel(_units_named(rows), fontsize=SMALL, labelpad=1)


def _units_named(rows: Pipeline) -> str:
    shown, known = len(rows.units), rows.z.shape[1]
    return "latent unit" if shown == known else f"{count(shown)} of {plural(known, 'latent unit')}"


def _limits(rows: Pipeline) -> tuple[float, float]:
    """All that is drawn in any row, and two standard deviations of the prior."""
    z, units = rows.z[:, rows.units], rows.units
    reach = 0.0 if rows.z_std is None else rows.z_std[:, units]
    mean, std = rows.prior_mean[units], 2 * rows.prior_std[units]
    low = min(float((z - reach).min()), float((mean - std).min()))
    high = max(float((z + reach).max()), float((mean + std).max()))
    return 1.2 * min(low, 0.0), 1.2 * max(high, 0.0)  # room for the ticks' numbers


def _ticks(low: float, high: float) -> list[float]:
    """Zero and one round number to each side, not so far out that they meet those of the next row."""
    reach = _INNER * max(-low, high)
    scale = 10.0 ** math.floor(math.log10(reach))
    size = max(scale * digit for digit in (1, 2, 5) if scale * digit <= reach)
    return [tick for tick in (-size, 0.0, size) if _INNER * low <= tick <= _INNER * high]


def _bars_of(axes: Axes, rows: Pipeline, row: int) -> None:
    """Bars from zero with whiskers, over the prior's band; a line between latent groups."""
    units = rows.units
    places = np.arange(len(units))
    edges = np.arange(len(units) + 1) - 0.5
    low, high = (rows.prior_mean[units] + sign * rows.prior_std[units] for sign in (-1, 1))
    axes.fill_between(
        edges, np.append(low, low[-1]), np.append(high, high[-1]), step="post", color=FAINT, alpha=0.35, lw=0
    )
    axes.axhline(0, color=FAINT, lw=0.8)
    z = rows.z[row, units]
    axes.bar(places, z, width=0.7, color=BLUE)
    if rows.z_std is not None:
        std = rows.z_std[row, units]
        axes.vlines(places, z - std, z + std, color=INK, lw=min(1.1, 40 / len(units)))
    for boundary in np.searchsorted(units, np.cumsum(rows.groups)[:-1]):
        axes.axvline(boundary - 0.5, color=MUTED, lw=0.8)
    axes.set_xlim(edges[0], edges[-1])


def _color_scale(axes: Axes, top: float, left: float, upper: float) -> None:
    paste(axes, heat(np.linspace(0, 1, 64).reshape(1, 1, 1, 64), 1.0)[0], left, upper, _TILE, 5)
    write(axes, left, upper + 13, "0", ha="left")
    write(axes, left + _TILE, upper + 13, significant(top, 2), ha="right")
