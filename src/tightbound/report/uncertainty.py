"""Uncertainty maps: one color scale for all of a page, and in words what a map shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tightbound.report.formatting import significant
from tightbound.report.grids import is_constant
from tightbound.report.pictures import Array, Pictures

_USUAL, _FAR = 0.995, 2.0  # the scale ends at this quantile if the largest value is more than so many times that
_UNIT = "pixels in 0 to 1"
_AND_CHANNEL = " and channel, whose mean over the channels is shown and"


@dataclass(frozen=True)
class Scale:
    """Where colors end.

    Args:
        top: the standard deviation of the last color.
        largest: of all; above ``top`` where some pixels are far above all others.
    """

    top: float
    largest: float

    @property
    def end(self) -> str:
        """The number at the bar's end: ``0.43``, or ``≥ 0.43``."""
        return ("≥ " if self.largest > self.top else "") + significant(self.top, 2)


def scale_of(maps: Sequence[Array]) -> Scale:
    """One scale for all of these maps (n, C, H, W), as they are shown: averaged over channels."""
    values = np.concatenate([shown.mean(1).ravel() for shown in maps]) if maps else np.zeros(1)
    usual, largest = float(np.quantile(values, _USUAL)), float(values.max())
    return Scale(usual, largest) if largest > _FAR * usual > 0 else Scale(largest, largest)


def page_scale(pictures: Pictures | None) -> Scale:
    """The scale of every uncertainty map of a page."""
    if pictures is None:
        return scale_of([])
    rows = [rows.std for rows in (pictures.encoded, pictures.generated) if rows is not None]
    return scale_of([*rows, *([] if pictures.uncertainty is None else [pictures.uncertainty])])


def one_each(maps: Array) -> list[str] | None:
    """``σ 0.12`` of each image, where all pixels of an image (of a channel) have the same; None where they differ."""
    if is_constant(maps) or not all(is_constant(channel) for image in maps for channel in image):
        return None
    return [f"σ {significant(float(image.mean()))}" for image in maps]


def in_words(maps: Array, scale: Scale) -> str:
    """What these maps are, with their colors' scale."""
    if is_constant(maps):
        return f"Every pixel has the same uncertainty: noise scale σ = {significant(float(maps.mean()))}, {_UNIT}."
    what = "the standard deviation of every pixel that the likelihood states"
    if one_each(maps) is not None:
        what = f"the likelihood has one σ for each image{_AND_CHANNEL if maps.shape[1] > 1 else ''}, written below it"
    elif maps.shape[1] > 1:
        what += ", as its mean over the channels"
    largest = float(maps.mean(1).max())
    beyond = f"; some pixels are beyond, up to {significant(largest, 2)}" if largest > scale.top else ""
    return (
        f"Uncertainty: {what}. Its colors run from 0 to {significant(scale.top, 2)} in every figure of this page, "
        f"{_UNIT}{beyond}."
    )
