"""Samples of the model beside the mean of their pixels."""

from __future__ import annotations

from tightbound.report.exhibit import Exhibit
from tightbound.report.formatting import plural
from tightbound.report.grids import cut_note, enlarge, grid, png, to_rgba
from tightbound.report.images import columns_for, enlargement, gap_for, image_tag
from tightbound.report.pictures import Array, Pictures


def sample_grids(pictures: Pictures | None) -> list[Exhibit]:
    """The grid of samples and, where known, that of their means."""
    if pictures is None:
        return []
    captions = [
        ("samples", "Samples", pictures.samples, "Drawn from the model: z from the prior, then every pixel at random."),
        (
            "sample_means",
            "Means of the same samples",
            pictures.sample_means,
            "The mean of every pixel for the same z, without pixel noise.",
        ),
    ]
    return [_grid(name, title, images, text) for name, title, images, text in captions if images is not None]


def _grid(name: str, title: str, images: Array, caption: str) -> Exhibit:
    columns = columns_for(images)
    shown = images[: columns * columns]
    tiles = grid(to_rgba(shown), columns, gap_for(images))
    caption = caption[:-1] + cut_note(shown) + "."
    alt = f"Grid of {plural(len(shown), 'image')}: {title.lower()} of the model."
    return Exhibit(name, title, caption, image_tag(tiles, images, alt), png(enlarge(tiles, enlargement(images))))
