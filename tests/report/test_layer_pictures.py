"""What the pictures of layers show: their very pixels, numbers, names and order."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tightbound.report.exhibit import Exhibit
from tightbound.report.formatting import significant
from tightbound.report.grids import grid, heat, png, to_rgba
from tightbound.report.images import gap_for
from tightbound.report.layer_arrays import Cooled, LayerGrids, LayerKL, Layers
from tightbound.report.layer_costs import active_bars, layer_bars, layer_costs, layer_maps
from tightbound.report.layer_names import layer_name, layer_of, layer_of_unit
from tightbound.report.layer_samples import cooled_exhibit, layer_exhibit, layer_sheet
from tightbound.report.page import render, sections_of
from tightbound.report.pipeline import pipelines
from tightbound.report.scatter import scatter
from tightbound.report.walk_grids import traversal_grid

from .runs import pictures, run
from .test_latent_pictures import reduced, shown, words


def made(layers: int, channels: int = 1, images: int = 2) -> Layers:
    """Random numbers, always the same; maps of 1 × 1 positions at the top and 2 × 4 elsewhere."""
    random = np.random.default_rng(layers)
    sizes = [(1, 1) if layer == layers - 1 and layers > 1 else (2, 4) for layer in range(layers)]
    grids = LayerGrids(random.random((layers, 2, 3, channels, 8, 6)), tuple(range(1, layers + 1)), layers)
    kl = LayerKL(
        random.random((9, layers)) + np.arange(layers),
        tuple(random.random(size) for size in sizes),
        random.random((images, channels, 8, 6)),
        tuple(random.random((images, *size)) for size in sizes),
        np.array([3, 7]),
    )
    return Layers(grids, Cooled(random.random((2, 4, channels, 8, 6)), (0.5, 1.0)), kl)


def costs(layers: int) -> LayerKL:
    found = made(layers).kl
    assert found is not None
    return found


def tags(exhibit: Exhibit) -> list[np.ndarray]:
    data = re.findall(r'<img[^>]*base64,([^"]+)"', exhibit.markup)
    return [np.array(Image.open(io.BytesIO(base64.b64decode(one)))) for one in data]


def test_layers_are_counted_from_the_bottom_and_groups_from_the_top() -> None:
    assert [layer_of(group, 3) for group in range(3)] == [3, 2, 1]
    assert [layer_name(layer, 3) for layer in (1, 2, 3)] == ["1 (bottom)", "2", "3 (top)"]
    assert layer_name(1, 1) == "1"
    assert [layer_of_unit(unit, (4, 2, 5)) for unit in (0, 3, 4, 5, 6, 10)] == [3, 3, 2, 2, 1, 1]
    with pytest.raises(ValueError, match="expected a unit below 11; got 11"):
        layer_of_unit(11, (4, 2, 5))


@pytest.mark.parametrize("channels", [1, 3])
def test_grids_are_named_and_the_top_comes_first(channels: int) -> None:
    found = made(3, channels).grids
    exhibit = layer_exhibit(found)
    assert re.findall(r'layer-name"[^>]*>([^<]*)<', exhibit.markup) == ["Layer 3 (top)", "Layer 2", "Layer 1 (bottom)"]
    for pixels, images in zip(tags(exhibit), found.images[::-1], strict=True):
        tiles = to_rgba(images.reshape(-1, channels, 8, 6))
        np.testing.assert_array_equal(pixels, grid(tiles, 3, gap_for(images[0])))


def test_the_sheet_has_every_grid_below_its_name() -> None:
    found = made(2).grids
    sheet = layer_sheet(found)
    whole = grid(to_rgba(found.images[1].reshape(-1, 1, 8, 6)), 3, 1).repeat(8, 0).repeat(8, 1)
    head = round(1.6 * 16)
    np.testing.assert_array_equal(sheet[head : head + len(whole)], whole)
    assert sheet[:head, :, 3].any()  # letters
    assert len(sheet) == 2 * (head + len(whole)) + 16
    one = replace(found, images=found.images[1:], layers=(2,))
    np.testing.assert_array_equal(layer_sheet(one), sheet[: head + len(whole)])


def test_temperatures_are_rows() -> None:
    found = made(2).cooled
    exhibit = cooled_exhibit(found)
    assert re.findall(r'strip-label"[^>]*>([^<]*)<', exhibit.markup) == ["temperature 0.5", "temperature 1"]
    for pixels, images in zip(tags(exhibit), found.images, strict=True):
        np.testing.assert_array_equal(pixels, grid(to_rgba(images), 4, 1))


@pytest.mark.parametrize("layers", [2, 20])
def test_bars_are_means_with_errors_over_images_and_shares(layers: int) -> None:
    found = costs(layers)
    exhibit = layer_bars(found)
    paths = re.findall(r'<path d="(M [^"]*)" clip-path="[^"]*" style="fill: var\(--chart-blue\)', exhibit.markup)
    widths = [float(np.ptp(np.array(re.findall(r"[\d.]+", path), float).reshape(-1, 2)[:, 0])) for path in paths]
    mean = found.per_image.mean(0)
    np.testing.assert_allclose(np.array(widths) / max(widths), mean / mean.max(), atol=1e-3)
    error = found.per_image[:, 0].std(ddof=1) / 3  # of nine images
    share = 100 * mean[0] / mean.sum()
    bottom = next(text for text in words(exhibit) if text.startswith(f"{mean[0]:.2f} ± {error:.2f}, "))
    assert float(bottom.split(", ")[1].removesuffix(" %")) == pytest.approx(share, rel=0.06)  # two digits
    assert {"1 (bottom)", f"{layers} (top)", "nats per image"} <= set(words(exhibit))
    total = found.per_image.sum(1)
    assert f"{total.mean():.2f} ±" in exhibit.caption or f"{total.mean():.1f} ±" in exhibit.caption
    assert "9 test images" in exhibit.caption


@pytest.mark.parametrize("layers", [2, 3, 12, 20])
def test_maps_are_on_the_scale_whose_end_stands_beside_them(layers: int) -> None:
    found = costs(layers)
    exhibit = layer_maps(found)
    pixels = shown(exhibit)
    for tile, image in zip(pixels, to_rgba(found.images), strict=False):
        np.testing.assert_array_equal(reduced(tile, image), image)
    rest = iter(pixels[2:])
    for layer in reversed(range(layers)):
        for maps in (found.mean_maps[layer][None], found.maps[layer]):
            for tile in heat(maps[:, None], float(maps.max())):
                np.testing.assert_array_equal(reduced(next(rest), tile), tile)
            assert significant(float(maps.max()), 2) in words(exhibit)
    assert not list(rest)
    assert {"mean", "image 3", "image 7", "1 (bottom)", f"{layers} (top)"} <= set(words(exhibit))
    assert "border" not in exhibit.caption
    assert "the black border that the model adds" in layer_maps(replace(found, padded=True)).caption


def test_numbers_of_untrained_ladders() -> None:
    """They may be of any size; those that are not finite are not drawn."""
    found = costs(2)
    huge = replace(found, per_image=1e21 * found.per_image, maps=tuple(1e9 * maps for maps in found.maps))
    bars, maps = layer_costs(huge)
    assert f"{1e21 * found.per_image[:, 0].mean():.1e}, " in "".join(words(bars))
    assert f"{1e9 * found.maps[0].max():.0e}" in words(maps)
    assert layer_costs(replace(found, per_image=np.nan * found.per_image)) == layer_costs(None) == []


def test_active_units_of_each_layer() -> None:
    row = {"units": [64, 16, 4], "active_units": [49, 16, 3]}
    exhibit = active_bars(row)
    assert exhibit is not None
    assert [text for text in words(exhibit) if text[0].isdigit() and " of " in text] == [
        "49 of 64",
        "16 of 16",
        "3 of 4",
    ]  # the bottom first
    assert "68 of 84 latent units are active" in exhibit.caption
    assert active_bars({"units": [4], "active_units": [3]}) is None
    assert active_bars({"units": [4, 2], "active_units": [3, None]}) is None
    assert active_bars({}) is None


def test_a_page_has_layers_where_they_are_known() -> None:
    def names(layers: Layers | None) -> dict[str, list[str]]:
        given = replace(pictures(), layers=layers)
        return {section.title: [one.name for one in section.exhibits] for section in sections_of(run(), given)}

    without = names(None)
    assert "What each layer does" not in without
    assert "temperatures" not in without["What the model draws"]
    found = names(made(3))
    assert found["What each layer does"] == ["layers", "layer_kl", "layer_kl_maps"]
    assert found["What the model draws"][-1] == "temperatures"
    assert names(replace(made(3), kl=None))["What each layer does"] == ["layers"]
    page = render(run(), None, sections_of(run(), replace(pictures(), layers=made(20))))
    assert page.count("Layer 20 (top)") == 1


def test_the_other_pictures_of_latents_name_layers() -> None:
    given = pictures()
    assert given.traversal is not None
    assert given.codes is not None
    assert given.encoded is not None
    walk = traversal_grid(replace(given.traversal, layers=np.array([1, 12])))
    assert words(walk)[:2] == ["3, layer 1", "1, layer 12"]
    assert "Units are counted from 0, those of the top layer first; sorted by KL" in walk.caption
    dots = scatter(replace(given, codes=replace(given.codes, groups=3)))
    assert dots is not None
    assert "the latents of all 3 layers side by side" in dots.caption
    for groups, text in (((1, 3), "Lines part the layers"), ((1,) * 5, "Units are sorted by layer")):
        bars = pipelines(replace(given, encoded=replace(given.encoded, groups=groups)))[0]
        assert f"{text}, the top one at the left." in bars.caption


def test_equal_input_gives_equal_bytes() -> None:
    assert png(layer_sheet(made(3).grids)) == png(layer_sheet(made(3).grids))
    assert layer_maps(costs(3)) == layer_maps(costs(3))
