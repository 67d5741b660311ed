"""All ways to name data: a shipped set, a folder, a file, an array, a Dataset, a DataLoader."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from tightbound.data.arrays import parts_of_arrays, read_array_file
from tightbound.data.assemble import Habits, assemble, whole
from tightbound.data.data_set import DataSet, PartialDataSet
from tightbound.data.folder import read_folder
from tightbound.data.images import Parts
from tightbound.data.packed import is_packed, read_packed
from tightbound.data.progress import Progress
from tightbound.data.settings import DataSettings
from tightbound.data.split import Data, Split
from tightbound.data.torch_sets import NOTE, read_dataset, read_loader
from tightbound.errors import DataError, RecipeError
from tightbound.registry import find, kinds, nearest_hint


class DataSetInfo(NamedTuple):
    """One shipped set, for a list.

    Attributes:
        name: what a recipe calls it.
        summary: one sentence.
        available: whether its files are there.
        where: the folder they are in, or how to get them; empty where none are needed.
    """

    name: str
    summary: str
    available: bool
    where: str


class _Found(NamedTuple):
    name: str
    parts: Parts
    habits: Habits


def load_data(settings: DataSettings | str, *, progress: Progress = None) -> Data:
    """The data that a recipe names.

    Args:
        settings: the recipe's ``data`` section, or a name, for which the rest is left at its defaults.
        progress: told how far a slow reading is.

    Raises:
        DataError: if they are missing, empty, corrupt, too few, or of the wrong shape or range.
        RecipeError: if the settings contradict each other or the data.
    """
    settings = DataSettings(name=settings) if isinstance(settings, str) else settings
    return data_of(settings.name, settings, progress=progress)


def data_of(value: Any, settings: DataSettings | None = None, *, progress: Progress = None) -> Data:
    """Training, validation and test splits of anything that holds images.

    Args:
        value: a shipped name, a folder, an .npy or .npz file, an array, a tensor, a Dataset, a DataLoader, or a
            mapping of ``train``, ``validation`` and ``test`` to arrays.
        settings: the rest of the ``data`` section; its ``name`` is not looked at.
        progress: told how far a slow reading is.

    Raises:
        DataError, RecipeError: as ``load_data``.
    """
    if isinstance(value, Data):
        return value
    settings = settings or DataSettings()
    found = _find(value, settings, progress)
    return assemble(found.name, found.parts, settings, found.habits)


def split_of(
    value: Any, settings: DataSettings | None = None, *, levels: int | None = None, progress: Progress = None
) -> Split:
    """Images to look at as one split: the test images of data that name some, else all of them.

    Args:
        value: as in ``data_of``.
        settings: their gray levels, and how they are binarized, dequantized and resized; those of the splits have no
            say here.
        levels: the gray levels of the data a model was trained on, in place of ``settings.levels``.
        progress: told how far a slow reading is.

    Raises:
        DataError, RecipeError: as ``load_data``.
    """
    if isinstance(value, Split):
        return value
    if isinstance(value, Data):
        return value.train if value.test is None else value.test
    settings = settings or DataSettings()
    found = _find(value, settings, progress, levels)
    if found.parts.test is None and found.habits.test:  # a shipped set that holds out its own test images
        return _test_split(assemble(found.name, found.parts, settings, found.habits))
    return whole(found.parts, settings, found.habits)


def _test_split(data: Data) -> Split:
    assert data.test is not None
    return data.test


def data_sets() -> list[DataSetInfo]:
    """The shipped sets, whether they are there, and where they are or how to get them."""
    infos = []
    for name in kinds("data"):
        component = find("data", name)
        data_set: DataSet = component.target()
        files = data_set.files()
        where = data_set.how_to_get() if files is None else str(files[0].parent) if files else ""
        infos.append(DataSetInfo(name, component.summary, files is not None, where))
    return infos


def _find(value: Any, settings: DataSettings, progress: Progress, levels: int | None = None) -> _Found:
    if isinstance(value, str) and value in kinds("data"):
        if settings.levels is not None:
            raise RecipeError(
                f"data.levels: got {settings.levels}; the gray levels of {value} are known",
                hint="leave it out; it is for your own images",
            )
        return _shipped(value, settings, progress)
    if settings.partial:
        raise _no_part("your own data")
    levels = settings.levels if levels is None else levels
    if isinstance(value, str | Path):
        return _own_path(Path(value).expanduser(), settings, progress, levels)
    if isinstance(value, Mapping):
        return _Found("arrays", _of_mapping(value, levels), Habits())
    if isinstance(value, np.ndarray | Tensor):
        return _Found("array", parts_of_arrays({"train": value}, where="array", levels=levels), Habits())
    if isinstance(value, DataLoader | Dataset):
        images, labels = (
            read_loader(value, progress) if isinstance(value, DataLoader) else read_dataset(value, progress)
        )
        by_part = None if labels is None else {"train": labels}
        parts = parts_of_arrays({"train": images}, by_part, where="data set", levels=levels)
        return _Found("data set", replace(parts, notes=(*parts.notes, NOTE)), Habits())
    raise DataError(
        f"data: expected a name, a folder, an .npy or .npz file, an array, a tensor, a Dataset or a DataLoader; "
        f"got {type(value).__name__}"
    )


def _shipped(name: str, settings: DataSettings, progress: Progress) -> _Found:
    data_set: DataSet = find("data", name).target()
    habits = Habits(data_set.binarize, data_set.validation, data_set.test, data_set.test_seed)
    if not settings.partial:
        parts = data_set.read(progress)
    elif isinstance(data_set, PartialDataSet):
        parts = data_set.read_partial(progress)
    else:
        raise _no_part(name)
    return _Found(f"{name} ({parts.edition})" if parts.edition else name, parts, habits)


def _no_part(what: str) -> RecipeError:
    return RecipeError(f"data.partial=true: {what} cannot be read in part", hint="leave it out")


def _own_path(path: Path, settings: DataSettings, progress: Progress, levels: int | None) -> _Found:
    name = path.resolve().name
    if path.is_dir() and is_packed(path):
        return _Found(name, read_packed(path, settings, levels=levels), Habits())
    if path.is_dir():
        return _Found(name, read_folder(path, settings, progress, levels=levels), Habits())
    if path.is_file() and path.suffix in (".npy", ".npz"):
        return _Found(name, read_array_file(path, progress, levels=levels), Habits())
    if path.is_file():
        raise DataError(
            f"{path}: expected a folder of images, or an .npy or .npz file; got a {path.suffix or 'plain'} file"
        )
    known = kinds("data")
    raise DataError(
        f"unknown data {str(path)!r}: no folder or file of that name, and no shipped set; shipped: {', '.join(known)}",
        hint=nearest_hint(str(path), known),
    )


def _of_mapping(arrays: Mapping[Any, Any], levels: int | None) -> Parts:
    unknown = set(arrays) - {"train", "validation", "test"}
    if unknown or "train" not in arrays:
        raise DataError(
            f"data: expected a mapping with train and, if any, validation and test; got {sorted(map(str, arrays))}"
        )
    wrong = [key for key, array in arrays.items() if not isinstance(array, np.ndarray | Tensor)]
    if wrong:
        raise DataError(f"data, {wrong[0]}: expected an array or a tensor; got {type(arrays[wrong[0]]).__name__}")
    return parts_of_arrays(arrays, where="arrays", levels=levels)
