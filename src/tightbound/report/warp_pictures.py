"""Images before and after a warp, with a grid that shows where it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import ORANGE, POINTS, WIDTH, Exhibit, composed, paste, sheet, write
from tightbound.report.formatting import plural, with_article
from tightbound.report.grids import cut_note, to_rgba
from tightbound.report.pictures import Array
from tightbound.report.walk_grids import traversal_grid
from tightbound.report.warp_arrays import Warps

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points.
_TILE = 60.0
_TALLEST = 84.0
_GAP = 8.0
_HEAD = 20.0
_MARGIN = 2.0
_LINES = np.linspace(-1, 1, 5)  # of the grid, across and down
_LINE_WIDTH = 0.9
_INSIDE = 1 - 1e-4  # an outermost line that stays in its place has pixels on one side only, and would not be drawn


def warp_exhibits(warps: Warps | None) -> list[Exhibit]:
    """Before and after, along the units of where, and along those of what; nothing of a decoder that does not warp."""
    if warps is None:
        return []
    return [before_and_after_rows(warps), traversal_grid(warps.where), traversal_grid(warps.what)]


def before_and_after_rows(warps: Warps) -> Exhibit:
    """A row an image: the image, without and with the warp, and the grid on either."""
    before, after = to_rgba(warps.before), to_rgba(warps.after)
    columns = [("before the warp", before), ("after", after), ("grid before", before), ("grid after", after)]
    if warps.originals is not None:
        columns.insert(0, ("image", to_rgba(warps.originals)))
    n, height, width, _ = before.shape
    tall = min(_TILE * height / width, _TALLEST)
    wide = tall * width / height
    pitch = (WIDTH * POINTS - 2 * _MARGIN - _TILE) / max(len(columns) - 1, 1)

    def draw(figure: Figure) -> None:
        axes = sheet(figure)
        for column, (heading, tiles) in enumerate(columns):
            left = _MARGIN + column * pitch + (_TILE - wide) / 2
            write(axes, left + wide / 2, _HEAD / 2, heading)
            for row, tile in enumerate(tiles):
                place = (left, _HEAD + row * (tall + _GAP), wide, tall)
                paste(axes, tile, *place)
                if heading == "grid before":
                    _straight(axes, (height, width), *place)
                elif heading == "grid after":
                    _bent(axes, warps.places[row], *place)

    start = f"{with_article(warps.split)} image; " if warps.originals is not None else ""
    at = "its posterior mean" if warps.originals is not None else "samples of the prior"
    caption = (
        f"From left to right: {start}the mean of every pixel at {at}, before the warp, which the units of what decide "
        f"alone; the same after the warp, which the units of where decide{cut_note(warps.before, warps.after)}; a "
        "square grid on the image before the warp, and where the warp takes its lines. Images before the warp need not "
        "be upright: a turn that all of them have in common costs nothing."
    )
    alt = f"{plural(n, 'row')} of {plural(len(columns), 'image')}. {caption}"
    size = (WIDTH, (_HEAD + n * (tall + _GAP)) / POINTS)
    return composed("warps", "What is seen, and where", caption, alt, draw, size=size)


def _straight(axes: Axes, pixels: tuple[int, int], left: float, top: float, width: float, height: float) -> None:
    """The lines of the grid on an image of (H, W) pixels."""
    x, y = (_points(_LINES, n, start, side) for n, start, side in _sides(pixels, left, top, width, height))
    axes.vlines(x, y[0], y[-1], color=ORANGE, lw=_LINE_WIDTH)
    axes.hlines(y, x[0], x[-1], color=ORANGE, lw=_LINE_WIDTH)


def _bent(axes: Axes, places: Array, left: float, top: float, width: float, height: float) -> None:
    """The same lines after the warp: the pixels that are read from them."""
    rows, columns = places.shape[:2]
    if min(rows, columns) < 2:
        return
    x, y = (
        _points(np.linspace(-1, 1, n), n, start, side)
        for n, start, side in _sides((rows, columns), left, top, width, height)
    )
    for axis in (0, 1):
        read = places[..., axis]
        levels = [line for line in _LINES * _INSIDE if read.min() <= line <= read.max()]
        if levels and np.ptp(read):
            style = {"colors": [ORANGE], "linewidths": _LINE_WIDTH, "linestyles": "solid"}
            axes.contour(x, y, read, levels=levels, **style)


def _sides(
    pixels: tuple[int, int], left: float, top: float, width: float, height: float
) -> tuple[tuple[int, float, float], tuple[int, float, float]]:
    """Across and down: how many pixels, from where, how far."""
    return (pixels[1], left, width), (pixels[0], top, height)


def _points(coordinates: Array, pixels: int, start: float, side: float) -> Array:
    """Coordinates from −1 to 1 between the outermost pixels' centers, as points of the sheet."""
    return start + side * ((coordinates + 1) / 2 * (pixels - 1) + 0.5) / pixels
