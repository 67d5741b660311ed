"""The Gaussian location study in tables and charts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tightbound.recipes.location.methods import METHODS
from tightbound.report.exhibit import CLASSES, WIDTH, Exhibit, chart, legend_above
from tightbound.report.formatting import fixed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = Mapping[str, Any]
Rows = Sequence[Row]

QUANTITIES = {"theta": "θ", "shift": "Δ", "scale": "σ"}
AGAINST = {"truth": "the truth", "optimum": "the exact maximum of the evidence"}
TITLES = {
    "bound": "The right bound, all rows at once",
    "published": "As published: mini-batches as data sets of their own, and planar and IAF without the factor ½",
}
_NOISE_FLOOR = "sampling noise, Σ σ²/(2N)"


def error_of(row: Row, quantity: str, against: str) -> float:
    """Squared error of θ = (Δ, σ), Δ or σ, mean over the data sets."""
    found = row[against]
    parts = ("shift", "scale") if quantity == "theta" else (quantity,)
    return sum(sum(found[part]) for part in parts) / row["data_sets"]


def number(value: float) -> str:
    """Four significant digits, or a power of ten below a thousandth; nothing below 1e-9 is told from 0."""
    if value < 1e-9:
        return "< 1e-9"
    if value < 1e-3:
        return f"{value:.2e}"
    digits = next((digits for digits, least in ((3, 100), (3, 10), (3, 1), (4, 0.1)) if value >= least), 5)
    return fixed(value, digits)


def tables(rows: Iterable[Row]) -> list[str]:
    """Markdown tables: for each table of the study the errors of θ, Δ and σ, against the truth and the optimum."""
    rows, lines = list(rows), []
    for table, title in TITLES.items():
        there = [row for row in rows if row["table"] == table]
        if there:
            lines += [f"### {title}", ""]
            for quantity, sign in QUANTITIES.items():
                for against, text in AGAINST.items():
                    lines += [f"Squared error of {sign} against {text}:", "", *_errors(there, quantity, against), ""]
            # Of the published protocol it would be that of posteriors of 256 rows, applied to 10,000.
            if table == "bound":
                lines += ["log p(x) − ELBO in nats, mean over the data sets:", "", *_gaps(there), ""]
    if counts := [row for row in rows if row["passes"] is not None]:
        lines += _by_passes(counts)
    return lines


def charts(rows: Iterable[Row]) -> list[Exhibit]:
    """The error against the dimension, of each table and each part of θ; learning curves of each method."""
    rows, made = list(rows), []
    for table in TITLES:
        there = [row for row in rows if row["table"] == table]
        if len({row["dimension"] for row in there}) > 1:
            made += [error_chart(there, table, quantity) for quantity in QUANTITIES]
        for dimension in sorted({row["dimension"] for row in there}):
            of_it = [row for row in there if row["dimension"] == dimension]
            made += [_learning(of_it, table, dimension, quantity) for quantity in ("shift", "scale")]
    return made


def _errors(rows: Rows, quantity: str, against: str) -> list[str]:
    floor = quantity == "scale" and against == "truth"
    extra = [("Σ z²", _squared_latent)] if quantity == "shift" and against == "truth" else []
    extra += [(_NOISE_FLOOR, noise_floor)] if floor else []
    return _table(rows, lambda row: number(error_of(row, quantity, against)), extra)


def _gaps(rows: Rows) -> list[str]:
    def gap(row: Row) -> str:
        count = row["data_sets"]
        error = sum(value**2 for value in row["elbo_error"]) ** 0.5 / count
        value = (sum(row["log_evidence"]) - sum(row["elbo"])) / count
        return f"{fixed(value, 3 if error < 0.1 else 0)} ± {fixed(error, 3 if error < 0.1 else 0)}"

    return _table(rows, gap, [])


def _table(rows: Rows, cell: Callable[[Row], str], extra: Sequence[tuple[str, Callable[[Row], float]]]) -> list[str]:
    """One line a dimension, one column a method."""
    names = [name for name in METHODS if any(row["method"] == name for row in rows)]
    heads = ["d", *(METHODS[name].label for name in names), *(label for label, _ in extra)]
    lines = ["| " + " | ".join(heads) + " |", "|---" * len(heads) + "|"]
    for dimension in sorted({row["dimension"] for row in rows}):
        found = {row["method"]: row for row in rows if row["dimension"] == dimension}
        cells = [cell(found[name]) if name in found else "" for name in names]
        more = [number(value(next(iter(found.values())))) for _, value in extra]
        lines.append("| " + " | ".join([str(dimension), *cells, *more]) + " |")
    return lines


def _by_passes(rows: Rows) -> list[str]:
    """What a fixed number of passes leaves: errors against the optimum on the way."""
    lines = ["Squared errors against the optimum after so many passes of the published optimizer:", ""]
    lines += ["| d | method | passes | Δ | σ |", "|---|---|---|---|---|"]
    for row in rows:
        for point in row["curve"]:
            if (point["pass"] >= 1000 and point["pass"] % 1000 == 0) or point is row["curve"][-1]:
                shift, scale = (sum(point["optimum"][part]) / row["data_sets"] for part in ("shift", "scale"))
                cells = (str(row["dimension"]), METHODS[row["method"]].label, f"{point['pass']:g}")
                lines.append("| " + " | ".join([*cells, number(shift), number(scale)]) + " |")
    return [*lines, ""]


def noise_floor(row: Row) -> float:
    """What the sample standard deviation misses the true σ by, squared and summed: Σ σ²/(2N)."""
    from tightbound.recipes.location.data import truth

    return float(truth(row["dimension"])[1].square().sum()) / (2 * row["rows"])


def _squared_latent(row: Row) -> float:
    return sum(row["squared_latent"]) / row["data_sets"]


def error_chart(rows: Rows, table: str, quantity: str) -> Exhibit:
    """One line a method; against the truth for θ and σ, against the optimum for Δ, of which the truth says nothing."""
    against = "optimum" if quantity == "shift" else "truth"
    sign = QUANTITIES[quantity]

    def draw(axes: Axes) -> None:
        for index, name in enumerate(METHODS):
            points = sorted(
                (row["dimension"], error_of(row, quantity, against)) for row in rows if row["method"] == name
            )
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=CLASSES[index],
                    linewidth=4 - 0.35 * index,  # where methods agree, all of them can be seen
                    marker="o",
                    markersize=7 - 0.5 * index,
                    label=METHODS[name].label,
                )
        axes.set(yscale="log", xlabel="dimension d", ylabel=f"squared error of {sign}")
        legend_above(axes)

    caption = f"{TITLES[table]}. Squared error of {sign} against {AGAINST[against]}, mean over the data sets."
    return chart(
        f"{table}-{quantity}-by-dimension",
        f"Error of {sign} and dimension",
        caption,
        f"Line chart of the squared error of {sign} against the dimension, a line for each method.",
        draw,
        size=(WIDTH, 4.2),
    )


def _learning(rows: Rows, table: str, dimension: int, quantity: str) -> Exhibit:
    sign = QUANTITIES[quantity]

    def draw(axes: Axes) -> None:
        for index, name in enumerate(METHODS):
            for row in (row for row in rows if row["method"] == name):
                points = [(point["update"], sum(point["optimum"][quantity])) for point in row["curve"]]
                x, y = zip(*points, strict=True)
                y = [max(value / row["data_sets"], 1e-12) for value in y]
                axes.plot(x, y, color=CLASSES[index], label=METHODS[name].label)
        axes.set(xscale="log", yscale="log", xlabel="updates", ylabel=f"squared error of {sign}")
        legend_above(axes)

    caption = f"{TITLES[table]}, d = {dimension}. Squared error of {sign} against {AGAINST['optimum']}."
    return chart(
        f"{table}-{quantity}-learning-{dimension}",
        f"Learning curves of {sign}, d = {dimension}",
        caption,
        f"Line chart of the squared error of {sign} during training in {dimension} dimensions, a line for each method.",
        draw,
        size=(WIDTH, 4.2),
    )
