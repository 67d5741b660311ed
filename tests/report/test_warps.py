"""What the report shows of a decoder that warps: the very pixels before and after, and lines where they belong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from tightbound.errors import RecipeError
from tightbound.models import VAE
from tightbound.networks import SpatialTransformer
from tightbound.registry import Factory
from tightbound.report import Pictures, collect_pictures
from tightbound.report.grids import to_rgba
from tightbound.report.page import sections_of
from tightbound.report.warp_arrays import Warps
from tightbound.report.warp_pictures import _bent, _straight, before_and_after_rows, warp_exhibits
from tightbound.report.warps import PARTS, units_of

from .models import Images, small_model
from .runs import run
from .test_latent_pictures import reduced, shown, words


def warping_model(warp: str = "translation", units: int = 2) -> VAE:
    inner = Factory("decoder", "mlp", {"hidden": (5,)})
    model = small_model(3 + units, decoder=Factory("decoder", "spatial_transformer", {"warp": warp, "decoder": inner}))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return model


def collected(split: Images | None) -> tuple[VAE, Pictures, Warps]:
    model = warping_model()
    pictures = collect_pictures(model, split, seed=3)
    assert pictures.warps is not None
    return model, pictures, pictures.warps


def test_images_before_and_after_are_the_decoder_s_own() -> None:
    images = Images(40, labels=[i % 5 for i in range(40)])
    model, pictures, warps = collected(images)
    decoder = model.decoder
    assert isinstance(decoder, SpatialTransformer)
    x = images.fixed(0, 5, 3)
    with torch.no_grad():
        z = model.posterior.base(model.encode(x.double()).features).mean
        before, after = decoder.decoder(z[:, :3]).sigmoid(), model.decode(z).mean
        places = decoder.places_read(z[:, 3:])
    np.testing.assert_array_equal(warps.originals, x)
    np.testing.assert_allclose(warps.before, before, rtol=1e-6)
    np.testing.assert_allclose(warps.after, after, rtol=1e-6)
    np.testing.assert_allclose(warps.places, places, rtol=1e-6)
    assert pictures.encoded is not None
    np.testing.assert_allclose(warps.after, pictures.encoded.mean, rtol=1e-6)


def test_without_images_they_are_of_the_samples_of_the_prior() -> None:
    _, pictures, warps = collected(None)
    assert warps.originals is None
    assert pictures.generated is not None
    np.testing.assert_allclose(warps.after, pictures.generated.mean, rtol=1e-6)


def test_walks_are_along_the_units_of_one_part() -> None:
    model, pictures, warps = collected(Images(40))
    assert pictures.traversal is None
    assert sorted(warps.what.units.tolist()) == [0, 1, 2]
    assert sorted(warps.where.units.tolist()) == [3, 4]
    assert units_of(model, "where", [4, 0, 3, 2]) == [4, 3]
    assert units_of(model, "what", [4, 0, 3, 2]) == [0, 2]


def test_of_other_models_there_is_nothing() -> None:
    pictures = collect_pictures(small_model(), Images(40), seed=3)
    assert pictures.warps is None
    assert pictures.traversal is not None
    assert warp_exhibits(None) == []
    with pytest.raises(RecipeError, match="--dims: got 'where'; this model's decoder does not warp, so its latents ha"):
        units_of(small_model(), "where", [0, 1])


@pytest.mark.parametrize("split", [None, Images(40)])
def test_the_picture_shows_these_pixels(split: Images | None) -> None:
    _, _, warps = collected(split)
    exhibit = before_and_after_rows(warps)
    before, after = to_rgba(warps.before), to_rgba(warps.after)
    columns = [before, after, before, after]
    if warps.originals is not None:
        columns.insert(0, to_rgba(warps.originals))
    tiles = np.concatenate(columns)
    for pixels, tile in zip(shown(exhibit), tiles, strict=True):
        np.testing.assert_array_equal(reduced(pixels, tile), tile)
    assert words(exhibit)[-4:] == ["before the warp", "after", "grid before", "grid after"]
    assert ("a test image" in exhibit.caption) == (warps.originals is not None)
    assert ("samples of the prior" in exhibit.caption) == (warps.originals is None)


def test_the_page_has_a_section_of_its_own_with_names_that_differ() -> None:
    _, pictures, _ = collected(Images(40))
    sections = {section.title: section for section in sections_of(run(), pictures)}
    exhibits = sections["What is seen, and where"].exhibits
    assert [exhibit.name for exhibit in exhibits] == ["warps", "traversal_where", "traversal_what"]
    assert [exhibit.title for exhibit in exhibits[1:]] == [f"Along one latent unit of {part}" for part in PARTS]
    assert "Each row moves one latent unit of where from −3 to 3 standard deviations" in exhibits[1].caption
    titles = [section.title for section in sections_of(run(), replace(pictures, warps=None))]
    assert "What is seen, and where" not in titles


def lines(places: np.ndarray) -> list[np.ndarray]:
    """The points (n, 2) of each line that a warp of an image of 50 × 40 points, at (100, 10), makes of the grid."""
    axes = Figure().add_subplot()
    _bent(axes, places, 100.0, 10.0, 50.0, 40.0)
    found = [path.vertices for one in axes.collections for path in one.get_paths()]
    return [np.asarray(points) for points in found if len(points)]


def test_lines_of_a_shifted_image_are_shifted_back() -> None:
    """Pixels of an 8 × 10 image read from a tenth of the width to the right: lines stand a tenth further left."""
    y, x = np.meshgrid(np.linspace(-1, 1, 8), np.linspace(-1, 1, 10), indexing="ij")
    shifted = lines(np.stack((x + 0.2, y), axis=-1))
    upright = sorted(float(points[0, 0]) for points in shifted if np.ptp(points[:, 0]) < 1e-9)
    # The centers of the outermost of ten pixels of 5 points are at 102.5 and 147.5; −1 is not read at all.
    assert upright == pytest.approx([102.5 + 45 * (line - 0.2 + 1) / 2 for line in (-0.5, 0.0, 0.5, 1.0)], abs=0.01)
    level = sorted(float(points[0, 1]) for points in shifted if np.ptp(points[:, 1]) < 1e-9)
    assert level == pytest.approx(np.linspace(12.5, 47.5, 5), abs=0.01)


def test_lines_before_the_warp_are_a_square_grid_between_pixel_centers() -> None:
    axes = Figure().add_subplot()
    _straight(axes, (8, 10), 100.0, 10.0, 50.0, 40.0)
    upright, level = (np.array([path.vertices for path in one.get_paths()]) for one in axes.collections)
    np.testing.assert_allclose(upright[:, 0, 0], np.linspace(102.5, 147.5, 5))
    np.testing.assert_allclose(level[:, 0, 1], np.linspace(12.5, 47.5, 5))


def test_an_image_of_one_row_has_no_lines() -> None:
    assert lines(np.zeros((1, 6, 2))) == []
    assert lines(np.zeros((4, 6, 2))) == []
