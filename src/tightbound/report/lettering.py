"""A few words beside the images of a PNG file, which has no page around it to say them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.grids import enlarge
from tightbound.report.pictures import Array

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_GRAY = (128, 136, 146, 255)  # read on white and on black
_SMALLEST = 9  # pixels
_LINE = 1.35  # of the font's size
_HEADING = 16  # pixels


def lettered(tiles: Array, texts: Sequence[Sequence[str]], factor: int) -> Array:
    """Tiles (n, H, W, 4), enlarged by ``factor``, each with its lines of text below: (n, H′, W·factor, 4).

    The letters are as large as the longest line allows.
    """
    from PIL import Image, ImageDraw

    large = np.stack([enlarge(tile, factor) for tile in tiles])
    size = _fitting([line for lines in texts for line in lines], large.shape[2])
    pitch = round(_LINE * size)
    strip = np.zeros((len(large), pitch * max(len(lines) for lines in texts), large.shape[2], 4), np.uint8)
    font = _font(size)
    for i, lines in enumerate(texts):
        image = Image.fromarray(strip[i])
        draw = ImageDraw.Draw(image)
        for row, line in enumerate(lines):
            draw.text((large.shape[2] / 2, (row + 0.5) * pitch), line, fill=_GRAY, font=font, anchor="mm")
        strip[i] = np.array(image)
    return np.concatenate([large, strip], axis=1)


def headed(image: Array, text: str) -> Array:
    """An image (H, W, 4) with a line of text above its left edge: (H′, W, 4)."""
    from PIL import Image, ImageDraw

    size = max(_SMALLEST, int(min(_HEADING, _HEADING * image.shape[1] / max(_font(_HEADING).getlength(text), 1.0))))
    strip = Image.fromarray(np.zeros((round(1.6 * size), image.shape[1], 4), np.uint8))
    ImageDraw.Draw(strip).text((0, 0.7 * size), text, fill=_GRAY, font=_font(size), anchor="lm")
    return np.concatenate([np.array(strip), image])


def _fitting(lines: Sequence[str], width: int) -> int:
    """The size in which the longest line fits, an eighth of the width at most."""
    at_100 = max(_font(100).getlength(line) for line in lines)
    return max(_SMALLEST, int(min(width / 8, 100 * width / max(at_100, 1.0))))


def _font(size: int) -> FreeTypeFont:
    """The font that matplotlib brings along: it has σ, ± and −."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), size)
