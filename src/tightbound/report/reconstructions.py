"""Held-out images over their reconstructions over the uncertainty of every pixel."""

from __future__ import annotations

import html

import numpy as np

from tightbound.report.exhibit import Exhibit
from tightbound.report.formatting import significant
from tightbound.report.grids import HEAT, enlarge, grid, heat, is_constant, png, stack, to_rgba
from tightbound.report.images import columns_for, enlargement, gap_for, image_tag
from tightbound.report.pictures import Array, Pictures

_BLOCKS = 2


def reconstruction_rows(pictures: Pictures | None) -> Exhibit | None:
    """Blocks of three labeled rows; None without held-out images."""
    if pictures is None or pictures.originals is None or pictures.reconstructions is None:
        return None
    images = pictures.originals
    columns, gap = columns_for(images), gap_for(images)
    images = images[: _BLOCKS * columns]
    top = 0.0 if pictures.uncertainty is None else float(pictures.uncertainty.mean(1).max())
    kinds = [
        (f"{pictures.split} image", to_rgba(images)),
        ("reconstruction", to_rgba(pictures.reconstructions[: len(images)])),
    ]
    varied = pictures.uncertainty is not None and not is_constant(pictures.uncertainty)
    if pictures.uncertainty is not None and varied:
        kinds.append(("uncertainty", heat(pictures.uncertainty[: len(images)], top)))
    blocks = [
        [(label, grid(_padded(tiles[start : start + columns], columns), columns, gap)) for label, tiles in kinds]
        for start in range(0, len(images), columns)
    ]
    markup = "".join(_block(block, images) for block in blocks)
    whole = stack([stack([row for _, row in block], gap) for block in blocks], 3 * gap)
    caption = "Reconstruction: the mean of every pixel at one posterior sample of z."
    if varied:
        markup += _color_bar(top)
        caption += " Uncertainty: the standard deviation of every pixel that the likelihood states there."
    elif pictures.uncertainty is not None:
        caption += f" Every pixel has the same uncertainty: noise scale σ = {significant(top)}, pixels in 0 to 1."
    file = png(enlarge(whole, enlargement(images)))
    return Exhibit("reconstructions", "Reconstructions", caption, markup, file, wide=True)


def _padded(tiles: Array, columns: int) -> Array:
    """A last row of fewer images keeps the width of the others."""
    return np.concatenate([tiles, np.zeros((columns - len(tiles), *tiles.shape[1:]), np.uint8)])


def _block(block: list[tuple[str, Array]], images: Array) -> str:
    rows = "".join(
        f'<div class="strip"><span class="strip-label" aria-hidden="true">{html.escape(label)}</span>'
        f"{image_tag(row, images, f'Row of images: {label}.', tile=84)}</div>"
        for label, row in block
    )
    return f'<div class="block">{rows}</div>'


def _color_bar(top: float) -> str:
    colors = ", ".join(HEAT)
    return (
        '<div class="color-bar"><span>0</span>'
        f'<span class="ramp" style="background: linear-gradient(to right, {colors})"></span>'
        f"<span>{significant(top, 2)}</span><span>standard deviation, pixels in 0 to 1</span></div>"
    )
