"""``tightbound recipes`` and ``data``. Listing recipes loads neither torch nor pydantic."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING

import yaml

from tightbound.errors import RecipeError
from tightbound.recipes.source import describe, read_source, shipped

if TYPE_CHECKING:
    from tightbound.data import DataSetInfo, DataSettings

_WIDTH = 100


def list_recipes() -> str:
    """Names and descriptions of the shipped recipes."""
    return table((name, describe(name)) for name in shipped())


def show_recipe(name: str) -> str:
    """A recipe with every default filled in, as YAML that can be trained."""
    from tightbound.recipes.recipe import load_recipe

    return yaml.safe_dump(load_recipe(name).to_dict(), sort_keys=False, allow_unicode=True, width=_WIDTH).rstrip()


def list_data() -> str:
    """Names and descriptions of the shipped data sets, and where they are or how to get them."""
    from tightbound.data import data_sets

    rows = [(info.name, f"{info.summary} {_place(info)}") for info in data_sets()]
    own = ("your own", "A folder of images, or an .npy or .npz file: data.name=PATH.")
    return table([*rows, own])


def _place(info: DataSetInfo) -> str:
    if not info.available:
        return f"Missing: {info.where}"
    return f"In {info.where}" if info.where else "Made when first used."


def show_data(name: str, overrides: Iterable[str] = ()) -> str:
    """The splits of a data set, a folder or a file, as a recipe with these settings and no others would use them."""
    from tightbound.commands.console import say
    from tightbound.data import load_data

    data = load_data(data_settings(name, overrides), progress=say)
    channels, height, width = data.image_shape
    levels = data.train.levels
    pixels = "floats in [0, 1]" if levels is None else f"integers from 0 to {levels}"
    rows = [("name", data.name), ("images", f"{channels} × {height} × {width} (channels, height, width), {pixels}")]
    for part in ("train", "validation", "test"):
        split = getattr(data, part)
        rows.append((part, "none" if split is None else f"{len(split):,} images"))
    return table([*rows, *(("note", note) for note in data.notes)])


def data_settings(name: str, overrides: Iterable[str]) -> DataSettings:
    """The settings of data by name, with what is given besides.

    Raises:
        RecipeError: something else than settings of data is given.
    """
    from tightbound.data import DataSettings
    from tightbound.recipes.sections import read_settings

    content = read_source({"data": {"name": name}}, overrides).content
    other = next((section for section in content if section != "data"), None)
    if other is not None:
        raise RecipeError(f"{other}: unknown key; expected settings of the data, such as data.validation=0")
    return read_settings("data", DataSettings, content["data"])


def table(rows: Iterable[tuple[str, str]]) -> str:
    """Names in a column, texts wrapped beside them."""
    listed = list(rows)
    column = max(len(name) for name, _ in listed) + 2
    return "\n".join(
        textwrap.fill(text, _WIDTH, initial_indent=name.ljust(column), subsequent_indent=" " * column)
        for name, text in listed
    )
