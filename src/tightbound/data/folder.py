"""A folder of the user's own images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from tightbound.data.arrays import Array, parts_of_arrays
from tightbound.data.cache import cached_with_facts
from tightbound.data.decode import SUFFIXES, Header, Unreadable, decode, read_header
from tightbound.data.images import Parts
from tightbound.data.progress import Progress, Ticker
from tightbound.data.settings import DataSettings
from tightbound.data.threads import in_threads
from tightbound.errors import DataError

CACHED_FROM = 1000  # images: below that, decoding costs less than a cache is worth
_PARTS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}

T = TypeVar("T")


def read_folder(folder: Path, settings: DataSettings, progress: Progress = None, *, levels: int | None = None) -> Parts:
    """All images in a folder and below it, in the order of their paths.

    Subfolders ``train``, ``validation`` (or ``valid``, ``val``) and ``test`` are the parts of the set. Other subfolders
    that hold all the images are its classes.

    Args:
        folder: where they are.
        settings: ``size``, ``resize``, ``color`` and ``skip_bad`` count here.
        progress: told how far a slow reading is.
        levels: the gray levels that are expected, if only these will do.

    Raises:
        DataError: for a folder without images, a file that cannot be read (unless skipped), gray and color images mixed
            (unless ``color`` says which), or several sizes (unless ``size`` says which).
    """
    files = image_files(folder)
    read = partial(_read, folder, files, settings, progress)
    if len(files) < CACHED_FROM:
        pixels, facts = read()
    else:
        options = (str(folder.resolve()), settings.size, settings.resize, settings.color, settings.skip_bad)
        pixels, facts = cached_with_facts(folder.resolve().name, files, options, read)
    skipped = set(facts["skipped"])
    kept = [file for file in (path.relative_to(folder) for path in files) if file.as_posix() not in skipped]
    return _parts(folder, kept, pixels, facts["notes"], levels)


def image_files(folder: Path) -> list[Path]:
    """By path; what is hidden, or lies in a hidden folder, is none."""
    names = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    shown = sorted(name.parts for name in names if not any(part.startswith(".") for part in name.parts))
    files = [path for path in (folder.joinpath(*parts) for parts in shown) if path.is_file()]
    if not files:
        kinds = ", ".join(sorted(SUFFIXES))
        raise DataError(f"{folder}: expected images; found none", hint=f"files that are read: {kinds}")
    return files


def _read(
    folder: Path, files: list[Path], settings: DataSettings, progress: Progress
) -> tuple[np.ndarray, dict[str, Any]]:
    """(N, H, W) or (N, 3, H, W) of the readable files, and facts: which were skipped, and notes."""
    paths, shape, images, headers = opened(folder, files, settings, progress)
    pixels = np.empty((len(paths), *shape), np.uint8)
    outcomes: list[int | Unreadable] = []
    for row, result in enumerate(images):
        if isinstance(result, Unreadable):
            outcomes.append(result)
        else:
            pixels[row] = result
            outcomes.append(row)
    kept = readable(folder, paths, outcomes, settings.skip_bad)
    if len(kept) < len(paths):
        pixels = pixels[[row for _, row in kept]]
    skipped = sorted(path.relative_to(folder).as_posix() for path in set(files) - {path for path, _ in kept})
    return pixels, {"skipped": skipped, "notes": notes_of(skipped, headers)}


def opened(
    folder: Path, files: list[Path], settings: DataSettings, progress: Progress
) -> tuple[list[Path], tuple[int, ...], Iterator[np.ndarray | Unreadable], list[Header]]:
    """The files whose headers can be read, the shape (H, W) or (3, H, W) of each image, the images, and the headers.

    The images are decoded as they are asked for.
    """
    headers = in_threads(read_header, files, Ticker("image headers", len(files), progress))
    known = readable(folder, files, list(headers), settings.skip_bad, "at least ")
    named = [(path.relative_to(folder), header) for path, header in known]
    color = _one_color(folder, named) if settings.color == "auto" else settings.color
    size = _one_size(folder, named) if settings.size is None else settings.size
    paths = [path for path, _ in known]
    one = partial(decode, color=color, size=size, resize=settings.resize)
    images = in_threads(one, paths, Ticker("images", len(paths), progress))
    return paths, (*((3,) if color == "rgb" else ()), *size), images, [header for _, header in known]


def readable(
    folder: Path, files: list[Path], results: Sequence[T | Unreadable], skip_bad: bool, at_least: str = ""
) -> list[tuple[Path, T]]:
    """The files that gave a result, with it; refused if one did not, unless these may be skipped.

    ``at_least`` says that only the headers were read: more files may turn out to be bad.
    """
    good = [(file, result) for file, result in zip(files, results, strict=True) if not isinstance(result, Unreadable)]
    bad = [(file, result) for file, result in zip(files, results, strict=True) if isinstance(result, Unreadable)]
    if bad and not skip_bad:
        file, unreadable = bad[0]
        count = f"{at_least}{len(bad):,} bad of {len(files):,} files"
        raise DataError(
            f"{file}: not a readable image: {unreadable.reason} ({count})",
            hint="repair or delete it, or leave out such files with data.skip_bad=true",
        )
    if not good:
        raise DataError(f"{folder}: expected images; none of {len(files)} files can be read")
    return good


def _one_color(folder: Path, known: list[tuple[Path, Header]]) -> str:
    found = {"gray": [], "rgb": []}
    for file, header in known:
        found[header.color].append(file)
    gray, rgb = found["gray"], found["rgb"]
    if gray and rgb:
        raise DataError(
            f"{folder}: expected all images gray or all in color; "
            f"got {len(gray)} gray ({gray[0]}) and {len(rgb)} in color ({rgb[0]})",
            hint="data.color=gray or data.color=rgb converts them",
        )
    return "gray" if gray else "rgb"


def _one_size(folder: Path, known: list[tuple[Path, Header]]) -> tuple[int, int]:
    file, first = known[0]
    size = (first.height, first.width)
    for other_file, other in known:
        if (other.height, other.width) != size:
            raise DataError(
                f"{folder}: expected images of one size; got {size[0]} x {size[1]} ({file}) "
                f"and {other.height} x {other.width} ({other_file})",
                hint="data.size=[64,64] brings them all to 64 x 64",
            )
    return size


def notes_of(skipped: list[str], headers: list[Header]) -> list[str]:
    """Sentences on what was left out and what was changed."""
    notes = []
    if skipped:
        names = ", ".join(skipped[:5]) + (", ..." if len(skipped) > 5 else "")
        notes.append(f"{len(skipped)} unreadable {'file' if len(skipped) == 1 else 'files'} skipped: {names}")
    transparent = sum(header.transparent for header in headers)
    if transparent:
        notes.append(f"{transparent} images with transparency laid over white")
    return notes


def _parts(folder: Path, files: list[Path], pixels: np.ndarray, notes: list[str], levels: int | None) -> Parts:
    """The arrays by part and class, from the paths within the folder."""
    parts, classes, label_note = layout(files)
    images: dict[str, Array] = {}
    labels: dict[str, Array] = {}
    for part in dict.fromkeys(parts):
        rows = [index for index, found in enumerate(parts) if found == part]
        images[part] = pixels if len(rows) == len(files) else pixels[rows]
        labels[part] = np.empty(0) if classes is None else classes[rows]
    where = str(folder)
    made = parts_of_arrays(images, None if classes is None else labels, where=where, levels=levels)
    return Parts(made.train, made.validation, made.test, (*made.notes, *notes, *label_note))


def layout(files: list[Path]) -> tuple[list[str], np.ndarray | None, list[str]]:
    """The part of every file, its class if there are some, and a note on these; from the paths within the folder."""
    parted = all(len(file.parts) > 1 and file.parts[0].lower() in _PARTS for file in files)
    parts = [_PARTS[file.parts[0].lower()] if parted else "train" for file in files]
    if "train" not in parts:
        parted, parts = False, ["train"] * len(files)
    classes = [file.parts[parted] if len(file.parts) > 1 + parted else "" for file in files]
    names = sorted(set(classes))
    labeled = "" not in names and len(names) > 1
    if not labeled:
        return parts, None, []
    numbers = {name: number for number, name in enumerate(names)}
    return parts, np.array([numbers[name] for name in classes]), [f"labels: {len(names)} classes, the subfolders"]
