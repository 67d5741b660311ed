"""What the pictures of latents show: their very pixels, numbers and words."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tightbound.report import Pictures
from tightbound.report.correlations import correlation_maps, diverging
from tightbound.report.exhibit import CLASSES, PALETTE, Exhibit
from tightbound.report.grids import grid, heat, to_rgba
from tightbound.report.pictures import Codes
from tightbound.report.pipeline import pipelines
from tightbound.report.principal import principal_components
from tightbound.report.scatter import scatter, spread_out
from tightbound.report.walk_grids import interpolation_grid, traversal_grid, walks

from .runs import pictures


def shown(exhibit: Exhibit) -> list[np.ndarray]:
    """The images of an SVG, upright."""
    found = []
    for tag in re.findall(r"<image[^>]*>", exhibit.markup):
        data = re.search(r'base64,([^"]+)"', tag)
        scale = re.search(r'transform="matrix\(\S+ \S+ \S+ (\S+) ', tag)
        assert data is not None
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data[1]))))
        found.append(pixels[::-1] if scale is not None and float(scale[1]) < 0 else pixels)
    return found


def reduced(pixels: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Enlarged pixels at their first size; every square is of one color."""
    factor = pixels.shape[1] // like.shape[1]
    small = pixels[::factor, ::factor]
    np.testing.assert_array_equal(small.repeat(factor, 0).repeat(factor, 1), pixels)
    return small


def words(exhibit: Exhibit) -> list[str]:
    return [text.strip() for text in re.findall(r"<text[^>]*>([^<]*)</text>", exhibit.markup)]


@pytest.mark.parametrize("channels", [1, 3])
def test_the_pipeline_shows_image_reconstruction_and_uncertainty_on_one_scale(channels: int) -> None:
    given = pictures(channels)
    encoded, generated = given.encoded, given.generated
    assert encoded is not None
    assert generated is not None
    first, second = pipelines(given)
    assert given.uncertainty is not None
    top = max(shown.mean(1).max() for shown in (encoded.std, generated.std, given.uncertainty))
    assert encoded.originals is not None
    assert generated.samples is not None
    columns = [to_rgba(encoded.originals), to_rgba(encoded.mean), heat(encoded.std, top)]
    others = [to_rgba(generated.mean), to_rgba(generated.samples), heat(generated.std, top)]
    for exhibit, expected in ((first, columns), (second, others)):
        tiles = np.concatenate(expected)
        for pixels, tile in zip(shown(exhibit)[: len(tiles)], tiles, strict=True):
            np.testing.assert_array_equal(reduced(pixels, tile), tile)
        assert f"from 0 to {top:.2f} in every figure of this page, pixels in 0 to 1" in exhibit.caption
        assert f"{top:.2f}" in words(exhibit)
    assert set(words(first)) >= {"image", "z, mean ± std", "latent unit", "reconstruction", "uncertainty"}
    assert set(words(second)) >= {"z", "mean", "sample"}


def test_one_noise_scale_is_a_sentence_of_the_pipeline() -> None:
    given = pictures()
    assert given.encoded is not None
    constant = replace(given, encoded=replace(given.encoded, std=np.full_like(given.encoded.std, 0.125)))
    exhibit = pipelines(constant)[0]
    assert "noise scale σ = 0.125, pixels in 0 to 1" in exhibit.caption
    assert "uncertainty" not in words(exhibit)
    assert len(shown(exhibit)) == 10


def test_many_units_are_cut_and_counted() -> None:
    given = pictures()
    rows = given.generated
    assert rows is not None
    z = np.random.default_rng(0).normal(size=(5, 200))
    many = replace(rows, z=z, prior_mean=np.zeros(200), prior_std=np.ones(200), units=np.arange(0, 128, 2))
    exhibit = pipelines(Pictures(given.samples, generated=replace(many, groups=(100, 100))))[0]
    assert "Shown are the 64 of 200 units that vary most." in exhibit.caption
    assert "64 of 200 latent units" in words(exhibit)


def test_the_bars_are_as_long_as_z() -> None:
    """In the SVG a bar is a filled path between zero and z, on the same scale in every row."""
    given = pictures()
    rows = given.encoded
    assert rows is not None
    exhibit = pipelines(given)[0]
    bars = re.findall(r'<path d="M ([^"z]+)z? ?" clip-path="[^"]*" style="fill: var\(--chart-blue\)', exhibit.markup)
    heights = []
    for bar in bars:
        y = [float(value) for value in re.findall(r"[\d.]+ ([\d.]+)", bar)]
        heights.append((y[0] - y[2]) * (-1 if y[0] < y[2] else 1))
    sizes = np.abs(rows.z).ravel()
    np.testing.assert_allclose(
        np.array(heights) / heights[0], sizes / sizes[0], atol=2e-2 * (1 + sizes / sizes[0]).max()
    )


def test_an_interpolation_shows_the_grid_and_names_its_corners() -> None:
    picture = pictures().interpolation
    assert picture is not None
    exhibit = interpolation_grid(picture)
    tiles = to_rgba(picture.means.reshape(-1, 1, 8, 6))
    canvas, *originals = shown(exhibit)
    np.testing.assert_array_equal(reduced(canvas, grid(tiles, 3, 1)), grid(tiles, 3, 1))
    for pixels, original in zip(originals, to_rgba(picture.originals), strict=True):
        np.testing.assert_array_equal(reduced(pixels, original), original)
    assert set(words(exhibit)) == {f"test image {i}" for i in (3, 7, 12, 40)} | {f"label {i}" for i in (1, 2, 3, 4)}
    line = replace(picture, means=picture.means[:1], originals=picture.originals[:2], index=picture.index[:2])
    assert interpolation_grid(line).title == "Between two images"
    assert "in both directions" not in interpolation_grid(line).caption


