"""A recipe: the validated, complete description of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tightbound.data import DataSettings
from tightbound.errors import RecipeError
from tightbound.recipes.components import load_components
from tightbound.recipes.published import Published
from tightbound.recipes.sections import plain, read_component, read_settings
from tightbound.recipes.source import OF_FIRST_SEED, Source, read_source
from tightbound.recipes.values import read_value, show
from tightbound.registry import Factory, nearest_hint
from tightbound.training import TrainingSettings

YOUR_DATA = "YOUR-DATA"  # what a shipped recipe for the user's own data says in place of a name


@dataclass(frozen=True)
class Recipe:
    """What a run is made of, every default filled in.

    Args:
        name: of the recipe; run folders are named after it.
        description: one line.
        data: which images, and how they are prepared.
        model: the chosen model; its likelihood is the kind ``auto`` where the recipe leaves it to the data.
        objective: what training minimizes.
        training: how.
        evaluation: what is measured when training is done.
        published: numbers to compare with.
        gray_protocol: whether a published protocol that scores gray levels under a Bernoulli is followed; every number
            is then labeled "not a likelihood".
        source: the mappings that it was read from: parents joined, overrides applied, no defaults.
    """

    name: str
    description: str
    data: DataSettings
    model: Factory
    objective: Factory
    training: TrainingSettings
    evaluation: tuple[Factory, ...]
    published: tuple[Published, ...] = ()
    gray_protocol: bool = False
    source: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """The full recipe as mappings, lists and scalars; reading it gives an equal recipe."""
        sections = ("data", "model", "objective", "training", "evaluation", "published", "gray_protocol")
        head = {"name": self.name, "description": self.description}
        return {**head, **{name: plain(getattr(self, name)) for name in sections}}


def load_recipe(
    recipe: str | Path | Mapping[str, Any] | Recipe, overrides: Iterable[str | Mapping[str, Any]] = ()
) -> Recipe:
    """Reads and validates a recipe.

    Args:
        recipe: a shipped name, the path of a YAML file, its content, or a recipe.
        overrides: such as ``training.epochs=10``, or mappings of sections.

    Raises:
        RecipeError: with the path of the key, what was given, what is allowed and the nearest match.
    """
    if isinstance(recipe, Recipe):
        recipe = recipe.to_dict()
    return validate(read_source(recipe, overrides))


def validate(source: Source) -> Recipe:
    """Every section against the registry; see ``load_recipe``."""
    load_components()
    known = [*(name for name in Recipe.__dataclass_fields__ if name != "source"), OF_FIRST_SEED]
    given = source.content
    for key in given:
        if key not in known:
            raise RecipeError(
                f"{key}: unknown section; expected one of {', '.join(known)}", hint=nearest_hint(key, known)
            )
    return Recipe(
        name=_read_name(source.name),
        description=read_value("description", str, given.get("description", "")),
        data=read_settings("data", DataSettings, given.get("data")),
        model=read_component("model", "model", given.get("model"), Factory("model", "vae")),
        objective=read_component("objective", "objective", given.get("objective"), Factory("objective", "elbo")),
        training=read_settings("training", TrainingSettings, given.get("training")),
        evaluation=_read_evaluation(given.get("evaluation", [{}])),
        published=tuple(
            read_settings(f"published.{index}", Published, item)
            for index, item in enumerate(_list("published", given.get("published")))
        ),
        gray_protocol=read_value("gray_protocol", bool, given.get("gray_protocol", False)),
        source={"name": source.name, **given},
    )


def first_difference(there: Recipe, here: Recipe, sections: Iterable[str]) -> str:
    """The first key in which two recipes differ: ``training.seed is 1 there and 0 here``; else an empty string."""
    differences = (_difference(name, plain(getattr(there, name)), plain(getattr(here, name))) for name in sections)
    return next(filter(None, differences), "")


def _difference(path: str, there: Any, here: Any) -> str:
    if isinstance(there, dict) and isinstance(here, dict):
        parts = (_difference(f"{path}.{key}", there.get(key), here.get(key)) for key in {**there, **here})
        return next(filter(None, parts), "")
    return "" if there == here else f"{path} is {there!r} there and {here!r} here"


def _read_name(name: str) -> str:
    """The name, which is part of a folder's name, and must not lead elsewhere."""
    if not name.strip() or ".." in name or not name.isprintable() or any(sign in name for sign in "/\\:"):
        raise RecipeError(
            f"name: got {name!r}; expected a name without / \\ : and ..", hint="run folders are named after it"
        )
    return name


def _read_evaluation(given: Any) -> tuple[Factory, ...]:
    default = Factory("evaluation", "importance")
    return tuple(
        read_component(f"evaluation.{index}", "evaluation", item, default, kind_key="method")
        for index, item in enumerate(_list("evaluation", given))
    )


def _list(path: str, given: Any) -> list[Any]:
    if not isinstance(given, list | tuple | None):
        raise RecipeError(f"{path}: got {show(given)}; expected a list")
    return list(given or ())
