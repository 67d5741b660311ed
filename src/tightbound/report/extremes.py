"""The held-out images that the model finds most and least likely, each with its number."""

from __future__ import annotations

import html
import math

from tightbound.report.exhibit import Exhibit
from tightbound.report.formatting import with_error
from tightbound.report.grids import grid, png, to_rgba
from tightbound.report.images import enlargement, gap_for, image_tag
from tightbound.report.lettering import lettered
from tightbound.report.pictures import Pictures, RankedImages
from tightbound.report.weights import PARETO_LIMIT

_COLUMNS = 4


def extreme_images(pictures: Pictures | None, quantity: str = "log p(x)") -> list[Exhibit]:
    """Best and worst; empty without per-image values."""
    if pictures is None:
        return []
    ranked = [
        ("best", f"Largest {quantity}", pictures.best, "The images that the model finds most likely."),
        ("worst", f"Smallest {quantity}", pictures.worst, "The images that surprise the model most."),
    ]
    return [
        _cards(
            name, title, images, f"{text} Below each: {quantity} in nats with its Monte Carlo error.", pictures.split
        )
        for name, title, images, text in ranked
        if images is not None and len(images.index)
    ]


def _cards(name: str, title: str, ranked: RankedImages, caption: str, split: str) -> Exhibit:
    tiles = to_rgba(ranked.images)
    cards = []
    for i, tile in enumerate(tiles):
        what = [f"image {int(ranked.index[i])}"] + ([] if ranked.label is None else [f"label {ranked.label[i]}"])
        tag = image_tag(tile, ranked.images, f"{split} {', '.join(what)}", tile=96)
        doubt = ranked.pareto_k is not None and ranked.pareto_k[i] > PARETO_LIMIT
        flag = ' <abbr title="k̂ above 0.7: not to be trusted">k̂</abbr>' if doubt else ""
        cards.append(
            f'<li>{tag}<span class="value">{_value(ranked, i)}{flag}</span>'
            f'<span class="what">{"".join(f"<span>{html.escape(part)}</span> " for part in what)}</span></li>'
        )
    if ranked.pareto_k is not None and (ranked.pareto_k > PARETO_LIMIT).any():
        caption += " Marked k̂: weights too uneven to trust that number."
    markup = f'<ol class="cards">{"".join(cards)}</ol>'
    factor = enlargement(ranked.images)
    named = lettered(tiles, [[_value(ranked, i), f"image {int(ranked.index[i])}"] for i in range(len(tiles))], factor)
    file = png(grid(named, _COLUMNS, factor * gap_for(ranked.images)))
    return Exhibit(name, title, caption, markup, file)


def _value(ranked: RankedImages, i: int) -> str:
    error = None if ranked.standard_error is None else float(ranked.standard_error[i])
    value = float(ranked.log_likelihood[i])
    return with_error(value, error) if math.isfinite(value) else "not finite"
