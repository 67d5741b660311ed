"""From gray levels to binary pixels, once and for all or as a habit of a split."""

from __future__ import annotations

from dataclasses import replace

import torch

from tightbound.data.images import Images, Parts
from tightbound.data.settings import DataSettings
from tightbound.errors import DataError, RecipeError
from tightbound.numerics.noise import generator_for

_SENTENCES = {
    "dynamic": "binarized dynamically: a pixel of value x is 1 with probability x, drawn afresh each time it is read",
    "static": "binarized once (data.seed={seed}): a pixel of value x became 1 with probability x",
    "threshold": "binarized by threshold: a pixel is 1 above the middle of its range",
}


def binarized(parts: Parts, settings: DataSettings, default: str, notes: list[str]) -> tuple[Parts, str]:
    """The parts, binarized if that is done once and for all, and how their splits binarize.

    Args:
        parts: the set.
        settings: ``binarize`` and ``seed`` count here.
        default: what ``auto`` means for the set.
        notes: gets a sentence about what was done.

    Raises:
        DataError: for static binarization of a memory-mapped set.
    """
    binarize = default if settings.binarize == "auto" else settings.binarize
    if binarize == "none":
        return parts, binarize
    if parts.train.levels == 1:
        if settings.binarize != "auto":
            notes.append(f"data.binarize={binarize} changes nothing: the pixels are 0 and 1 already")
        return parts, "none"
    notes.append(_SENTENCES[binarize].format(seed=settings.seed))
    if binarize != "static":
        return parts, binarize
    drawn = {
        part: _draw_once(images, generator_for(settings.seed, "static binarization", index))
        for index, (part, images) in enumerate(parts.all().items())
    }
    return replace(parts, **drawn), binarize


def _draw_once(images: Images, generator: torch.Generator) -> Images:
    if images.mapped:
        raise DataError(
            "data.binarize=static: expected images that fit in memory; got a memory-mapped file",
            hint="use dynamic or threshold, or save the set binarized",
        )
    pixels, levels = images.pixels, images.levels
    if levels is None:
        noise = torch.rand(pixels.shape, generator=generator, dtype=torch.float32)
    else:
        noise = torch.empty_like(pixels).random_(0, levels, generator=generator)
    return replace(images, pixels=(pixels > noise).to(torch.uint8), levels=1)


def check_dequantize(levels: int | None, binarize: str, settings: DataSettings) -> None:
    """Refuses noise on what has no cells to spread it over.

    Raises:
        RecipeError: for ``dequantize`` on binary or continuous data.
    """
    if settings.dequantize == "none":
        return
    if levels == 1 or binarize != "none":
        raise RecipeError(
            "data.dequantize=uniform: expected gray levels; got binary pixels",
            hint="data.dequantize=none, or data.binarize=none for gray data",
        )
    if levels is None:
        raise RecipeError(
            "data.dequantize=uniform: expected gray levels; got floats that are no multiples of 1/255",
            hint="data.dequantize=none: they are continuous already",
        )
