"""Image grids as arrays of pixels: transparent gaps, so that they sit on light and dark pages alike."""

from __future__ import annotations

import io

import numpy as np

from tightbound.report.pictures import Array

# Ten stops of matplotlib's "inferno": perceptually uniform, fit for color blindness. The color bar has the same.
HEAT = ("#000004", "#1b0c41", "#4a0c6b", "#781c6d", "#a52c60", "#cf4446", "#ed6925", "#fb9b06", "#f7d13d", "#fcffa4")
_ROUNDING = 1e-5  # of float32: no value is outside by less


def to_rgba(images: Array) -> Array:
    """(n, C, H, W) in [0, 1] -> (n, H, W, 4) uint8. One channel is gray, three are RGB, others are averaged to gray."""
    pixels = np.rint(np.clip(np.nan_to_num(images), 0, 1) * 255).astype(np.uint8)
    if images.shape[1] not in (1, 3):
        mean = np.clip(np.nan_to_num(images), 0, 1).mean(1, keepdims=True)
        pixels = np.rint(mean * 255).astype(np.uint8)
    colors = np.broadcast_to(pixels, (len(pixels), 3, *pixels.shape[2:])).transpose(0, 2, 3, 1)
    return _opaque(colors)


def heat(maps: Array, top: float) -> Array:
    """(n, C, H, W), averaged over channels -> (n, H, W, 4) uint8: 0 is black, ``top`` and above pale yellow."""
    stops = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in HEAT], dtype=float)
    scaled = np.clip(np.nan_to_num(maps.mean(1)) / (top or 1.0), 0, 1) * (len(stops) - 1)
    channels = [np.interp(scaled, np.arange(len(stops)), stops[:, channel]) for channel in range(3)]
    return _opaque(np.rint(np.stack(channels, axis=-1)).astype(np.uint8))


def cut_note(*images: Array) -> str:
    """Words for a caption where ``to_rgba`` cuts some of these values, else none."""
    beyond = any(((shown < -_ROUNDING) | (shown > 1 + _ROUNDING)).any() for shown in images)
    return " (values outside 0 to 1 are cut)" if beyond else ""


def is_constant(values: Array) -> bool:
    """Whether every value is the same, up to the rounding of float32."""
    return bool(np.ptp(values) <= 1e-5 * np.abs(values).max())


def _opaque(colors: Array) -> Array:
    return np.concatenate([colors, np.full((*colors.shape[:3], 1), 255, np.uint8)], axis=-1)


def grid(tiles: Array, columns: int, gap: int) -> Array:
    """(n, H, W, 4) -> one image (rows·(H + gap) − gap, columns·(W + gap) − gap, 4); tile i is in row i // columns."""
    n, height, width, _ = tiles.shape
    rows = -(-n // columns)
    canvas = np.zeros((rows * (height + gap) - gap, columns * (width + gap) - gap, 4), np.uint8)
    for i, tile in enumerate(tiles):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def stack(parts: list[Array], gap: int) -> Array:
    """Images of equal width one above the other, ``gap`` transparent lines between."""
    between = np.zeros((gap, parts[0].shape[1], 4), np.uint8)
    return np.concatenate([piece for part in parts for piece in (part, between)][:-1], axis=0)


def enlarge(image: Array, factor: int) -> Array:
    """Every pixel becomes a square of factor × factor."""
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def png(image: Array, *, small: bool = False) -> bytes:
    """(H, W, 4) uint8 as a PNG file; ``small`` takes more time for fewer bytes."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=small)
    return buffer.getvalue()
