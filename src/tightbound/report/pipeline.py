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
from tightbound.report.formatting import count, plural, significant, with_article
from tightbound.report.grids import cut_note, heat, is_constant, to_rgba
from tightbound.report.pictures import Array, Pictures, Pipeline
from tightbound.report.uncertainty import Scale, in_words, one_each, page_scale

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
_SIGMA = 12.0  # below a map of one σ
_PARTED = 4  # most latent groups with lines between them

Column = tuple[str, Array]  # heading, images as (n, H, W, 4)


def pipelines(pictures: Pictures | None) -> list[Exhibit]:
    """One exhibit of held-out images and one of prior samples, as far as they are known."""
    if pictures is None:
        return []
    scale = page_scale(pictures)
    exhibits = []
    if pictures.encoded is not None:
        exhibits.append(_encoded(pictures.encoded, pictures.split, scale))
    if pictures.generated is not None:
        exhibits.append(_generated(pictures.generated, scale))
    return exhibits


def _encoded(rows: Pipeline, split: str, scale: Scale) -> Exhibit:
    before = [] if rows.originals is None else [("image", to_rgba(rows.originals))]
    how = f"the mean over {rows.mean_samples} samples" if rows.mean_samples else "closed form"
    caption = (
        f"From left to right: {with_article(split)} image; z, the posterior mean of every latent unit ({how}) with "
        f"one standard deviation to both sides; the mean of every pixel there{cut_note(rows.mean)}. "
        f"{_band(rows)} {in_words(rows.std, scale)}"
    )
    title = "From an image to its reconstruction"
    return _exhibit("pipeline", title, caption, rows, before, ["reconstruction"], scale)


def _generated(rows: Pipeline, scale: Scale) -> Exhibit:
    cut = cut_note(rows.mean, *([] if rows.samples is None else [rows.samples]))
    caption = (
        "From left to right: z, drawn from the prior; the mean of every pixel there; one sample of the pixels"
        f"{cut}. {_band(rows)} {in_words(rows.std, scale)}"
    )
    return _exhibit("pipeline_prior", "From the prior to a sample", caption, rows, [], ["mean"], scale)


def _band(rows: Pipeline) -> str:
    shown, all_units = len(rows.units), rows.z.shape[1]
    truncated = f" Shown are the {count(shown)} of {plural(all_units, 'unit')} that vary most."
    text = "Gray band: one standard deviation of the prior."
    return text + (truncated if shown < all_units else "") + _layers_named(len(rows.groups))


def _layers_named(groups: int) -> str:
    if groups == 1:
        return ""
    parted = groups <= _PARTED
    return f" {'Lines part the layers' if parted else 'Units are sorted by layer'}, the top one at the left."


def _exhibit(
    name: str,
    title: str,
    caption: str,
    rows: Pipeline,
    before: Sequence[Column],
    decoded: Sequence[str],
    scale: Scale,
) -> Exhibit:
    after = [(heading, to_rgba(rows.mean)) for heading in decoded]
    if rows.samples is not None:
        after.append(("sample", to_rgba(rows.samples)))
    mapped = not is_constant(rows.std)
    if mapped:
        after.append(("uncertainty", heat(rows.std, scale.top)))
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
        for heading, tiles in after:
            below = one_each(rows.std) if heading == "uncertainty" else None
            _images(axes, (heading, tiles), left, tops, tall, below)
            left += _TILE + _GAP
        if mapped:
            _color_scale(axes, scale.end, left - _TILE - _GAP, total - _FOOT + 6)

    alt = f"{plural(n, 'row')} of pictures. {caption}"
    return composed(name, title, caption, alt, draw, size=(WIDTH, total / POINTS))


def _images(
    axes: Axes, column: Column, left: float, tops: Sequence[float], tall: float, below: Sequence[str] | None = None
) -> None:
    """A column of images, each with a few words below it if they are given."""
    heading, tiles = column
    write(axes, left + _TILE / 2, _HEAD / 2, heading)
    high = tall if below is None else tall - _SIGMA
    wide = min(_TILE, high * tiles.shape[2] / tiles.shape[1])
    for row, (top, tile) in enumerate(zip(tops, tiles, strict=True)):
        paste(axes, tile, left + (_TILE - wide) / 2, top, wide, high)
        if below is not None:
            write(axes, left + _TILE / 2, top + high + _SIGMA / 2, below[row])


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
    """Bars from zero with whiskers, over the prior's band; a line between latent groups, if they are few."""
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
    for boundary in np.searchsorted(units, np.cumsum(rows.groups)[:-1]) if len(rows.groups) <= _PARTED else ():
        axes.axvline(boundary - 0.5, color=MUTED, lw=0.8)
    axes.set_xlim(edges[0], edges[-1])


def _color_scale(axes: Axes, end: str, left: float, upper: float) -> None:
    paste(axes, heat(np.linspace(0, 1, 64).reshape(1, 1, 1, 64), 1.0)[0], left, upper, _TILE, 5)
    write(axes, left, upper + 13, "0", ha="left")
    write(axes, left + _TILE, upper + 13, end, ha="right")
