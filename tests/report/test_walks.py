"""Walks go where they should, point by point."""

from __future__ import annotations

import pytest
import torch

from tightbound.report.walks import decoded, interpolation, traversal

from .models import small_model


def test_the_corners_are_the_images_and_the_center_is_their_mean() -> None:
    corners = torch.randn(4, 6)
    points = interpolation(corners, 5)
    assert points.shape == (5, 5, 6)
    assert torch.equal(points[[0, 0, -1, -1], [0, -1, 0, -1]], corners)
    torch.testing.assert_close(points[2, 2], corners.mean(0))
    torch.testing.assert_close(
        points[1, 3], 0.75 * (0.25 * corners[0] + 0.75 * corners[1]) + 0.25 * (0.25 * corners[2] + 0.75 * corners[3])
    )


def test_between_two_it_is_a_line() -> None:
    corners = torch.randn(2, 6)
    points = interpolation(corners, 4)
    assert points.shape == (1, 4, 6)
    torch.testing.assert_close(points[0, 1], (2 * corners[0] + corners[1]) / 3)
    with pytest.raises(ValueError, match="expected 2 or 4 corners; got 3"):
        interpolation(torch.randn(3, 6), 4)


def test_a_traversal_moves_one_coordinate_from_minus_3_to_3_standard_deviations() -> None:
    start, mean, std = torch.randn(5), torch.randn(5), torch.rand(5) + 0.5
    points = traversal(start, [4, 1], mean, std, 7)
    assert points.shape == (2, 7, 5)
    for row, unit in enumerate([4, 1]):
        others = [i for i in range(5) if i != unit]
        assert torch.equal(points[row][:, others], start[others].expand(7, -1))
        torch.testing.assert_close(points[row, :, unit], mean[unit] + std[unit] * torch.arange(-3.0, 4.0))


@torch.no_grad()
def test_decoding_in_parts_is_decoding_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.report.walks._ROWS", 4)
    model, epsilon = small_model(), torch.randn(3, 5, 2)
    mean, std = decoded(model, epsilon)
    params = model.params_at(epsilon)
    torch.testing.assert_close(mean, model.likelihood.mean(params))
    torch.testing.assert_close(std, model.likelihood.std(params))
