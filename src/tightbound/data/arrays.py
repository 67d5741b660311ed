"""Arrays, and the .npy and .npz files that hold them."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tightbound.data.images import Images, Parts, to_storage
from tightbound.data.progress import Progress
from tightbound.data.storage import as_tensor, darkness, find_levels, to_channels_first
from tightbound.errors import DataError

MAPPED_ABOVE = 4 << 30  # bytes: larger .npy files are read from the disk, batch by batch

Array = np.ndarray | Tensor

_PART = r"(?P<part>train|validation|valid|val|test)"
_IMAGE_WORD, _LABEL_WORD = r"(x|images|pixels|data)", r"(y|labels?|targets?)"
_IMAGE_KEY = re.compile(rf"({_IMAGE_WORD}_)?{_PART}(_{_IMAGE_WORD})?")
_LABEL_KEY = re.compile(rf"{_LABEL_WORD}_{_PART}|(?P<first>train|validation|valid|val|test)_{_LABEL_WORD}")
_ALL_IMAGES, _ALL_LABELS = ("x", "images", "pixels", "data", "samples", "arr_0"), ("y", "labels", "targets")
_BROKEN = (ValueError, TypeError, AttributeError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def parts_of_arrays(
    images: Mapping[str, Array], labels: Mapping[str, Array] | None = None, *, where: str, levels: int | None = None
) -> Parts:
    """Checked parts of a set.

    Args:
        images: arrays by part: ``train`` and, if there are any, ``validation`` and ``test``.
        labels: (N) integers by part.
        where: what they are called in a message.
        levels: the gray levels that are expected, if only these will do.

    Raises:
        DataError: for arrays that are no images, or do not fit each other.
    """
    names = {part: where if len(images) == 1 else f"{where}, {part}" for part in images}
    raw = {part: as_tensor(array, names[part]) for part, array in images.items()}
    pixels = {part: to_channels_first(tensor, names[part]) for part, tensor in raw.items()}
    shapes = {part: tuple(tensor.shape[1:]) for part, tensor in pixels.items()}
    if len(set(shapes.values())) > 1:
        raise DataError(f"{where}: expected one (C, H, W) for all parts; got {shapes}")
    found = find_levels(list(pixels.values()), where, levels)
    mapped = {part: isinstance(images[part], np.memmap) for part in images}
    made = {
        part: _images(tensor, found, _labels((labels or {}).get(part), len(tensor), names[part]), mapped[part])
        for part, tensor in pixels.items()
    }
    moved = any(raw[part].ndim == 4 and raw[part].shape != pixels[part].shape for part in raw)
    notes = (*((_LAYOUT_NOTE,) if moved else ()), *(darkness(list(pixels.values())) if levels is None else ()))
    return Parts(made["train"], made.get("validation"), made.get("test"), notes)


_LAYOUT_NOTE = "the last axis is read as channels: (N, H, W, C)"


def _images(pixels: Tensor, levels: int | None, labels: Tensor | None, mapped: bool) -> Images:
    if mapped:
        return Images(pixels, levels, labels, rows=torch.arange(len(pixels)))
    return Images(to_storage(pixels, levels).contiguous(), levels, labels)


def _labels(labels: Array | None, count: int, where: str) -> Tensor | None:
    if labels is None:
        return None
    array = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    array = array.reshape(-1) if array.shape == (count, 1) else array
    if array.shape != (count,):
        raise DataError(f"{where}: expected {count} labels, one an image; got shape {array.shape}")
    if array.dtype.kind not in "iub":
        raise DataError(f"{where}: expected integer labels; got {array.dtype}")
    return torch.from_numpy(array.astype(np.int64))


def read_array_file(path: Path, progress: Progress = None, *, levels: int | None = None) -> Parts:
    """The images of an .npy file, or of an .npz file with or without parts of its own.

    An .npz may name its parts: ``train``, ``valid`` or ``validation``, ``test``, also as ``x_train`` or
    ``train_images``, with labels ``y_train`` or ``train_labels``. Otherwise its images are ``x``, ``images``,
    ``pixels``, ``data``, ``samples`` or its only array of images.

    Raises:
        DataError: for a file that cannot be read, that holds Python objects, or whose arrays are no images.
    """
    try:
        if path.suffix == ".npy":
            return parts_of_arrays({"train": _load_npy(path, progress)}, where=path.name, levels=levels)
        # Opened here: numpy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as loaded:
            arrays = {key: loaded[key] for key in loaded.files}
    except DataError:
        raise
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    images, labels = _by_part(arrays, path)
    return parts_of_arrays(images, labels, where=path.name, levels=levels)


def _load_npy(path: Path, progress: Progress) -> np.ndarray:
    large = path.stat().st_size > MAPPED_ABOVE
    if large and progress is not None:
        progress(f"checking {path.name}, which is read from the disk")
    return np.load(path, mmap_mode="r" if large else None, allow_pickle=False)


def _unreadable(path: Path, error: Exception) -> DataError:
    if str(error).startswith("Object arrays"):
        hint = "save the images as one array of numbers"
        return DataError(f"{path}: expected an array of numbers; got Python objects", hint=hint)
    # What numpy says of anything that is no array is about pickles, which would mislead.
    reason = "it holds no array" if "pickle" in str(error) else str(error) or type(error).__name__
    return DataError(f"{path}: not a readable {path.suffix} file: {reason}", hint="save it again with numpy")


def _by_part(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    images: dict[str, Array] = {}
    labels: dict[str, Array] = {}
    for key, array in arrays.items():
        target, match = images, _IMAGE_KEY.fullmatch(key.lower())
        if match is None:
            target, match = labels, _LABEL_KEY.fullmatch(key.lower())
        if match is None:
            continue
        part = _part_name(match)
        if part in target:
            raise DataError(f"{path}: expected one array for {part}; got several, {key!r} among them")
        target[part] = array
    if not images:
        return _whole(arrays, path)
    if "train" not in images:
        raise DataError(f"{path}: expected an array for train; got {', '.join(map(repr, arrays))}")
    return images, labels


def _part_name(match: re.Match[str]) -> str:
    groups = match.groupdict()
    part = groups.get("part") or groups["first"]
    return "validation" if part.startswith("val") else part


def _whole(arrays: Mapping[str, np.ndarray], path: Path) -> tuple[dict[str, Array], dict[str, Array]]:
    """The images and labels of an .npz without parts."""
    named = [key for key in _ALL_IMAGES if key in arrays] or [key for key in arrays if arrays[key].ndim in (3, 4)]
    if len(named) != 1:
        keys = ", ".join(f"{key!r} {array.shape}" for key, array in arrays.items()) or "none"
        raise DataError(f"{path}: expected one array of images; got {keys}", hint="name it 'x', or 'train' and 'test'")
    labels = next((arrays[key] for key in _ALL_LABELS if key in arrays), None)
    return {"train": arrays[named[0]]}, {} if labels is None else {"train": labels}
