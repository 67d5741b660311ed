"""Ours beside the published numbers, as lines of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tightbound.recipes.agreement import check_seeds, with_fewest_samples
from tightbound.recipes.published import MOST_UNEVEN, Published, Quantity, find_ours, trusted_error
from tightbound.recipes.recipe import Recipe
from tightbound.recipes.seeds import Mean, error_of_mean, mean_over
from tightbound.report.formatting import MINUS, fixed, percent, plural, with_error

_PIXELS = ("rmse", "mae")  # metrics that no likelihood enters
_FINE = (*_PIXELS, "bits_per_dim", "elbo_bits_per_dim")  # metrics of which two decimals say little
_TIGHTNESS = (
    "A difference of bounds mixes how well the models fit with how tight the bounds are: a bound is looser where the "
    "posterior fits worse."
)
_HEAD = ("", "published", "ours", "difference")

Row = Mapping[str, Any]


def beside_lines(recipe: Recipe, rows: Sequence[Row]) -> list[str]:
    """Every published number of a recipe, ours, and the difference; then what else was measured.

    Args:
        recipe: with its ``published`` section.
        rows: the ``findings`` of its runs, one a seed.
    """
    rows = with_fewest_samples(rows)
    published = [entry.quantity for entry in recipe.published]
    lines = [_HEAD, *(_line(entry.quantity, entry, rows) for entry in recipe.published)]
    lines += [_line(quantity, None, rows) for quantity in _measured(rows[0]) if quantity not in published]
    table = lines if published else [(label, value) for label, _, value, _ in lines]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    seeds = ", ".join(str(row["seed"]) for row in rows)
    main = rows[0]["evaluations"][0]
    title = f"{recipe.name}: {plural(len(rows), 'seed')} ({seeds}); {_images(rows[0])}{main['protocol']}"
    return [title, *(_set(line, widths) for line in table), *_notes(recipe, rows)]


def ours(quantity: Quantity, rows: Sequence[Row]) -> tuple[Mean, float | None] | str:
    """The mean over runs and its Monte Carlo error, or why there is none.

    Raises:
        RunError: the runs are not of the same data, or were evaluated in different ways.
    """
    check_seeds(rows)
    found = [find_ours(row, quantity) for row in rows]
    values = [one.value for one in found if one.value is not None]
    if len(values) < len(found):
        return next(one.reason for one in found if one.value is None)
    return mean_over(values), error_of_mean([one.error for one in found])


def write_mean(quantity: Quantity, mean: Mean, monte_carlo: float | None) -> str:
    """``−93.79 ± 0.02``: the error over seeds, of one run the Monte Carlo error where it has one."""
    decimals = 4 if quantity.metric in _FINE else 2
    return with_error(mean.value, monte_carlo if mean.error is None else mean.error, decimals)


def write_published(value: float) -> str:
    """A published number; YAML keeps no zeros at its end."""
    return f"{value:,.10g}".replace("-", MINUS)


def _images(row: Row) -> str:
    """Says so where only a part of the images was evaluated."""
    main = row["evaluations"][0]
    whole = (row.get("data") or {}).get(main["split"]) or main.get("images")
    part = main.get("images")
    return "" if part == whole else f"the first {part:,} of {whole:,} {main['split']} images; "


def _measured(row: Row) -> list[Quantity]:
    main = row["evaluations"][0]
    names = ("elbo",) if main.get("elbo") is not None else ()
    return [Quantity("nll", main["split"], main["samples"]), *(Quantity(name, main["split"]) for name in names)]


def _line(quantity: Quantity, published: Published | None, rows: Sequence[Row]) -> tuple[str, ...]:
    likelihood = rows[0]["evaluations"][0].get("is_likelihood", True)
    label = quantity.label if likelihood or quantity.metric in _PIXELS else f"{quantity.label} (not a likelihood)"
    theirs = "" if published is None or published.value is None else write_published(published.value)
    found = ours(quantity, rows)
    if isinstance(found, str):
        return label, theirs, f"none: {found}", ""
    mean, monte_carlo = found
    difference = ""
    if published is not None and published.value is not None:
        difference = write_mean(quantity, mean._replace(value=mean.value - published.value), monte_carlo)
    return label, theirs, write_mean(quantity, mean, monte_carlo), difference


def _set(line: Sequence[str], widths: Sequence[int]) -> str:
    label, *numbers = line
    cells = [label.ljust(widths[0]), *(number.rjust(width) for number, width in zip(numbers, widths[1:], strict=True))]
    return "  " + "  ".join(cells).rstrip()


def _notes(recipe: Recipe, rows: Sequence[Row]) -> list[str]:
    error = error_of_mean([trusted_error(row["evaluations"][0]) for row in rows])
    monte_carlo = (
        "" if error is None else f"; the Monte Carlo error of the bound is {fixed(error, 4)}, as of independent runs"
    )
    if len(rows) == 1:
        spread = "One seed: the spread over seeds is not known. ± is the Monte Carlo error, where there is one."
    else:
        spread = f"± is the standard error over seeds{monte_carlo}."
    bounds = [entry for entry in recipe.published if entry.metric in ("nll", "bits_per_dim")]
    tightness = _TIGHTNESS if bounds else ""
    sources = [
        f"{entry.id or 'published'}: " + "; ".join(filter(None, (entry.protocol, entry.source, entry.caveat)))
        for entry in recipe.published
        if entry.protocol or entry.source or entry.caveat
    ]
    none = () if recipe.published else ("No number was published for this recipe.",)
    return [f"  {text}" for text in filter(None, (spread, _uneven(rows), tightness, *none, *dict.fromkeys(sources)))]


def _uneven(rows: Sequence[Row]) -> str:
    """Why the bound has no Monte Carlo error, where it has none."""
    fractions = [row["evaluations"][0].get("pareto_k_over_0_7") for row in rows]
    known = [fraction for fraction in fractions if fraction is not None]
    if len(known) < len(fractions):
        return "The bound has no Monte Carlo error: too few samples to judge whether it would hold (k̂ is not known)."
    if max(known) <= MOST_UNEVEN:
        return ""
    return (
        f"The bound has no Monte Carlo error: it would not hold, as the weights are too uneven (k̂ > 0.7) "
        f"in {percent(max(known))} of the images."
    )
