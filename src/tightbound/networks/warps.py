"""Warps of an image: where each of its pixels is read, as an affine function of a few numbers.

A pixel's place is (x, y), from −1 to 1 between the centers of the outermost pixels of each axis (``align_corners`` is
true wherever PyTorch asks). A warp reads the pixel at p from p + Σ_j θ_j d_j(p). The displacements d_j of all pixels
are a fixed matrix, so that a batch of warps is one matrix product; θ = 0 is the identity.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from tightbound.networks.thin_plate import control_points, interpolation

Warp = Literal["translation", "similarity", "affine", "tps"]
Size = tuple[int, int]  # (H, W)

_PARAMETERS: dict[Warp, int] = {"translation": 2, "similarity": 4, "affine": 6}


def num_parameters(warp: Warp, grid: int) -> int:
    """How many numbers θ a warp has; ``grid`` is the control points a side of a thin-plate spline."""
    return 2 * grid**2 if warp == "tps" else _PARAMETERS[warp]


def pixel_places(size: Size) -> Tensor:
    """(H·W, 2) in float64, row by row: (x, y) of every pixel; 0 on an axis of one pixel."""
    height, width = (
        torch.linspace(-1, 1, n, dtype=torch.float64) if n > 1 else torch.zeros(1, dtype=torch.float64) for n in size
    )
    y, x = torch.meshgrid(height, width, indexing="ij")
    return torch.stack((x, y), dim=-1).flatten(0, 1)


def displacements(warp: Warp, size: Size, *, grid: int = 3, regularization: float = 0.0) -> Tensor:
    """(P, H·W, 2) in float64: how far each number θ_j moves the place where a pixel is read.

    =============  ===================================================================================================
    translation    (x, y) + (θ_0, θ_1)
    similarity     ((1 + θ_0) x − θ_1 y + θ_2, θ_1 x + (1 + θ_0) y + θ_3), with θ_1 in pixels: circles stay circles
                   in images of any shape
    affine         (x + θ_0 x + θ_1 y + θ_2, y + θ_3 x + θ_4 y + θ_5)
    tps            the thin-plate spline that moves control point i by (θ_i, θ_{n+i}); see ``thin_plate``
    =============  ===================================================================================================

    Args:
        warp: which.
        size: (H, W).
        grid: control points a side of a thin-plate spline.
        regularization: of it.
    """
    places = pixel_places(size)
    x, y = places.unbind(-1)
    one, none = torch.ones_like(x), torch.zeros_like(x)
    if warp == "tps":
        pixels = torch.tensor(_extent(size), dtype=torch.float64)
        scale = pixels / pixels.max()  # distances are those in pixels, whatever the image's shape
        moved = interpolation(control_points(grid) * scale, places * scale, regularization).T
        return torch.cat((_pairs(moved, torch.zeros_like(moved)), _pairs(torch.zeros_like(moved), moved)))
    if warp == "translation":
        return torch.stack((_pairs(one, none), _pairs(none, one)))
    if warp == "similarity":
        wide, high = _extent(size)
        turned = _pairs(-y * high / wide, x * wide / high)
        return torch.stack((places, turned, _pairs(one, none), _pairs(none, one)))
    return torch.stack([_pairs(v, none) for v in (x, y, one)] + [_pairs(none, v) for v in (x, y, one)])


def _extent(size: Size) -> tuple[float, float]:
    """Pixels from first to last, across and down."""
    height, width = size
    return float(max(width - 1, 1)), float(max(height - 1, 1))


def _pairs(x: Tensor, y: Tensor) -> Tensor:
    return torch.stack((x, y), dim=-1)
