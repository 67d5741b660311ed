"""Warps as matrices of displacements: control points, identity, special cases, against written-out formulas."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tightbound.networks.thin_plate import control_points, interpolation
from tightbound.networks.warps import Warp, displacements, num_parameters, pixel_places

WARPS: list[Warp] = ["translation", "similarity", "affine", "tps"]
SIZES = [(28, 28), (7, 12), (1, 5), (6, 1)]


def places_read(theta: Tensor, warp: Warp, size: tuple[int, int], **options: float) -> Tensor:
    """(H·W, 2)."""
    return pixel_places(size) + torch.tensordot(theta, displacements(warp, size, **options), dims=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("grid", [2, 3, 5])
def test_a_spline_takes_its_control_points_where_it_is_told(grid: int) -> None:
    control = control_points(grid)
    wanted = control + torch.randn(grid**2, 2)
    found = interpolation(control, control) @ wanted
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_pixels_on_control_points_are_read_where_these_are_moved() -> None:
    """A 5 × 5 image has a pixel at every second control point of a 3 × 3 grid: parameters are all x, then all y."""
    theta = torch.randn(18)
    moved = places_read(theta, "tps", (5, 5)).reshape(5, 5, 2)[::2, ::2].flatten(0, 1)
    torch.testing.assert_close(moved, control_points(3) + theta.reshape(2, 9).T, rtol=0, atol=1e-9)


@pytest.mark.parametrize("regularization", [0.0, 0.3])
def test_a_spline_is_the_written_out_formula(regularization: float) -> None:
    """Bookstein 1989: f = a_0 + a_1 x + a_2 y + Σ w U(r), U = r² log r², its weights orthogonal to affine maps.

    Regularized, λ w is by how much f misses the values (Wahba 1990).
    """
    control, points, values = control_points(3), torch.rand(4, 2) - 0.5, torch.randn(9)
    system = torch.zeros(12, 12)
    for i in range(9):
        for j in range(9):
            r2 = float((control[i] - control[j]).square().sum())
            system[i, j] = r2 * math.log(r2) if r2 else 0.0
        system[i, i] = regularization
        system[i, 9:] = system[9:, i] = torch.tensor([1.0, *control[i].tolist()])
    solution = torch.linalg.inv(system) @ torch.cat((values, torch.zeros(3)))
    for point, found in zip(points, interpolation(control, points, regularization) @ values, strict=True):
        r2 = (control - point).square().sum(1)
        expected = solution[:9] @ (r2 * r2.log()) + solution[9] + solution[10:] @ point
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(solution[:9] @ control, torch.zeros(2), rtol=0, atol=1e-12)


def test_regularization_bends_less_and_in_the_limit_not_at_all() -> None:
    """λ → ∞ is the least-squares plane through the values."""
    control, values = control_points(4), torch.randn(16)
    misses = [(interpolation(control, control, x) @ values - values).norm() for x in (0.0, 0.01, 0.1, 1.0)]
    assert misses[0] < 1e-12
    assert misses == sorted(misses)
    plane = torch.cat((torch.ones(16, 1), control), dim=1)
    expected = plane @ torch.linalg.lstsq(plane, values.unsqueeze(1)).solution.squeeze(1)
    torch.testing.assert_close(interpolation(control, control, 1e9) @ values, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("warp", WARPS)
def test_zero_is_the_identity(warp: Warp, size: tuple[int, int]) -> None:
    theta = torch.zeros(num_parameters(warp, 3))
    assert torch.equal(places_read(theta, warp, size), pixel_places(size))
    assert displacements(warp, size).isfinite().all()


@pytest.mark.parametrize("regularization", [0.0, 0.3])
@pytest.mark.parametrize("size", SIZES[:2])
@pytest.mark.parametrize("grid", [2, 3, 6])
def test_an_affine_map_is_a_special_spline(grid: int, size: tuple[int, int], regularization: float) -> None:
    theta = torch.randn(6)
    matrix, shift = theta.reshape(2, 3)[:, :2], theta.reshape(2, 3)[:, 2]
    moved = (control_points(grid) @ matrix.T + shift).T.flatten()
    found = places_read(moved, "tps", size, grid=grid, regularization=regularization)
    torch.testing.assert_close(found, places_read(theta, "affine", size), rtol=0, atol=1e-9)


def test_an_affine_map_is_the_product_with_a_matrix() -> None:
    theta = torch.randn(6)
    matrix = torch.eye(2, 3) + theta.reshape(2, 3)
    homogeneous = torch.cat((pixel_places((7, 12)), torch.ones(84, 1)), dim=1)
    torch.testing.assert_close(places_read(theta, "affine", (7, 12)), homogeneous @ matrix.T)


def test_an_affine_map_reads_where_pytorch_does() -> None:
    theta = torch.randn(6)
    matrix = torch.eye(2, 3) + theta.reshape(2, 3)
    expected = torch.nn.functional.affine_grid(matrix.unsqueeze(0), [1, 1, 7, 12], align_corners=True)
    torch.testing.assert_close(places_read(theta, "affine", (7, 12)), expected.reshape(-1, 2))


@pytest.mark.parametrize("size", [(9, 9), (5, 21)])
def test_a_similarity_keeps_shapes_in_pixels(size: tuple[int, int]) -> None:
    """Turned by 0.5 and scaled by 1.3: all distances in pixels are 1.3 times as long, in images of any shape."""
    scale, angle = 1.3, 0.5
    theta = torch.tensor([scale * math.cos(angle) - 1, scale * math.sin(angle), 0.2, -0.1])
    pixels = torch.tensor([size[1] - 1, size[0] - 1]) / 2
    before, after = pixel_places(size) * pixels, places_read(theta, "similarity", size) * pixels
    torch.testing.assert_close(distances(after), scale * distances(before))
    right, center = after[size[1] // 2 + 1 + size[1] * (size[0] // 2)], after[size[1] // 2 + size[1] * (size[0] // 2)]
    torch.testing.assert_close(torch.atan2(*(right - center).flip(0)), torch.tensor(angle))


def distances(points: Tensor) -> Tensor:
    return (points.unsqueeze(0) - points.unsqueeze(1)).square().sum(-1).sqrt()


def test_a_translation_moves_by_pixels() -> None:
    found = places_read(torch.tensor([2 / 11, -4 / 6]), "translation", (7, 12))
    moved = (found - pixel_places((7, 12))) * torch.tensor([11 / 2, 6 / 2])
    torch.testing.assert_close(moved, torch.tensor([1.0, -2.0]).expand(84, 2))


def test_a_spline_bends_by_distances_in_pixels() -> None:
    """In an image twice as wide as high a control point's influence is as far across as down, in pixels."""
    bend = displacements("tps", (11, 21))[4, :, 0].reshape(11, 21)  # the middle control point
    torch.testing.assert_close(bend, bend.flip(1))
    system = control_points(3) * torch.tensor([1.0, 0.5])
    expected = interpolation(system, torch.tensor([[0.3, 0.0], [0.0, 0.3]]))[:, 4]
    torch.testing.assert_close(bend[5, [13]], expected[:1])
    torch.testing.assert_close(bend[[8], 10], expected[1:])
