"""Everything that a recipe can name: importing this package's parts and the user's plug-ins registers them."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from importlib.metadata import entry_points

from tightbound.errors import RecipeError

ENTRY_POINTS = "tightbound"

_PACKAGES = (
    "networks",
    "flows",
    "likelihoods",
    "priors",
    "posteriors",
    "models",
    "objectives",
    "training",
    "recipes.evaluation",
)


def load_components() -> None:
    """Registers the parts of Tightbound and of every installed package with an entry point ``tightbound``.

    Raises:
        RecipeError: a plug-in cannot be imported; it is named.
    """
    for package in _PACKAGES:
        importlib.import_module(f"tightbound.{package}")
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            entry.load()
        except Exception as error:
            raise RecipeError(f"plug-in {entry.name!r} ({entry.value}) cannot be imported: {error}") from error


def import_plug_ins(modules: Iterable[str]) -> None:
    """Imports the modules that ``--import`` names; their ``@register`` lines make the kinds known.

    Raises:
        RecipeError: a module is not found or fails; it is named.
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:
            raise RecipeError(
                f"--import {module}: {type(error).__name__}: {error}",
                hint="a module name as in Python's import, found from the current folder or installed",
            ) from error
