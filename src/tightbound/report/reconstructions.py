"""Held-out images over their reconstructions over the uncertainty of every pixel."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tightbound.report.exhibit import Exhibit
from tightbound.report.grids import HEAT, cut_note, enlarge, grid, heat, is_constant, png, stack, to_rgba
from tightbound.report.images import columns_for, enlargement, gap_for, image_tag, strip
from tightbound.report.lettering import lettered
from tightbound.report.pictures import Array, Pictures
from tightbound.report.uncertainty import Scale, in_words, one_each, page_scale

_BLOCKS = 2


class _Row(NamedTuple):
    """A labeled row of images (n, H, W, 4), with a word below each or none."""

    label: str
    tiles: Array
    words: Sequence[str] | None = None


def reconstruction_rows(pictures: Pictures | None) -> Exhibit | None:
    """Blocks of three labeled rows; None without held-out images."""
    if pictures is None or pictures.originals is None or pictures.reconstructions is None:
        return None
    columns = columns_for(pictures.originals)
    images = pictures.originals[: _BLOCKS * columns]
    means = pictures.reconstructions[: len(images)]
    kinds = [_Row(f"{pictures.split} image", to_rgba(images)), _Row("reconstruction", to_rgba(means))]
    caption = f"Reconstruction: the mean of every pixel at one posterior sample of z{cut_note(means)}."
    bar = ""
    if pictures.uncertainty is not None:
        maps, scale = pictures.uncertainty[: len(images)], page_scale(pictures)
        caption += f" {in_words(maps, scale)}"
        if not is_constant(maps):
            kinds.append(_Row("uncertainty", heat(maps, scale.top), one_each(maps)))
            bar = _color_bar(scale)
    starts = range(0, len(images), columns)
    blocks = [[_part(row, start, columns) for row in kinds] for start in starts]
    markup = "".join(_block(block, images, columns) for block in blocks) + bar
    file = png(_file(blocks, images, columns))
    return Exhibit("reconstructions", "Reconstructions", caption, markup, file, wide=True)


def _part(row: _Row, start: int, columns: int) -> _Row:
    """At most ``columns`` images of a row; fewer at its end, which then keeps its width."""
    tiles = row.tiles[start : start + columns]
    missing = columns - len(tiles)
    words = None if row.words is None else [*row.words[start : start + columns], *(missing * [""])]
    empty = np.zeros((missing, *tiles.shape[1:]), np.uint8)
    return _Row(row.label, np.concatenate([tiles, empty]), words)


def _file(blocks: Sequence[Sequence[_Row]], images: Array, columns: int) -> Array:
    """All blocks, one above the other, as the picture in ``figures/``."""
    factor = enlargement(images)
    gap = factor * gap_for(images)
    return stack([stack([_large(row, factor, gap, columns) for row in block], gap) for block in blocks], 3 * gap)


def _large(row: _Row, factor: int, gap: int, columns: int) -> Array:
    if row.words is not None:
        return grid(lettered(row.tiles, [[word] for word in row.words], factor), columns, gap)
    return grid(np.stack([enlarge(tile, factor) for tile in row.tiles]), columns, gap)


def _block(block: Sequence[_Row], images: Array, columns: int) -> str:
    return f'<div class="block">{"".join(_strip(row, images, columns) for row in block)}</div>'


def _strip(row: _Row, images: Array, columns: int) -> str:
    canvas = grid(row.tiles, columns, gap_for(images))
    tag = image_tag(canvas, images, f"Row of images: {row.label}.", tile=84)
    if row.words is not None:
        words = "".join(f"<span>{html.escape(word)}</span>" for word in row.words)
        tag = f'<div class="worded" style="--columns: {columns}">{tag}<div>{words}</div></div>'
    return strip(row.label, tag)


def _color_bar(scale: Scale) -> str:
    colors = ", ".join(HEAT)
    return (
        '<div class="color-bar"><span>0</span>'
        f'<span class="ramp" style="background: linear-gradient(to right, {colors})"></span>'
        f"<span>{scale.end}</span><span>standard deviation, pixels in 0 to 1</span></div>"
    )
