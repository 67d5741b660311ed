"""Posterior samples before and after a flow, in the two latent units that it ties together most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, ORANGE, POINTS, WIDTH, Exhibit, composed, place, sheet, write
from tightbound.report.formatting import fixed, plural
from tightbound.report.pictures import Array, Carried, Pictures
from tightbound.report.scatter import dots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIDE = 138.0  # points
_HEAD, _LEFT, _GAP, _FOOT = 22.0, 38.0, 30.0, 22.0
_SIZE = 2.2  # of a dot, points
_MARGIN = 0.06


def carried_samples(pictures: Pictures | None) -> Exhibit | None:
    """Two clouds an image; None where the posterior is a Gaussian, or there is one latent unit."""
    if pictures is None or pictures.carried is None:
        return None
    found = pictures.carried
    first, second = found.units
    rows = len(found.before)
    # One scale for both clouds of an image, or a narrower one would look as wide.
    spans = np.maximum(np.ptp(found.before, axis=1), np.ptp(found.after, axis=1)).max(-1) * (1 + _MARGIN)

    def draw(figure: Figure) -> None:
        paper = sheet(figure)
        for column, heading in enumerate((f"before the {found.by}", f"after the {found.by}")):
            write(paper, _left(column) + _SIDE / 2, _HEAD / 2, heading)
        for row in range(rows):
            top = _HEAD + row * (_SIDE + _GAP)
            for column, (cloud, color) in enumerate(((found.before[row], BLUE), (found.after[row], ORANGE))):
                axes = place(figure, _left(column), top, _SIDE, _SIDE)
                _cloud(axes, cloud, color, spans[row])
            write(paper, 5, top + _SIDE / 2, f"{found.split} image {found.index[row]}, unit {second}", rotation=90)
        write(paper, WIDTH * POINTS / 2, _HEAD + rows * (_SIDE + _GAP) - 4, f"unit {first}")

    before, after = (fixed(float(np.mean([_correlation(c) for c in clouds]))) for clouds in (found.before, found.after))
    caption = (
        f"{plural(found.before.shape[1], 'sample')} of q(z | x) each: as the Gaussian base gives them, and where the "
        f"{found.by} carries them. Of all pairs, units {first} and {second} gain the most correlation: its mean size "
        f"over these images goes from {before} to {after}."
    )
    height = (_HEAD + rows * (_SIDE + _GAP) + _FOOT) / POINTS
    title = f"What the {found.by} makes of the posterior"
    return composed("carried", title, caption, f"Pairs of point clouds. {caption}", draw, size=(WIDTH, height))


def _cloud(axes: Axes, cloud: Array, color: str, span: float) -> None:
    """Dots in a square of this width."""
    axes.grid(visible=True, axis="both")
    dots(axes, cloud.astype(np.float64), color, _SIZE, 1e-9 * span)
    middle = (cloud.min(0) + cloud.max(0)) / 2
    (left, right), (low, high) = ((float(m - span / 2), float(m + span / 2)) for m in middle)
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.locator_params(nbins=4)
    axes.tick_params(labelsize=8)


def most_tied(before: Array, after: Array) -> tuple[int, int]:
    """The pair of units whose |correlation|, averaged over images, grows most: (n, S, D) twice -> two units."""
    grown = np.mean(
        [np.abs(_correlations(b)) - np.abs(_correlations(a)) for a, b in zip(before, after, strict=True)], 0
    )
    grown[np.tril_indices(len(grown))] = -np.inf
    first, second = np.unravel_index(int(np.argmax(grown)), grown.shape)
    return int(first), int(second)


def carried(before: Array, after: Array, index: Array, split: str, by: str = "flow") -> Carried:
    """The picture's arrays from samples (n, S, D) of all units; ``by`` is a word for what carries them."""
    units = most_tied(before, after)
    return Carried(before[..., units], after[..., units], index, units, split, by)


def _correlations(samples: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.nan_to_num(np.asarray(np.corrcoef(samples.astype(np.float64), rowvar=False)))


def _correlation(cloud: Array) -> float:
    return float(abs(_correlations(cloud)[0, 1]))


def _left(column: int) -> float:
    return _LEFT + column * (_SIDE + 38.0)
