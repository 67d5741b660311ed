"""Correlations of the latent units under the posterior, where it is not factorized."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import POINTS, WIDTH, Exhibit, composed, paste, sheet, write
from tightbound.report.formatting import MINUS, fixed, plural
from tightbound.report.pictures import Array, Pictures

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Zero is transparent, so that it is the page's own color, light or dark; both ends stand out on either.
_NEGATIVE, _POSITIVE, _DIAGONAL = (58, 134, 204), (226, 108, 32), (128, 136, 146)
_SQUARE = 150.0  # points
_LEFT = 22.0
_HEAD = 20.0
_FOOT = 54.0
_BAR = 170.0


def correlation_maps(pictures: Pictures | None) -> Exhibit | None:
    """The mean size over images beside one image's own; None where the posterior is factorized."""
    if pictures is None or pictures.correlations is None or len(pictures.correlations.example) < 2:
        return None
    found = pictures.correlations
    apart = ~np.eye(len(found.example), dtype=bool)
    largest = max(float(np.abs(matrix[apart]).max()) for matrix in (found.mean_absolute, found.example))
    top = max(0.1, math.ceil(10 * largest - 1e-6) / 10)
    images = plural(found.images, f"{pictures.split} image")
    maps = [(f"mean size over {images}", found.mean_absolute), (f"{pictures.split} image 0", found.example)]
    apart_mean = float(found.mean_absolute[apart].mean())

    def draw(figure: Figure) -> None:
        axes = sheet(figure)
        for i, (heading, matrix) in enumerate(maps):
            left = _LEFT if i == 0 else WIDTH * POINTS - _SQUARE
            write(axes, left + _SQUARE / 2, _HEAD / 2, heading)
            paste(axes, diverging(matrix, top), left, _HEAD, _SQUARE, _SQUARE)
            _units(axes, len(matrix), left)
        left, upper = (WIDTH * POINTS - _BAR) / 2, _HEAD + _SQUARE + 28
        paste(axes, diverging(np.linspace(-top, top, 129)[None], top, diagonal=False), left, upper, _BAR, 7)
        for place, number in ((0, f"{MINUS}{top:.1f}"), (0.5, "0"), (1, f"{top:.1f}")):
            write(axes, left + place * _BAR, upper + 15, number)

    caption = (
        f"Correlations of the latent units under q(z | x): left their mean absolute value, {fixed(apart_mean)} on "
        "average over pairs of units, right those of one image with their sign. The diagonal is 1 and left gray."
    )
    size = (WIDTH, (_HEAD + _SQUARE + _FOOT) / POINTS)
    alt = f"Two heat maps, {len(found.example)} by {len(found.example)} units. {caption}"
    return composed("correlations", "Correlations of the posterior", caption, alt, draw, size=size)


def _units(axes: Axes, units: int, left: float) -> None:
    """At most eight numbers of units at each side."""
    for unit in range(0, units, math.ceil(units / 8)):
        middle = (unit + 0.5) * _SQUARE / units
        write(axes, left - 5, _HEAD + middle, str(unit), ha="right")
        write(axes, left + middle, _HEAD + _SQUARE + 8, str(unit))


def diverging(values: Array, top: float, *, diagonal: bool = True) -> Array:
    """(h, w) -> (h, w, 4) uint8: blue below zero, orange above, the more opaque the larger; ±``top`` is opaque."""
    strength = np.clip(np.abs(np.nan_to_num(values)) / top, 0, 1)
    colors = np.where((values < 0)[..., None], _NEGATIVE, _POSITIVE)
    pixels = np.concatenate([colors, np.rint(255 * strength)[..., None]], axis=-1).astype(np.uint8)
    if diagonal:
        np.einsum("iij->ij", pixels)[:] = (*_DIAGONAL, 110)
    return pixels
