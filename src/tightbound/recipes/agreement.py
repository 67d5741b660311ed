"""Whether result rows are measurements of the same thing, so that they may be averaged or set beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tightbound.errors import RunError

_MEASURED = ("split", "samples", "images", "seed", "protocol", "measure", "precision")
# What an evaluation says of all its weights together.
_OF_ALL_DRAWS = ("standard_error", "standard_error_images", "interval", "bits_per_dim", "ess_median", "sentence")
_OF_ALL_DRAWS += ("pareto_k_over_0_7", "images_k_over_0_7")
_PLACES = ("path", "in_memory")  # where the data were, which says nothing of what they are

Row = Mapping[str, Any]


def with_fewest_samples(rows: Iterable[Row]) -> list[Row]:
    """The rows, each with its first evaluation at the smallest K among them, where its curve has that K.

    The curve's bound is the mean over groups of so many of all its draws. What is known of all weights alone is then
    left open. A row whose curve lacks that K is as it was.
    """
    rows = list(rows)
    known = [row["evaluations"][0].get("samples") for row in rows]
    least = min(filter(None, known), default=0)
    return [
        _shortened(row, least) if samples and samples > least else row for row, samples in zip(rows, known, strict=True)
    ]


def _shortened(row: Row, samples: int) -> Row:
    main, *others = row["evaluations"]
    bounds = {at: bound for at, bound in main.get("curve") or () if at <= samples}
    if samples not in bounds:
        return row
    first = {"samples": samples, "log_likelihood": bounds[samples], "curve": [[*point] for point in bounds.items()]}
    return {**row, "evaluations": [{**main, **dict.fromkeys(_OF_ALL_DRAWS), **first}, *others]}


def check_seeds(rows: Sequence[Row]) -> None:
    """Refuses result rows of one recipe that must not be averaged over seeds.

    Raises:
        RunError: they are of different data, or were evaluated in different ways; what differs is named.
    """
    for row in rows[1:]:
        difference = _seed_difference(rows[0], row)
        if difference:
            name = row.get("recipe", "the recipe")
            raise RunError(
                f"{name}: seeds {rows[0].get('seed')} and {row.get('seed')} cannot be averaged: {difference}",
                hint="run and evaluate both in the same way, on the same data",
            )


def check_recipes(there: Row, here: Row) -> None:
    """Refuses result rows of two recipes whose first evaluations must not be compared.

    They may differ in what they were trained on, but not in the images that they are measured on.

    Raises:
        RunError: split, K, images, noise, protocol or the images themselves differ.
    """
    first, second = there["evaluations"][0], here["evaluations"][0]
    pairs = (("evaluation", _measured(first), _measured(second)), ("data", _images(there), _images(here)))
    difference = next(filter(None, (_difference(*pair) for pair in pairs)), "")
    if difference:
        raise RunError(
            f"{there['recipe']} (there) and {here['recipe']} (here) cannot be compared: {difference}",
            hint="evaluate both in the same way, on the same images",
        )


def data_difference(there: Row, here: Row) -> str:
    """The first key in which two ``data`` sections of resolved.json differ; what only one of them has is not compared.

    Such as ``data.name is 'omniglot (drawings)' there and 'omniglot (chardata.mat)' here``; else an empty string.
    """
    kept = ({key: value for key, value in data.items() if key not in _PLACES} for data in (there, here))
    return _difference("data", *kept)


def _seed_difference(there: Row, here: Row) -> str:
    data = data_difference(there.get("data") or {}, here.get("data") or {})
    found = (_difference("evaluation", _measured(one), _measured(other)) for one, other in _pairs(there, here))
    return next(filter(None, (data, *found)), "")


def _pairs(there: Row, here: Row) -> Iterator[tuple[Row, Row]]:
    """The first evaluations, and others of the same method, split and K: one seed may have been evaluated further."""
    (first, *others), (second, *candidates) = there["evaluations"], here["evaluations"]
    yield first, second
    for one in others:
        yield from ((one, other) for other in candidates if _kind(one) == _kind(other))


def _kind(evaluation: Row) -> tuple[Any, ...]:
    return tuple(evaluation.get(key) for key in ("method", "split", "samples"))


def _measured(evaluation: Row) -> Row:
    return {key: evaluation[key] for key in _MEASURED if key in evaluation}


def _images(row: Row) -> Row:
    """Which images a row's first evaluation is of."""
    data, split = row.get("data") or {}, row["evaluations"][0].get("split")
    prints = {part: value for part, value in (data.get("fingerprint") or {}).items() if part == split}
    return {**{key: data[key] for key in ("name", "binarize") if key in data}, "fingerprint": prints}


def _difference(path: str, there: Any, here: Any) -> str:
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        parts = (_difference(f"{path}.{key}", there[key], here[key]) for key in there if key in here)
        return next(filter(None, parts), "")
    return "" if there == here else f"{path} is {there!r} there and {here!r} here"
