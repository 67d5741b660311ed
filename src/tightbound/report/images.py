"""How images are laid out in the page: columns, gaps, size on screen, the tag itself."""

from __future__ import annotations

import base64
import html

from tightbound.report.grids import png
from tightbound.report.pictures import Array

_TILE = 58  # wished width of one image on screen, CSS pixels
_SMALL = 64  # images up to this width are shown with square pixels, larger ones smoothly


def columns_for(images: Array) -> int:
    """Images in a row: fewer where they are large."""
    return 8 if images.shape[-1] <= _SMALL else 4


def gap_for(images: Array) -> int:
    """Pixels between images, a sixteenth of their width."""
    return max(1, images.shape[-1] // 16)


def enlargement(images: Array) -> int:
    """How many times larger the PNG file is than the page's, so that it can be looked at by itself."""
    return max(1, -(-128 // images.shape[-1]))


def image_tag(canvas: Array, images: Array, alt: str, *, tile: int = _TILE) -> str:
    """An <img> with its pixels inside the page.

    Args:
        canvas: (H, W, 4) uint8.
        images: what it is made of, (n, C, H, W): decides on size and smoothing.
        alt: its description; empty for a decoration.
        tile: wished width of one image, CSS pixels.
    """
    scale = max(1, round(tile / images.shape[-1])) if images.shape[-1] <= _SMALL else 1
    kind = "pixels" if images.shape[-1] <= _SMALL else "smooth"
    data = base64.b64encode(png(canvas, small=True)).decode()
    height, width = canvas.shape[:2]
    return (
        f'<img class="{kind}" src="data:image/png;base64,{data}" alt="{html.escape(alt, quote=True)}" '
        f'width="{width * scale}" height="{height * scale}">'
    )


def strip(label: str, tag: str) -> str:
    """A picture with a label beside it, or above it where there is no room; the picture's own words say the same."""
    return f'<div class="strip"><span class="strip-label" aria-hidden="true">{html.escape(label)}</span>{tag}</div>'
