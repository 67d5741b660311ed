"""Sprites of squares, triangles and ellipses, drawn by what their outlines are."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping

import numpy as np

SIDE = 18  # pixels of a sprite's frame, which every shape fits into however it is turned
SHAPES = ("square", "triangle", "ellipse")
ANGLES = 2 * np.pi / 40 * np.arange(40)
SCALES = np.linspace(0.5, 1, 6)
COLORS = {
    "white": (1, 1, 1),
    "red": (1, 0, 0),
    "green": (0, 1, 0),
    "blue": (0, 0, 1),
    "yellow": (1, 1, 0),
    "magenta": (1, 0, 1),
    "cyan": (0, 1, 1),
}
_RADIUS = SIDE / 2  # of the circle around each shape at scale 1
_FINE = 8  # points along each axis of a pixel at which it is asked whether it is inside


def draw_sprites() -> np.ndarray:
    """All sprites, bool (3 shapes, 40 angles, 6 scales, 7 colors, 3 channels, 18, 18)."""
    outlines = np.stack([[draw_shape(shape, ANGLES, scale) for scale in SCALES] for shape in SHAPES])
    colors = np.array(list(COLORS.values()), bool)
    return outlines.swapaxes(1, 2)[:, :, :, None, None] & colors[:, :, None, None]


def draw_shape(shape: str, angles: np.ndarray, scale: float) -> np.ndarray:
    """A pixel is on where at least half of it is inside: bool (len(angles), 18, 18).

    Args:
        shape: ``square`` with its corners on the circle of radius 9 · scale, ``triangle`` with equal sides and its
            corners there too, or ``ellipse`` with half-axes 9 · scale and half of that.
        angles: in radians, counterclockwise as seen on the screen; at 0 the square's sides are along the axes, a corner
            of the triangle points up, and the ellipse lies.
        scale: 1 fills the frame.
    """
    points = (np.arange(SIDE * _FINE) + 0.5) / _FINE - SIDE / 2
    right, up = points[None, None, :], -points[None, :, None]
    cos, sin = (turn(angles)[:, None, None] for turn in (np.cos, np.sin))
    # A hair more, as points on the outline would be in or out by the rounding of the machine.
    radius = _RADIUS * scale * (1 + 1e-9)
    inside = _INSIDE[shape](cos * right + sin * up, cos * up - sin * right, radius)
    covered = inside.reshape(len(angles), SIDE, _FINE, SIDE, _FINE).sum((2, 4))
    return 2 * covered >= _FINE**2


def _in_square(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= radius / np.sqrt(2)


def _in_triangle(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    """Within radius / 2 of the center along the normals of its three sides, the lowest of which lies."""
    return np.maximum(-v, np.sqrt(3) / 2 * np.abs(u) + v / 2) <= radius / 2


def _in_ellipse(u: np.ndarray, v: np.ndarray, radius: float) -> np.ndarray:
    return u**2 + (2 * v) ** 2 <= radius**2


_INSIDE: Mapping[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "square": _in_square,
    "triangle": _in_triangle,
    "ellipse": _in_ellipse,
}


def sprite_facts() -> dict[str, np.ndarray]:
    """Shape, angle, scale and color of each sprite, in the order of ``draw_sprites``, flattened: (5040) each."""
    rows = itertools.product(range(len(SHAPES)), ANGLES, SCALES, range(len(COLORS)))
    return dict(zip(("shape", "angle", "scale", "color"), np.array(list(rows)).T, strict=True))
