"""A folder of images decoded once into one file, from which batches are read: for sets that are larger than memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from tightbound.data.atomic import replacing
from tightbound.data.decode import Unreadable
from tightbound.data.folder import image_files, layout, notes_of, opened, readable
from tightbound.data.images import Images, Parts
from tightbound.data.progress import Progress
from tightbound.data.settings import DataSettings
from tightbound.data.storage import darkness, find_levels, from_numpy
from tightbound.errors import DataError, RecipeError

ABOUT, PIXELS, LABELS, PART = "packed.json", "pixels.npy", "labels.npy", "parts.npy"
_PARTS = ("train", "validation", "test")
_COLORS = {1: "gray", 3: "rgb"}  # by the number of channels
_DECODING = ("size", "resize", "color", "skip_bad")  # settings that have their effect when images are decoded
_ROWS = 512  # images written together


def is_packed(folder: Path) -> bool:
    """Whether a folder is what ``pack`` writes, and whole: its description is written last."""
    return (folder / ABOUT).is_file()


def pack(folder: Path, out: Path, settings: DataSettings, progress: Progress = None) -> int:
    """Decodes all images of a folder into another, which is then data as the first is; how many.

    Args:
        folder: as of ``read_folder``, with parts and classes by subfolders.
        out: pixels.npy, uint8 (N, C, H, W), and what is known of the images; a new folder.
        settings: ``size``, ``resize``, ``color`` and ``skip_bad`` count here; no others may be given.
        progress: told how far it is.

    Raises:
        RecipeError: a setting that says nothing about decoding.
        DataError: as ``read_folder``; or ``out`` is there already, or cannot be written.
    """
    _check_settings(settings)
    if is_packed(out) or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise DataError(f"{out}: expected a new folder to pack into; it is there already", hint="name another by --out")
    files = image_files(folder)
    paths, shape, images, headers = opened(folder, files, settings, progress)
    shape = shape if len(shape) == 3 else (1, *shape)
    outcomes: list[int | Unreadable] = []
    try:
        with replacing(out / PIXELS) as part, part.open("wb") as file:
            _header(file, (len(paths), *shape))
            for piece in _good(images, outcomes):
                file.write(np.ascontiguousarray(np.stack(piece)).data)
            kept = [path for path, _ in readable(folder, paths, outcomes, settings.skip_bad)]
            file.seek(0)
            _header(file, (len(kept), *shape))  # as long as before: numpy leaves room for a number of any length
        names = [path.relative_to(folder) for path in kept]
        skipped = sorted(path.relative_to(folder).as_posix() for path in set(files) - set(kept))
        parts, classes, label_notes = layout(names)
        np.save(out / PART, np.array([_PARTS.index(part) for part in parts], np.uint8))
        if classes is not None:
            np.save(out / LABELS, classes.astype(np.int64))
        pixels = [from_numpy(np.load(out / PIXELS, mmap_mode="r"))]
        about = {
            "size": (out / PIXELS).stat().st_size,
            "levels": find_levels(pixels, str(folder)),
            "notes": [*darkness(pixels), *notes_of(skipped, headers), *label_notes],
        }
        with replacing(out / ABOUT) as part:
            part.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"{out}: cannot be written: {error}", hint="name a folder with room for it by --out") from error
    return len(kept)


def read_packed(folder: Path, settings: DataSettings, *, levels: int | None = None) -> Parts:
    """The images of a packed folder, which stay in its file.

    Args:
        folder: that ``pack`` has written.
        settings: those that say how images are decoded have had their effect, and must not ask for another.
        levels: the gray levels that are expected, if only these will do; all images are read to see.

    Raises:
        DataError: it is damaged, of another size or color than the settings ask for, or they ask for another decoding.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        pixels = np.load(folder / PIXELS, mmap_mode="r", allow_pickle=False)
        which = np.load(folder / PART, allow_pickle=False)
        labels = np.load(folder / LABELS, allow_pickle=False) if (folder / LABELS).is_file() else None
        whole = about["size"] == (folder / PIXELS).stat().st_size and len(which) == len(pixels)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise _damaged(folder) from error
    if pixels.ndim != 4 or pixels.shape[1] not in _COLORS or pixels.dtype != np.uint8:
        raise _damaged(folder)
    if not whole or (labels is not None and len(labels) != len(pixels)):
        raise _damaged(folder)
    _check(folder, pixels.shape, settings)
    tensor = from_numpy(pixels)
    found = about["levels"] if levels is None else find_levels([tensor], str(folder), levels)
    parts: dict[str, Any] = {}
    for number, name in enumerate(_PARTS):
        rows = (which == number).nonzero()[0]
        if len(rows):
            own = None if labels is None else torch.from_numpy(labels[rows])
            parts[name] = Images(tensor, found, own, rows=torch.from_numpy(rows))
    return Parts(**parts, notes=tuple(about["notes"]))


def _damaged(folder: Path) -> DataError:
    return DataError(f"{folder}: not whole, or damaged", hint="pack it again: tightbound data pack FOLDER --out NEW")


def _check(folder: Path, shape: tuple[int, ...], settings: DataSettings) -> None:
    for key in ("resize", "skip_bad"):
        asked = getattr(settings, key)
        if asked != getattr(DataSettings, key):
            raise DataError(
                f"{folder}: data.{key}: got {_shown(asked)}; its images are decoded already",
                hint=f"leave it out, or pack the folder again with data.{key}",
            )
    for key, asked, there in (("size", settings.size, shape[2:]), ("color", settings.color, _COLORS[shape[1]])):
        if asked not in (None, "auto") and (tuple(asked) if key == "size" else asked) != there:
            raise DataError(
                f"{folder}: data.{key}: got {asked}; its images are packed as {there}",
                hint=f"leave it out, or pack the folder again with data.{key}",
            )


def _check_settings(settings: DataSettings) -> None:
    for field in fields(settings):
        asked = getattr(settings, field.name)
        if field.name not in ("name", *_DECODING) and asked != field.default:
            raise RecipeError(
                f"data.{field.name}: got {_shown(asked)}; it has no effect in packing, where only "
                f"{', '.join(_DECODING)} have",
                hint="leave it out here, and give it where the packed images are used",
            )


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _good(images: Iterator[np.ndarray | Unreadable], outcomes: list[int | Unreadable]) -> Iterator[list[np.ndarray]]:
    """Pieces of the readable images; notes of every image in turn whether it was one."""

    def good() -> Iterator[np.ndarray]:
        for row, image in enumerate(images):
            if isinstance(image, Unreadable):
                outcomes.append(image)
            else:
                outcomes.append(row)
                yield image

    one_by_one = good()
    while piece := list(islice(one_by_one, _ROWS)):
        yield piece


def _header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
