"""Grids of decoded means: between images, and along one latent unit at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightbound.report.exhibit import INK, ORANGE, POINTS, WIDTH, Exhibit, composed, paste, sheet, write
from tightbound.report.formatting import MINUS, plural
from tightbound.report.grids import cut_note, grid, to_rgba
from tightbound.report.images import gap_for
from tightbound.report.pictures import Interpolation, Pictures, Traversal
from tightbound.report.walks import REACH

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Points.
_ORIGINAL = 42.0  # width of a corner's own image
_STRIP = 10.0  # between these and the grid
_MARGIN = 2.0  # for the frames
_LABELS = 40.0  # left of a traversal
_LONG_LABELS = 88.0  # of one that names layers
_FOOT = 34.0  # below it
_OF_LAYERS = (
    " Layers are counted from the bottom, 1. Standard deviations are those of a layer's prior given the layers above; "
    "where these move, the layers below move along, as many standard deviations from their own mean as before."
)


def interpolation_grid(picture: Interpolation) -> Exhibit:
    """The grid, with the images that its corners stand for above and below."""
    rows, columns = picture.means.shape[:2]
    tiles = to_rgba(picture.means.reshape(-1, *picture.means.shape[2:]))
    gap = gap_for(tiles.transpose(0, 3, 1, 2))
    canvas = grid(tiles, columns, gap)
    wide = WIDTH * POINTS - 2 * _MARGIN
    tall = wide * canvas.shape[0] / canvas.shape[1]
    strip = _ORIGINAL * tiles.shape[1] / tiles.shape[2]
    strips = 1 if rows == 1 else 2
    upper = _MARGIN + strip + _STRIP
    total = 2 * _MARGIN + tall + strips * (strip + _STRIP)

    def draw(figure: Figure) -> None:
        axes = sheet(figure)
        paste(axes, canvas, _MARGIN, upper, wide, tall)
        tile_wide, tile_tall = wide * tiles.shape[2] / canvas.shape[1], tall * tiles.shape[1] / canvas.shape[0]
        for i, original in enumerate(to_rgba(picture.originals)):
            down, right = i // 2, i % 2
            left, top = _MARGIN + right * (wide - _ORIGINAL), upper + tall + _STRIP if down else _MARGIN
            paste(axes, original, left, top, _ORIGINAL, strip)
            _frame(axes, left, top, _ORIGINAL, strip)
            _frame(axes, _MARGIN + right * (wide - tile_wide), upper + down * (tall - tile_tall), tile_wide, tile_tall)
            beside = left - 8 if right else left + _ORIGINAL + 8
            _name(axes, picture, i, beside, top + strip / 2, "right" if right else "left")

    between = "four images" if len(picture.originals) == 4 else "two images"
    caption = (
        f"Framed: {between} of the {picture.split} set, and the mean of the pixels decoded at the posterior mean of "
        f"each{cut_note(picture.means)}. Between them the latents are mixed in equal steps"
        f"{' in both directions' if rows > 1 else ''}."
    )
    alt = f"Grid of {rows} by {plural(columns, 'image')}. {caption}"
    title = f"Between {between}"
    size = (WIDTH, total / POINTS)
    return composed("interpolation", title, caption, alt, draw, size=size, png_width=canvas.shape[1])


def _frame(axes: Axes, left: float, top: float, width: float, height: float) -> None:
    from matplotlib.patches import Rectangle

    box = Rectangle((left, top), width, height, fill=False, edgecolor=ORANGE, lw=1.6, clip_on=False)
    axes.add_patch(box)


def _name(axes: Axes, picture: Interpolation, i: int, left: float, middle: float, side: str) -> None:
    """Which image it is, in one line or two."""
    half = 0 if picture.label is None else 6
    write(axes, left, middle - half, f"{picture.split} image {picture.index[i]}", color=INK, ha=side)
    if picture.label is not None:
        write(axes, left, middle + half, f"label {picture.label[i]}", ha=side)


def traversal_grid(picture: Traversal) -> Exhibit:
    """A row a unit, labeled with its index."""
    rows, columns = picture.means.shape[:2]
    tiles = to_rgba(picture.means.reshape(-1, *picture.means.shape[2:]))
    gap = gap_for(tiles.transpose(0, 3, 1, 2))
    canvas = grid(tiles, columns, gap)
    labels = _LABELS if picture.layers is None else _LONG_LABELS
    wide = WIDTH * POINTS - labels - _MARGIN
    tall = wide * canvas.shape[0] / canvas.shape[1]
    pitch = wide * (tiles.shape[2] + gap) / canvas.shape[1]
    middle = wide * tiles.shape[2] / canvas.shape[1] / 2
    low = tall * (tiles.shape[1] + gap) / canvas.shape[0]

    def draw(figure: Figure) -> None:
        axes = sheet(figure)
        paste(axes, canvas, labels, _MARGIN, wide, tall)
        for row, unit in enumerate(picture.units):
            half = tall * tiles.shape[1] / canvas.shape[0] / 2
            name = str(unit) if picture.layers is None else f"{unit}, layer {picture.layers[row]}"
            write(axes, labels - 5, _MARGIN + row * low + half, name, ha="right")
        for score in range(-round(REACH), round(REACH) + 1):
            place = (score + REACH) / (2 * REACH) * (columns - 1)
            write(axes, labels + place * pitch + middle, _MARGIN + tall + 9, str(score).replace("-", MINUS))
        write(axes, labels + wide / 2, _MARGIN + tall + 23, "standard deviations of the prior")
        write(axes, 8, _MARGIN + tall / 2, "latent unit", rotation=90)

    of = f" of {picture.part}" if picture.part else ""
    caption = (
        f"Each row moves one latent unit{of} from {MINUS}3 to 3 standard deviations of the prior and leaves the others "
        f"at {picture.held_at}; shown is the mean of every pixel{cut_note(picture.means)}. Units are counted from 0"
        + ("" if picture.layers is None else ", those of the top layer first")
        + (f"; {picture.order}." if picture.order else ".")
        + ("" if picture.layers is None else _OF_LAYERS)
    )
    alt = f"{plural(rows, 'row')} of {plural(columns, 'image')}. {caption}"
    size = (WIDTH, (_MARGIN + tall + _FOOT) / POINTS)
    png_width = round(canvas.shape[1] * WIDTH * POINTS / wide)
    name = "traversal" + (f"_{picture.part}" if picture.part else "")
    return composed(name, f"Along one latent unit{of}", caption, alt, draw, size=size, png_width=png_width)


def walks(pictures: Pictures | None) -> list[Exhibit]:
    """Interpolation and traversal, as far as they are known."""
    if pictures is None:
        return []
    between, along = pictures.interpolation, pictures.traversal
    exhibits = [] if between is None else [interpolation_grid(between)]
    return exhibits if along is None else [*exhibits, traversal_grid(along)]
