"""Every pixel of a grid is where it should be."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from tightbound.report.grids import HEAT, enlarge, grid, heat, png, stack, to_rgba
from tightbound.report.reconstructions import reconstruction_rows

from .runs import pictures


def test_gray_and_color_become_rgba() -> None:
    gray = to_rgba(np.array([0.0, 0.2, 1.7, -0.3]).reshape(1, 1, 2, 2))
    assert gray.tolist() == [[[[0, 0, 0, 255], [51, 51, 51, 255]], [[255, 255, 255, 255], [0, 0, 0, 255]]]]
    color = to_rgba(np.array([1.0, 0.2, 0.0]).reshape(1, 3, 1, 1))
    assert color.tolist() == [[[[255, 51, 0, 255]]]]
    two = to_rgba(np.array([0.2, 0.6]).reshape(1, 2, 1, 1))
    assert two.tolist() == [[[[102, 102, 102, 255]]]]


def test_tiles_stand_row_by_row_with_transparent_gaps() -> None:
    tiles = np.arange(1, 6, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((1, 2, 3, 4), np.uint8)
    canvas = grid(tiles, columns=2, gap=1)
    values = [
        [1, 1, 1, 0, 2, 2, 2],
        [1, 1, 1, 0, 2, 2, 2],
        [0, 0, 0, 0, 0, 0, 0],
        [3, 3, 3, 0, 4, 4, 4],
        [3, 3, 3, 0, 4, 4, 4],
        [0, 0, 0, 0, 0, 0, 0],
        [5, 5, 5, 0, 0, 0, 0],
        [5, 5, 5, 0, 0, 0, 0],
    ]
    for channel in range(4):
        assert canvas[..., channel].tolist() == values


def test_stack_and_enlarge() -> None:
    a, b = np.full((1, 2, 4), 1, np.uint8), np.full((2, 2, 4), 2, np.uint8)
    assert stack([a, b], gap=1)[..., 0].tolist() == [[1, 1], [0, 0], [2, 2], [2, 2]]
    assert enlarge(np.array([[[1], [2]]], np.uint8), 2)[..., 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]


def test_heat_runs_from_the_first_color_to_the_last() -> None:
    colors = heat(np.array([0.0, 0.25, 0.5, 9.0]).reshape(4, 1, 1, 1), top=0.5)[:, 0, 0]
    first, last = ([int(HEAT[end][i : i + 2], 16) for i in (1, 3, 5)] for end in (0, -1))
    assert colors[0].tolist() == [*first, 255]
    assert colors[2].tolist() == colors[3].tolist() == [*last, 255]
    middle = [(int(HEAT[4][i : i + 2], 16) + int(HEAT[5][i : i + 2], 16)) / 2 for i in (1, 3, 5)]
    np.testing.assert_allclose(colors[1, :3], middle, atol=0.5)
    assert heat(np.array([0.5, 0.0]).reshape(1, 2, 1, 1), top=0.25).tolist() == [[[[*last, 255]]]]  # mean of channels


def test_a_png_gives_its_pixels_back() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 4), np.uint8)
    pixels[..., 3] = 255
    np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(png(pixels)))), pixels)


def test_the_file_of_reconstructions_has_originals_over_reconstructions_over_uncertainty() -> None:
    shown = pictures(height=8, width=8)
    exhibit = reconstruction_rows(shown)
    assert exhibit is not None
    assert shown.originals is not None
    assert shown.reconstructions is not None
    file = np.array(Image.open(io.BytesIO(exhibit.png)))[::16, ::16]  # 8-pixel images are enlarged 16 times
    pitch = 9  # 8 pixels and a gap
    np.testing.assert_array_equal(file[:8, pitch : pitch + 8], to_rgba(shown.originals)[1])
    np.testing.assert_array_equal(file[pitch : pitch + 8, pitch : pitch + 8], to_rgba(shown.reconstructions)[1])
    second = 3 * 8 + 2 + 3  # three rows, two gaps, three lines between blocks
    np.testing.assert_array_equal(file[second : second + 8, :8], to_rgba(shown.originals)[8])
    assert (file[second : second + 8, 3 * pitch :] == 0).all()  # 11 images: the second block has three