def test_a_traversal_labels_its_rows() -> None:
    picture = pictures().traversal
    assert picture is not None
    exhibit = traversal_grid(picture)
    tiles = to_rgba(picture.means.reshape(-1, 1, 8, 6))
    np.testing.assert_array_equal(reduced(shown(exhibit)[0], grid(tiles, 7, 1)), grid(tiles, 7, 1))
    labels = words(exhibit)
    assert labels[:2] == ["3", "1"]  # the rows, before the scores
    assert {"−3", "0", "standard deviations of the prior"} <= set(labels)
    assert "Units are counted from 0; sorted by KL, largest first." in exhibit.caption


def test_dots_stand_at_the_principal_components() -> None:
    given = pictures()
    assert given.codes is not None
    exhibit = scatter(given)
    assert exhibit is not None
    found = principal_components(given.codes.mean)
    assert found is not None
    paths = re.findall(r'<path d="((?:M[\d.]+ [\d.]+h0)+)"[^>]*style="([^"]*)"', exhibit.markup)
    assert len(paths) == 10  # sixty images are one block of ten classes
    drawn = np.concatenate([re.findall(r"M([\d.]+) ([\d.]+)h0", path) for path, _ in paths]).astype(float)
    order = np.argsort(np.arange(60) % 10, kind="stable")
    expected = found[0][order]
    (x_scale, x_origin), (y_scale, y_origin) = (np.polyfit(expected[:, i], drawn[:, i], 1) for i in (0, 1))
    np.testing.assert_allclose(drawn[:, 0], x_origin + x_scale * expected[:, 0], atol=0.01)
    np.testing.assert_allclose(drawn[:, 1], y_origin + y_scale * expected[:, 1], atol=0.01)
    assert y_scale == pytest.approx(-x_scale, rel=0.01)  # downwards in an SVG; equal lengths are drawn equal
    assert x_scale > 0
    assert [f"--chart-class-{i})" in style for i, (_, style) in enumerate(paths)] == 10 * [True]
    share = 100 * found[1][0]
    assert f"first component, {share:.0f} % of the variance" in words(exhibit)
    assert {str(i) for i in range(10)} <= set(words(exhibit))


def test_dots_are_in_the_file_too() -> None:
    given = pictures()
    assert given.codes is not None
    exhibit = scatter(replace(given, codes=Codes(given.codes.mean)))
    assert exhibit is not None
    pixels = np.array(Image.open(io.BytesIO(exhibit.png)))[..., :3].astype(int)
    blue = (pixels[..., 2] - pixels[..., 0] > 60).sum()
    one = np.pi * (3.6 / 2 * 200 / 72) ** 2  # 3.6 points across, 200 pixels an inch
    assert 0.85 * 60 * one < blue < 1.15 * 60 * one  # a few overlap


def test_codes_without_labels_or_with_many_are_in_one_color() -> None:
    given = pictures()
    assert given.codes is not None
    plain = scatter(replace(given, codes=Codes(given.codes.mean)))
    many = scatter(replace(given, codes=Codes(given.codes.mean, np.arange(60) % 20, mean_samples=16)))
    assert plain is not None
    assert many is not None
    assert "label" not in plain.caption
    assert "The 20 labels are not told apart. Means are over 16 samples of the posterior." in many.caption
    assert all("--chart-class" not in exhibit.markup for exhibit in (plain, many))
    assert scatter(replace(given, codes=Codes(np.zeros((5, 3))))) is None


def test_numbers_of_classes_are_moved_apart() -> None:
    points = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [50.0, 0.0]])
    moved = spread_out(points, 10.0)
    gaps = np.hypot(*(moved[:, None] - moved[None]).transpose(2, 0, 1))[np.triu_indices(4, 1)]
    assert gaps.min() > 9.9
    np.testing.assert_array_equal(moved[3], points[3])  # nothing is in its way


def test_correlations_are_colored_by_sign_and_size() -> None:
    exhibit = correlation_maps(pictures())
    assert exhibit is not None
    left, right, _ = shown(exhibit)
    colors = reduced(right, np.zeros((3, 3, 4)))
    assert colors[0, 1, 2] > colors[0, 1, 0]  # −0.42 is blue
    assert colors[1, 2, 0] > colors[1, 2, 2]  # 0.2 is orange
    np.testing.assert_array_equal(colors[..., 3][~np.eye(3, dtype=bool)], [214, 51, 214, 102, 51, 102])  # of ± 0.5
    np.testing.assert_array_equal(reduced(left, np.zeros((3, 3, 4)))[..., 3], colors[..., 3])
    assert "0.24 on average over pairs of units" in exhibit.caption
    assert {"−0.5", "0", "0.5", "mean size over 11 test images", "test image 0"} <= set(words(exhibit))
    assert diverging(np.zeros((1, 1)), 1.0, diagonal=False)[0, 0, 3] == 0  # zero is the page's own color


def test_what_is_not_known_is_left_out() -> None:
    bare = Pictures(pictures().samples)
    assert pipelines(bare) == walks(bare) == pipelines(None) == walks(None) == []
    assert scatter(bare) is scatter(None) is correlation_maps(bare) is correlation_maps(None) is None


def test_the_classes_have_ten_colors() -> None:
    assert len(set(CLASSES)) == 10
    assert len(set(PALETTE.values())) == len(PALETTE)
