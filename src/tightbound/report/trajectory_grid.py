"""A grid of what is decoded along trajectories: a row an image, its energy error and acceptance beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import INK, POINTS, WIDTH, Exhibit, composed, paste, sheet, write
from tightbound.report.formatting import MINUS, fixed, plural
from tightbound.report.grids import cut_note, grid, to_rgba
from tightbound.report.images import gap_for
from tightbound.report.pictures import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Points.
_NUMBERS, _BETWEEN, _RIGHT, _HEAD, _FOOT, _MARGIN = 28.0, 6.0, 62.0, 20.0, 16.0, 2.0
_LARGE = 1e3  # nats


@dataclass(frozen=True, eq=False)
class Course:
    """Some points of n trajectories.

    Args:
        originals: (n, C, H, W).
        means: (n, S, C, H, W), of the pixels at the points shown.
        at: (S), the points shown, counted from 0; one after the last step is where the posterior's flows lead.
        energy_error: (n) nats, at the end.
        acceptance: (n).
        index: (n), of the images in their split.
        split: what they are of.
        own: whether the posterior itself goes there.
        steps: of the leapfrog.
    """

    originals: Array
    means: Array
    at: Array
    energy_error: Array
    acceptance: Array
    index: Array
    split: str
    own: bool
    steps: int


def shown(num_points: int, most: int) -> Array:
    """At most so many points, evenly spaced, both ends among them."""
    return np.unique(np.linspace(0, num_points - 1, min(num_points, most)).round().astype(int))


def trajectory_grid(course: Course) -> Exhibit:
    """The image, then where its trajectory comes past."""
    rows, columns = course.means.shape[:2]
    originals = to_rgba(course.originals)
    tiles = to_rgba(course.means.reshape(-1, *course.means.shape[2:]))
    gap = gap_for(tiles.transpose(0, 3, 1, 2))
    first, canvas = grid(originals, 1, gap), grid(tiles, columns, gap)
    room = WIDTH * POINTS - _NUMBERS - _BETWEEN - _RIGHT
    scale = room / (first.shape[1] + canvas.shape[1])
    left = _NUMBERS + first.shape[1] * scale + _BETWEEN
    tall, pitch = canvas.shape[0] * scale, (tiles.shape[1] + gap) * scale

    def draw(figure: Figure) -> None:
        axes = sheet(figure)
        paste(axes, first, _NUMBERS, _HEAD, first.shape[1] * scale, tall)
        paste(axes, canvas, left, _HEAD, canvas.shape[1] * scale, tall)
        write(axes, _NUMBERS + first.shape[1] * scale / 2, _HEAD / 2, "x")
        write(axes, WIDTH * POINTS - _RIGHT / 2, _HEAD / 2, "error, acceptance", fontsize=7)
        for column, point in enumerate(course.at):
            middle = (column * (tiles.shape[2] + gap) + tiles.shape[2] / 2) * scale
            write(axes, left + middle, _HEAD / 2, "flow" if point > course.steps else str(point))
        for row in range(rows):
            middle = _HEAD + row * pitch + tiles.shape[1] * scale / 2
            write(axes, _NUMBERS - 4, middle, str(course.index[row]), ha="right")
            numbers = f"{short(course.energy_error[row])}, {fixed(course.acceptance[row])}"
            write(axes, WIDTH * POINTS - _RIGHT + 5, middle, numbers, ha="left", color=INK, fontsize=7.5)

    caption = _caption(course, cut_note(course.means))
    alt = f"{plural(rows, 'row')} of {plural(columns, 'decoded image')}. {caption}"
    size = (WIDTH, (_HEAD + tall + _FOOT - _MARGIN) / POINTS)
    png_width = round((first.shape[1] + canvas.shape[1]) * WIDTH * POINTS / room)
    return composed("trajectory", "Along a trajectory", caption, alt, draw, size=size, png_width=png_width)


def short(error: float) -> str:
    """An energy error in the room beside a row, also where the leapfrog has blown up."""
    if abs(error) < _LARGE or not np.isfinite(error):
        return fixed(error)
    mantissa, exponent = f"{error:.1e}".replace("-", MINUS).split("e")
    return f"{mantissa}e{int(exponent)}"


def _caption(course: Course, cut: str) -> str:
    goes = (
        "where a sample of the posterior comes past on its way"
        if course.own
        else "where Hamiltonian Monte Carlo leads from a sample of the posterior"
    )
    flow = ", and where the flows after them lead" if course.at[-1] > course.steps else ""
    return (
        f"Images of the {course.split} set (numbers on the left), and the mean of every pixel{cut} decoded {goes}, "
        f"after so many of {plural(course.steps, 'step')}{flow}. On the right: what the leapfrog changes of the energy "
        "(nats), and the probability with which a Metropolis test would accept that; "
        f"{fixed(float(course.acceptance.mean()))} on average."
    )
