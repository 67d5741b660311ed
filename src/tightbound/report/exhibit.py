"""What every picture file returns, and how a chart is drawn once for light, dark and file.

A chart is drawn in the light palette. In the page it is an SVG with a transparent background in which every palette
color has become a CSS variable, so that it follows the reader's scheme, and text is text in the page's font. In
``figures/`` it is a PNG on white.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Name -> color on white. Dark values are in templates/style.css, under the same names. Blue, orange, teal and purple
# stay apart for every common color blindness (they descend from Okabe and Ito's set).
PALETTE = {
    "ink": "#1d2125",
    "muted": "#626a73",
    "grid": "#e3e6ea",
    "faint": "#b9c0c8",
    "blue": "#1f6cb0",
    "orange": "#c9580c",
    "teal": "#11806a",
    "purple": "#85499c",
}
INK, MUTED, GRID, FAINT, BLUE, ORANGE, TEAL, PURPLE = PALETTE.values()

WIDTH = 4.9  # inches of a chart: about a phone's width at one point a CSS pixel
_PNG_DPI = 200
_LEGEND_CHARACTERS = 56  # that fit beside each other over a chart


@dataclass(frozen=True)
class Exhibit:
    """One picture of the page.

    Args:
        name: file stem in ``figures/`` and key of the picture.
        title: short heading.
        caption: what one sees, in plain words, with units.
        markup: trusted HTML of the picture itself, with a description for those who do not see it.
        png: the file in ``figures/``.
        wide: whether it takes the page's full width.
    """

    name: str
    title: str
    caption: str
    markup: str
    png: bytes
    wide: bool = False


def chart(
    name: str,
    title: str,
    caption: str,
    alt: str,
    draw: Callable[[Axes], None],
    *,
    size: tuple[float, float] = (WIDTH, 2.95),
) -> Exhibit:
    """An exhibit drawn with matplotlib.

    Args:
        name: see ``Exhibit``; also seeds the ids in the SVG, so that equal input gives equal bytes.
        title: see ``Exhibit``.
        caption: see ``Exhibit``.
        alt: what the chart shows, for those who do not see it.
        draw: draws on the axes, in colors of the palette only.
        size: inches; kept small so that text stays legible when the chart shrinks to a phone's width.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _drawing_settings(name):
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure.add_subplot())
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once: both files agree
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        figure.savefig(png, format="png", dpi=_PNG_DPI, facecolor="white", metadata={"Software": None})
    return Exhibit(name, title, caption, inline_svg(svg.getvalue().decode(), name, alt), png.getvalue())


@contextmanager
def _drawing_settings(name: str) -> Iterator[None]:
    """Matplotlib's defaults with ours on top, whatever the user's matplotlibrc says; put back afterwards."""
    import matplotlib
    from cycler import cycler

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "svg.fonttype": "none",
                "svg.hashsalt": name,
                "font.size": 10,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.spines.left": False,
                "axes.edgecolor": FAINT,
                "axes.labelcolor": MUTED,
                "axes.grid": True,
                "axes.grid.axis": "y",
                "axes.axisbelow": True,
                "axes.prop_cycle": cycler(color=[BLUE, ORANGE, TEAL, PURPLE]),
                "grid.color": GRID,
                "grid.linewidth": 0.8,
                "xtick.color": FAINT,
                "ytick.color": FAINT,
                "xtick.labelcolor": MUTED,
                "ytick.labelcolor": MUTED,
                "xtick.major.size": 3,
                "ytick.major.size": 0,
                "xtick.minor.size": 0,
                "text.color": INK,
                "lines.linewidth": 1.8,
                "lines.solid_capstyle": "round",
                "legend.frameon": False,
                "legend.labelcolor": INK,
                "legend.handlelength": 1.3,
                "legend.borderaxespad": 0,
            }
        )
        yield


def legend_above(axes: Axes) -> None:
    """A legend above the plot, where it covers nothing, in as many columns as fit."""
    longest = max(len(str(label)) for label in axes.get_legend_handles_labels()[1])
    columns = max(1, int(_LEGEND_CHARACTERS / (longest + 6)))
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.03), ncols=columns, columnspacing=1.4)


def inline_svg(svg: str, name: str, alt: str) -> str:
    """A stand-alone SVG as an element of the page: no prolog, namespaces or styles, own ids, colors as variables."""
    body = svg[svg.index("<svg") :]
    view_box = re.search(r'viewBox="([^"]+)"', body)
    assert view_box is not None
    body = re.sub(r"<svg[^>]*>", "", body, count=1)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)  # would style the whole page
    body = body.replace("xlink:href", "href")
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", body)
    for color, value in PALETTE.items():
        body = body.replace(value, f"var(--chart-{color})")
    body = re.sub(r"\s*\n\s*", " ", body)
    label = html.escape(alt, quote=True)
    return f'<svg class="chart" role="img" aria-label="{label}" viewBox="{view_box[1]}">{body}'
