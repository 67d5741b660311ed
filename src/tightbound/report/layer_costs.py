"""What each layer of a ladder carries: its KL as bars, where in the image it lies as maps, and its active units."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from tightbound.report.exhibit import BLUE, INK, MUTED, POINTS, WIDTH, Exhibit, chart, composed, paste, sheet, write
from tightbound.report.formatting import count, percent, plural, significant, with_error
from tightbound.report.grids import heat, to_rgba
from tightbound.report.layer_arrays import LayerKL
from tightbound.report.layer_names import layer_name
from tightbound.report.pictures import Array
from tightbound.report.run_folder import Row
from tightbound.report.units import ACTIVE_VARIANCE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAR = 0.27  # inches a layer
# Points.
_LARGEST, _SMALLEST = 46.0, 25.0  # sides of a map
_ALL_MAPS = 460.0  # height of all maps, as far as these sides allow
_GAP = 5.0
_NAME = 58.0
_SCALE = 36.0  # for the number at the end of a scale
_HEAD = 18.0
_LETTER = 5.0
_HEADING = 9 * _LETTER  # width of ``image 123``
_FEW = 1e5  # nats that are written out; untrained ladders have many more


def layer_costs(found: LayerKL | None) -> list[Exhibit]:
    """Bars and maps, where the KL is known and finite."""
    if found is None or not np.isfinite(found.per_image).all():
        return []
    return [layer_bars(found), layer_maps(found)]


def layer_bars(found: LayerKL) -> Exhibit:
    """A bar a layer, the top at the top, with its standard error over images and its share."""
    n, layers = found.per_image.shape
    mean = found.per_image.mean(0, dtype=np.float64)
    error = found.per_image.std(0, ddof=1, dtype=np.float64) / math.sqrt(n) if n > 1 else np.zeros(layers)
    whole = found.per_image.sum(1, dtype=np.float64)
    total = _nats(float(whole.mean()), float(whole.std(ddof=1)) / math.sqrt(n) if n > 1 else None)
    texts = [
        f"{_nats(float(value), float(spread))}, {percent(round(float(value / mean.sum()), 4))}"
        for value, spread in zip(mean, error, strict=True)
    ]

    def draw(axes: Axes) -> None:
        axes.errorbar(mean, np.arange(layers), xerr=error, fmt="none", ecolor=INK, elinewidth=1.1, capsize=2)
        _bars(axes, mean, mean + error, texts)
        axes.set_xlabel("nats per image")

    caption = (
        "How far apart a layer's posterior and prior are, given the layers above: KL(q(z_i | z_>i, x) ‖ p(z_i | z_>i)) "
        f"at one posterior sample of each of {plural(n, f'{found.split} image')}. Mean, standard error over the "
        f"images, and share of the total, {total} nats per image."
    )
    named = "; ".join(f"layer {layer_name(i + 1, layers)}: {text}" for i, text in enumerate(texts))
    size = (WIDTH, 0.8 + _BAR * layers)
    return chart("layer_kl", "What each layer carries", caption, f"Bar chart: {named}. {caption}", draw, size=size)


def _nats(value: float, error: float | None) -> str:
    return with_error(value, error) if value < _FEW else f"{value:.1e}"


def _brightest(value: float) -> str:
    return significant(value, 2) if value < _FEW else f"{value:.0e}"


def active_bars(row: Row) -> Exhibit | None:
    """Which part of each layer's units is active; None where it is not known of every layer, or there is one."""
    units, active = row.get("units") or [], row.get("active_units") or []
    layers = len(units)
    if layers < 2 or len(active) != layers or None in active:
        return None
    parts = np.array(active) / np.array(units)
    texts = [f"{count(some)} of {count(all_of_it)}" for some, all_of_it in zip(active, units, strict=True)]

    def draw(axes: Axes) -> None:
        _bars(axes, 100 * parts, 100 * parts, texts)
        axes.set_xlim(0, 150)
        axes.set_xticks(range(0, 101, 25))
        axes.set_xlabel("active units, percent of the layer's")

    caption = (
        f"{count(sum(active))} of {plural(sum(units), 'latent unit')} are active: their posterior mean varies over the "
        f"images (variance above {ACTIVE_VARIANCE}, Burda et al. 2016)."
    )
    named = "; ".join(f"layer {layer_name(i + 1, layers)}: {text}" for i, text in enumerate(texts))
    size = (WIDTH, 0.8 + _BAR * layers)
    alt = f"Bar chart: {named}. {caption}"
    return chart("active_units", "Active latent units of each layer", caption, alt, draw, size=size)


