"""Grids of samples layer by layer, and of samples at several temperatures."""

from __future__ import annotations

import html

import numpy as np

from tightbound.report.exhibit import Exhibit
from tightbound.report.grids import cut_note, enlarge, grid, png, stack, to_rgba
from tightbound.report.images import enlargement, gap_for, image_tag, strip
from tightbound.report.layer_arrays import Cooled, LayerGrids
from tightbound.report.layer_names import layer_name
from tightbound.report.lettering import headed
from tightbound.report.pictures import Array

_TILE = 30  # wished width of an image on screen, CSS pixels
_LEAST_TILE = 64  # of the file, pixels


def layer_exhibit(found: LayerGrids) -> Exhibit:
    """A labeled grid a layer, the top first, as the model draws them."""
    parts = []
    for layer, canvas, images in _canvases(found):
        name = f"Layer {layer_name(layer, found.num_layers)}"
        alt = f"Grid of {images.shape[0]} by {images.shape[1]} images: {name.lower()} is sampled."
        tag = image_tag(canvas, images[0], alt, tile=_TILE)
        parts.append(f'<div><span class="layer-name" aria-hidden="true">{html.escape(name)}</span>{tag}</div>')
    caption = (
        "In each grid one layer is drawn anew in every column. The layers above it are drawn once for a row, and are "
        "those of the same row in every other grid; the layers below it stay where they are most probable. So a row "
        "shows what this layer adds to those above. Shown is the mean of every pixel"
        f"{cut_note(found.images)}."
    )
    markup = f'<div class="layers">{"".join(parts)}</div>'
    return Exhibit("layers", "What each layer decides", caption, markup, png(layer_sheet(found)), wide=True)


def layer_sheet(found: LayerGrids) -> Array:
    """All grids in one picture (H, W, 4), one below the other, the top layer first, each with its name above."""
    factor = max(1, round(_LEAST_TILE / max(found.images.shape[-2:])))
    gap = 2 * factor * gap_for(found.images[0, 0])
    sheets = [
        headed(enlarge(canvas, factor), f"Layer {layer_name(layer, found.num_layers)}")
        for layer, canvas, _ in _canvases(found)
    ]
    return stack(sheets, gap)


def _canvases(found: LayerGrids) -> list[tuple[int, Array, Array]]:
    """Layer, its grid of pixels, its images (R, S, C, H, W); the top first."""
    order = np.argsort(found.layers)[::-1]
    shown = [(found.layers[i], found.images[i]) for i in order]
    return [(layer, _grid(images), images) for layer, images in shown]


def _grid(images: Array) -> Array:
    return grid(to_rgba(images.reshape(-1, *images.shape[2:])), images.shape[1], gap_for(images[0]))


def cooled_exhibit(found: Cooled) -> Exhibit:
    """A row a temperature, a column a sample."""
    names = [f"temperature {temperature:g}" for temperature in found.temperatures]
    rows = [_grid(images[None]) for images in found.images]
    markup = "".join(
        strip(name, image_tag(row, found.images[0], f"Row of images: {name}.", tile=84))
        for name, row in zip(names, rows, strict=True)
    )
    caption = (
        "Samples of the model; each column has the same noise, multiplied by the temperature in every layer. At 1 it "
        "is a sample of the model; the lower, the nearer is every layer to where it is most probable, and the more "
        f"alike are the images. Shown is the mean of every pixel{cut_note(found.images)}."
    )
    factor = enlargement(found.images[0])
    file = png(stack([enlarge(row, factor) for row in rows], factor * gap_for(found.images[0])))
    return Exhibit("temperatures", "The same samples at several temperatures", caption, markup, file, wide=True)
