"""What every picture file returns, and how a chart is drawn once for light, dark and file.

A chart, with images in it or not, is drawn in the light palette. In the page it is an SVG with a transparent background
in which every palette color has become a CSS variable, so that it follows the reader's scheme, and text is text in the
page's font. In ``figures/`` it is a PNG on white.
"""

from __future__ import annotations

import html
import io
import itertools
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tightbound.report.grids import enlarge
from tightbound.report.pictures import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import BboxBase

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
    "page": "#ffffff",
    # Ten classes. Found by maximizing the least distance of any two in OKLab, as seen with and without each kind of
    # color blindness (Machado et al. 2009), light and dark: 0.1 at least. Still, name the classes too.
    "class-0": "#0673f3",
    "class-1": "#fc4f4c",
    "class-2": "#7a1dad",
    "class-3": "#efac33",
    "class-4": "#32c6d7",
    "class-5": "#a50d19",
    "class-6": "#215864",
    "class-7": "#a070a0",
    "class-8": "#4c1205",
    "class-9": "#270b6e",
}
INK, MUTED, GRID, FAINT, BLUE, ORANGE, TEAL, PURPLE, PAGE, *CLASSES = PALETTE.values()

WIDTH = 4.9  # inches of a chart: about a phone's width at one point a CSS pixel
POINTS = 72  # an inch
SMALL = 9.0  # font size, points
_PNG_DPI = 200
_MOST_PNG_DPI = 600
_PNG_MARGIN = 0.06  # inches
_SHARPNESS = 3  # pixels of an enlarged image for each point that it takes in a chart
_DENSE = 1.2  # pixels a point: images of more stay as they are
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
    """An exhibit of one plot; the arguments are those of ``composed``, but ``draw`` gets the axes."""
    return composed(name, title, caption, alt, lambda figure: draw(_laid_out(figure)), size=size)


def composed(
    name: str,
    title: str,
    caption: str,
    alt: str,
    draw: Callable[[Figure], None],
    *,
    size: tuple[float, float],
    png_width: int = 0,
) -> Exhibit:
    """An exhibit drawn with matplotlib.

    Args:
        name: see ``Exhibit``; also seeds the ids in the SVG, so that equal input gives equal bytes.
        title: see ``Exhibit``.
        caption: see ``Exhibit``.
        alt: what it shows, for those who do not see it.
        draw: draws on the figure, in colors of the palette only.
        size: inches; kept small so that text stays legible when the chart shrinks to a phone's width.
        png_width: pixels that the file in ``figures/`` should be wide at least, for images of many pixels.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with _drawing_settings(name):
        figure = Figure(figsize=size)
        FigureCanvasAgg(figure)
        draw(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once, if at all: both files agree
        svg, png = io.BytesIO(), io.BytesIO()
        figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        for image in itertools.chain.from_iterable(axes.images for axes in figure.axes):
            image.set_interpolation("antialiased")  # in the SVG they are "none": their very pixels
        dpi = min(max(_PNG_DPI, png_width / size[0]), _MOST_PNG_DPI)
        figure.savefig(
            png, format="png", dpi=dpi, facecolor="white", metadata={"Software": None}, bbox_inches=_with_margin(figure)
        )
    return Exhibit(name, title, caption, inline_svg(svg.getvalue().decode(), name, alt), png.getvalue())


def _laid_out(figure: Figure) -> Axes:
    """One plot that fills the figure."""
    figure.set_layout_engine("constrained")
    return figure.add_subplot()


def _with_margin(figure: Figure) -> BboxBase:
    """A little white around what reaches the figure's edge."""
    from matplotlib.transforms import Bbox

    width, height = (float(side) for side in figure.get_size_inches())
    return Bbox.from_extents(-_PNG_MARGIN, -_PNG_MARGIN, width + _PNG_MARGIN, height + _PNG_MARGIN)


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in points from the figure's top left corner."""
    figure_width, figure_height = (POINTS * float(side) for side in figure.get_size_inches())
    bottom = figure_height - top - height
    box = (left / figure_width, bottom / figure_height, width / figure_width, height / figure_height)
    return figure.add_axes(box)


def sheet(figure: Figure) -> Axes:
    """Axes without ticks or frame over the whole figure, whose units are points from its top left corner."""
    width, height = (POINTS * float(side) for side in figure.get_size_inches())
    axes = place(figure, 0, 0, width, height)
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(height, 0))
    return axes


def paste(axes: Axes, pixels: Array, left: float, top: float, width: float, height: float) -> None:
    """Shows an image (H, W, 4) uint8 at a place of a ``sheet``.

    Small images are enlarged first: every pixel stays a square, however a browser then scales them.
    """
    few = pixels.shape[1] < _DENSE * width
    factor = max(1, round(_SHARPNESS * width / pixels.shape[1])) if few else 1
    extent = (left, left + width, top + height, top)
    axes.imshow(enlarge(pixels, factor), extent=extent, interpolation="none", aspect="auto")


def write(axes: Axes, left: float, top: float, text: str, *, color: str = MUTED, **options: Any) -> None:
    """Small text at a place of a ``sheet``, centered there unless ``ha`` or ``va`` say otherwise."""
    given = {"ha": "center", "va": "center", "fontsize": SMALL} | options
    axes.text(left, top, text, color=color, **given)


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
                "image.composite_image": False,
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
    body = body.replace("xlink:href", "href").replace("base64,\n", "base64,")
    body = body.replace(' style="image-rendering:crisp-edges;image-rendering:pixelated"', "")
    body = re.sub(r' d="[^"]*"', _rounded, body)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))
    body = re.sub(r' id="([^"]+)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)
    body = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--font)", body)
    for color, value in PALETTE.items():
        body = body.replace(value, f"var(--chart-{color})")
    body = re.sub(r"\s*\n\s*", " ", body)
    label = html.escape(alt, quote=True)
    return f'<svg class="chart" role="img" aria-label="{label}" viewBox="{view_box[1]}">{body}'


def _rounded(path: re.Match[str]) -> str:
    """A path with numbers cut to a hundredth of a point and short dots: half the bytes, and no visible difference."""
    numbers = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", path[0])
    return re.sub(r"M (\S+ \S+) \nL \1 \n", r"M\1h0", numbers)
