"""Thin-plate splines in the plane (Bookstein 1989): the map of least bending with given values at given points."""

from __future__ import annotations

import torch
from torch import Tensor


def control_points(grid: int) -> Tensor:
    """(grid², 2) in float64: a regular grid on [−1, 1]², row by row, (x, y)."""
    axis = torch.linspace(-1, 1, grid, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack((x, y), dim=-1).flatten(0, 1)


def interpolation(control: Tensor, points: Tensor, regularization: float = 0.0) -> Tensor:
    """The matrix (m, n) from values at n control points to the spline's values at m points.

    f(p) = a_0 + a_1 x + a_2 y + Σ_i w_i U(|p − c_i|) with U(r) = r² log r², where

        (K + λI) w + P a = v,   Pᵀ w = 0,   K_ij = U(|c_i − c_j|),   P = (1, x, y).

    At λ = 0 the spline takes the values v at the control points; λ > 0 lets it miss them for less bending. Affine maps
    bend nothing and are reproduced whatever λ is. Solved in float64: of float32 three digits would be lost.

    Args:
        control: (n, 2), not all on one line.
        points: (m, 2).
        regularization: λ.
    """
    n = len(control)
    plane = _plane(control)
    system = control.new_zeros(n + 3, n + 3)
    system[:n, :n] = _kernel(control, control) + regularization * torch.eye(n, dtype=control.dtype)
    system[:n, n:], system[n:, :n] = plane, plane.T
    coefficients = torch.linalg.solve(system, torch.eye(n + 3, n, dtype=control.dtype))
    return torch.cat((_kernel(points, control), _plane(points)), dim=1) @ coefficients


def _kernel(points: Tensor, control: Tensor) -> Tensor:
    """U of all distances, (m, n); U(0) = 0."""
    squares = (points.unsqueeze(1) - control).square().sum(-1)
    return torch.special.xlogy(squares, squares)


def _plane(points: Tensor) -> Tensor:
    return torch.cat((torch.ones_like(points[:, :1]), points), dim=1)