def _bars(axes: Axes, values: Array, ends: Array, texts: list[str]) -> None:
    """Horizontal bars named by their layers, with a text right of each."""
    layers = len(values)
    axes.barh(np.arange(layers), values, height=0.7, color=BLUE)
    for layer, (end, text) in enumerate(zip(ends, texts, strict=True)):
        axes.annotate(text, (end, layer), (5, 0), textcoords="offset points", va="center", color=INK, fontsize=9)
    axes.set_yticks(np.arange(layers), [layer_name(layer + 1, layers) for layer in range(layers)])
    axes.set_ylabel("layer", color=MUTED)
    axes.set_ylim(-0.6, layers - 0.4)
    axes.set_xlim(0, 1.6 * max(float(ends.max()), 1e-6))  # room for the texts
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")


def layer_maps(found: LayerKL) -> Exhibit:
    """A row a layer, the top at the top: the mean map, then that of each of a few images; above, these images."""
    layers = len(found.maps)
    wide, tall = _tile(layers, len(found.images), found.images.shape[2] / found.images.shape[3])
    pitch = max(wide + _GAP, _HEADING)
    lefts = [_NAME + wide + _GAP + _SCALE + i * pitch for i in range(len(found.images))]
    total = _HEAD + (layers + 1) * (tall + _GAP)
    headings = [f"image {index}" for index in found.index]
    if max(map(len, headings)) * _LETTER > pitch:
        headings = [str(index) for index in found.index]

    def strip(axes: Axes, maps: Array, lefts: list[float], upper: float) -> None:
        """Maps on one scale of colors, the number of the brightest at their end."""
        top = float(maps.max())
        for tile, left in zip(heat(maps[:, None], top), lefts, strict=True):
            paste(axes, tile, left, upper, wide, tall)
        write(axes, lefts[-1] + wide + _GAP, upper + tall / 2, _brightest(top), ha="left")

    def draw(figure: Figure) -> None:
        axes = sheet(figure)
        write(axes, _NAME + wide / 2, _HEAD / 2, "mean")
        for heading, tile, left in zip(headings, to_rgba(found.images), lefts, strict=True):
            write(axes, left + wide / 2, _HEAD / 2, heading)
            paste(axes, tile, left, _HEAD, wide, tall)
        for row, layer in enumerate(reversed(range(layers)), start=1):
            upper = _HEAD + row * (tall + _GAP)
            write(axes, _NAME - 8, upper + tall / 2, layer_name(layer + 1, layers), ha="right")
            strip(axes, found.mean_maps[layer][None], [_NAME], upper)
            strip(axes, found.maps[layer], lefts, upper)
        write(axes, _NAME - 8, _HEAD + tall / 2, "layer", ha="right")
        for left in (_NAME, lefts[-1]):
            write(axes, left + wide + _GAP, _HEAD + tall / 2, "nats", ha="left")

    caption = (
        f"Where in the image each layer puts its nats: KL at every position, summed over channels. Left the mean over "
        f"{plural(len(found.per_image), f'{found.split} image')}, then single images, at one posterior sample each, "
        "their numbers above. "
        "Colors run from black, 0 nats, to pale yellow, the number beside: one scale for a layer's mean, one for its "
        "single images. So compare colors within a layer, and numbers between layers."
        + (" The images have the black border that the model adds to them." if found.padded else "")
    )
    size = (WIDTH, total / POINTS)
    alt = f"Heat maps of {plural(layers, 'layer')}. {caption}"
    return composed("layer_kl_maps", "Where each layer puts its nats", caption, alt, draw, size=size)


def _tile(layers: int, images: int, aspect: float) -> tuple[float, float]:
    """Width and height of a map: as large as the columns allow, smaller where there are many layers."""
    room = (WIDTH * POINTS - _NAME - 2 * _SCALE) / (images + 1) - _GAP
    tall = min(max(_ALL_MAPS / (layers + 1) - _GAP, _SMALLEST), _LARGEST)
    wide = min(tall / aspect, room)
    return wide, wide * aspect
