"""One color scale for a page, and what the maps are, in words."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tightbound.report import Pictures
from tightbound.report.grids import cut_note, heat
from tightbound.report.lettering import lettered
from tightbound.report.pipeline import pipelines
from tightbound.report.reconstructions import reconstruction_rows
from tightbound.report.samples import sample_grids
from tightbound.report.uncertainty import in_words, one_each, page_scale, scale_of

from .runs import pictures


def page(encoded: np.ndarray, generated: np.ndarray, uncertainty: np.ndarray) -> Pictures:
    """The usual pictures with these uncertainty maps."""
    given = pictures(encoded.shape[1])
    assert given.encoded is not None
    assert given.generated is not None
    rows = {"encoded": replace(given.encoded, std=encoded), "generated": replace(given.generated, std=generated)}
    return replace(given, **rows, uncertainty=uncertainty)


def maps(n: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(n).random((n, channels, 8, 6))


def test_the_scale_ends_at_the_largest_value_of_all_maps() -> None:
    shown = page(maps(5), 2 * maps(5), maps(11))
    scale = page_scale(shown)
    assert scale.top == scale.largest == 2 * maps(5).max()
    assert scale.end == f"{scale.top:.1f}"
    rows = reconstruction_rows(shown)
    assert rows is not None
    for exhibit in (*pipelines(shown), rows):
        assert f"Its colors run from 0 to {scale.top:.1f} in every figure of this page, pixels in 0 to 1." in (
            exhibit.caption
        )


def test_pixels_far_above_all_others_are_beyond_it_in_every_figure() -> None:
    high = maps(11)
    high[1, 0, 2, 3] = 75
    low = maps(5) / 2
    shown = page(low, low, high)
    scale = page_scale(shown)
    values = np.concatenate([low.ravel(), low.ravel(), high.ravel()])
    assert (scale.top, scale.largest) == (np.quantile(values, 0.995), 75)
    first, second = pipelines(shown)
    rows = reconstruction_rows(shown)
    assert rows is not None
    assert "; some pixels are beyond, up to 75." in rows.caption
    assert "beyond" not in first.caption + second.caption
    for exhibit in (first, second, rows):
        assert f">≥ {scale.top:.2f}<" in exhibit.markup
    file = np.array(Image.open(io.BytesIO(rows.png)))[::22, ::22]  # 6-pixel images are enlarged 22 times
    np.testing.assert_array_equal(file[2 * 9 : 2 * 9 + 8, 7 : 7 + 6], heat(high[1:2], scale.top)[0])


def test_one_sigma_for_each_image_is_written_below_its_square() -> None:
    sigma = np.array([0.05, 0.1, 0.15, 0.2, 0.25]).reshape(5, 1, 1, 1)
    assert one_each(sigma * np.ones((5, 1, 8, 6))) == ["σ 0.0500", "σ 0.100", "σ 0.150", "σ 0.200", "σ 0.250"]
    assert one_each(maps(5)) is one_each(np.full((5, 1, 8, 6), 0.1)) is None
    constant = sigma * np.ones((5, 1, 8, 6))
    shown = page(constant, constant, np.concatenate([constant, constant, constant[:1]]))
    rows = reconstruction_rows(shown)
    assert rows is not None
    for exhibit in (*pipelines(shown), rows):
        assert "Uncertainty: the likelihood has one σ for each image, written below it." in exhibit.caption
        for text in ("σ 0.0500", "σ 0.250"):
            assert f">{text}<" in exhibit.markup


def test_maps_of_colors_are_means_over_the_channels() -> None:
    scale = scale_of([maps(5, 3)])
    assert scale.top == maps(5, 3).mean(1).max()
    assert "that the likelihood states, as its mean over the channels." in in_words(maps(5, 3), scale)
    each = np.arange(1, 7).reshape(2, 3, 1, 1) * np.full((2, 3, 4, 4), 0.1)
    assert one_each(each) == ["σ 0.200", "σ 0.500"]
    assert "one σ for each image and channel, whose mean over the channels is shown" in in_words(each, scale_of([each]))


@pytest.mark.parametrize(("value", "note"), [(1.0, ""), (1.01, " (values outside 0 to 1 are cut)"), (1 + 1e-7, "")])
def test_values_that_are_cut_are_said_to_be(value: float, note: str) -> None:
    images = np.full((64, 1, 4, 4), 0.5)
    assert cut_note(images, 1 - images) == ""
    images[3, 0, 1, 1] = value
    assert cut_note(np.zeros((1, 1, 1, 1)), images) == cut_note(1 - images) == note
    _, means = sample_grids(Pictures(np.zeros((64, 1, 4, 4)), images))
    assert means.caption == f"The mean of every pixel for the same z, without pixel noise{note}."


def test_letters_stand_below_the_enlarged_tile_and_fit() -> None:
    tiles = np.full((2, 5, 6, 4), 255, np.uint8)
    image = lettered(tiles, [["−1,234.56 ± 0.12", "image 7"], ["", ""]], 20)
    assert image.shape[2:] == (120, 4)
    assert (image[:, :100] == 255).all()
    ink = image[0, 100:, :, 3] > 0
    assert ink.any(axis=1).sum() > 12  # two lines of at least 9 pixels
    assert not ink[:, [0, -1]].any()
    assert not image[1, 100:].any()
