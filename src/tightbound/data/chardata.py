"""chardata.mat: OMNIGLOT at 28 × 28 in the split of Y. Burda, R. Grosse and R. Salakhutdinov (IWAE, 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tightbound.data.matlab import read_matlab
from tightbound.errors import DataError

SIDE = 28
# part: (images, their alphabets, one-hot; their characters' numbers within the alphabet)
KEYS = {"train": ("data", "target", "targetchar"), "test": ("testdata", "testtarget", "testtargetchar")}
_TOLERANCE = 1e-4  # of k in x = k / 255


def read_chardata(path: Path, counts: dict[str, int]) -> tuple[np.ndarray, dict[str, Any]]:
    """The images of both parts, one after the other, and facts about them.

    Args:
        path: a Matlab 5 file.
        counts: images of each part that must be in it.

    Returns:
        Gray levels round(255 x), uint8 (N, 28, 28), and ``labels``, one number for each pair of alphabet and character,
        and ``rounded``, whether some x was no multiple of 1/255.

    Raises:
        DataError: for a damaged file, other sizes, or values outside [0, 1].
    """
    loaded = read_matlab(path, [name for keys in KEYS.values() for name in keys])
    images = np.concatenate([_images(loaded, part, path, count) for part, count in counts.items()])
    levels = 255 * images
    pixels = np.rint(levels)
    rounded = bool((np.abs(levels - pixels) > _TOLERANCE).any())
    characters = np.concatenate([_characters(loaded, part, path, count) for part, count in counts.items()])
    _, labels = np.unique(characters, axis=0, return_inverse=True)
    return pixels.astype(np.uint8), {"labels": labels.ravel().tolist(), "rounded": rounded}


def _images(loaded: dict[str, Any], part: str, path: Path, count: int) -> np.ndarray:
    """(N, 28, 28) in [0, 1].

    A column of the file is one image, laid out column by column as Matlab does: its pixel (row r, column c) is entry
    28 c + r, as all code that reads the file assumes.
    """
    columns = _array(loaded, KEYS[part][0], path, (SIDE**2, count))
    if not (np.isfinite(columns).all() and columns.min() >= 0 and columns.max() <= 1):
        raise DataError(f"{path}: expected pixels in [0, 1]; got {columns.min():.6g} to {columns.max():.6g}")
    return columns.T.reshape(-1, SIDE, SIDE).transpose(0, 2, 1)


def _characters(loaded: dict[str, Any], part: str, path: Path, count: int) -> np.ndarray:
    """(N, 2): alphabet and number within it."""
    _, one_hot, number = KEYS[part]
    alphabets = _array(loaded, one_hot, path, (None, count)).argmax(0)
    return np.stack([alphabets, _array(loaded, number, path, (1, count))[0]], axis=1)


def _array(loaded: dict[str, Any], key: str, path: Path, shape: tuple[int | None, int]) -> np.ndarray:
    """The array of that name as float64, if it has the shape (None: any)."""
    array = loaded.get(key)
    found = getattr(array, "shape", ())
    if array is None or len(found) != 2 or any(n not in (None, m) for n, m in zip(shape, found, strict=True)):
        wanted = " × ".join("any" if n is None else str(n) for n in shape)
        got = "nothing" if array is None else " × ".join(map(str, found))
        raise DataError(f"{path}: expected {key!r} of {wanted}; got {got}", hint="get it again")
    return np.asarray(array, np.float64)
