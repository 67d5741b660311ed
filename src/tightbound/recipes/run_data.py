"""What a run keeps of its data, and how they are found again and known to be the same."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightbound.data import Data, load_data
from tightbound.data.fingerprint import fingerprint
from tightbound.errors import DataError
from tightbound.recipes.recipe import Recipe
from tightbound.registry import kinds

SPLITS = ("train", "validation", "test")

_OTHERS = "name other images to look at: --data FILE (data=... in Python)"


def describe_data(data: Data, given: Any, name: str) -> dict[str, Any]:
    """What resolved.json keeps: name, sizes, where they are, and a fingerprint of each split.

    Args:
        data: what was found.
        given: what stood in place of the recipe's name, None for nothing.
        name: the recipe's ``data.name``.
    """
    described: dict[str, Any] = {"name": data.name, "binarize": data.train.binarize, **_sizes(data)}
    described["fingerprint"] = _fingerprints(data)
    where = name if given is None else given
    if not isinstance(where, str | Path):
        return {**described, "in_memory": True}
    return described if where in kinds("data") else {**described, "path": str(Path(where).expanduser().resolve())}


def find_data(name: str, recipe: Recipe, kept: Mapping[str, Any]) -> Data:
    """The data of a run, found again and compared with what was kept of them.

    Args:
        name: of the run, for messages.
        recipe: the run's.
        kept: the ``data`` section of resolved.json.

    Raises:
        DataError: they are gone, were in memory, or are others now.
    """
    if kept.get("in_memory"):
        raise DataError(f"{name} was trained on images in memory, which are not kept", hint=_OTHERS)
    place = find_place(name, recipe, kept)
    data = load_data(recipe.data if place is None else dataclasses.replace(recipe.data, name=str(place)))
    check_same(name, kept, data)
    return data


def find_place(name: str, recipe: Recipe, kept: Mapping[str, Any]) -> Path | None:
    """The file or folder of a run's data; None for a shipped set.

    The place where they were comes first. The recipe's own name, which may be relative to the current folder, is
    tried only where the content can be compared with what it was.

    Raises:
        DataError: it is in neither place.
    """
    if "path" not in kept:
        return None
    place, named = Path(kept["path"]), Path(recipe.data.name).expanduser()
    if place.exists():
        return place
    if "fingerprint" in kept and named.exists():
        return named
    raise DataError(f"the data of {name} are no longer at {place}", hint=f"put them back, or {_OTHERS}")


def check_same(name: str, kept: Mapping[str, Any], data: Data) -> None:
    """Refuses data that are not those that a run was trained on; a run without a fingerprint takes any.

    Raises:
        DataError: names the splits that differ, in number or in content.
    """
    then = kept.get("fingerprint")
    if not isinstance(then, Mapping):
        return
    sizes, prints = _sizes(data), _fingerprints(data)
    counts = [
        f"{part} has {sizes[part]:,} images and had {kept.get(part, 0):,}"
        for part in SPLITS
        if sizes[part] != kept.get(part, 0)
    ]
    content = [part for part in SPLITS if prints.get(part) != then.get(part)]
    differs = ", ".join(counts) or (f"other pixels in {', '.join(content)}" if content else "")
    if differs:
        raise DataError(
            f"the data of {name} ({data.name}) are no longer those that it was trained on: {differs}",
            hint=f"restore them, or {_OTHERS}",
        )


def _sizes(data: Data) -> dict[str, int]:
    return {part: len(getattr(data, part) or ()) for part in SPLITS}


def _fingerprints(data: Data) -> dict[str, str]:
    found = {part: getattr(data, part) for part in SPLITS}
    return {part: fingerprint(split.images) for part, split in found.items() if split is not None}
