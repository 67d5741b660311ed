"""The .amat text format of statically binarized MNIST: digits joined by blanks, one image a line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tightbound.errors import DataError

_BLANKS = np.frombuffer(b" \n\r\t", np.uint8)


def read_amat(path: Path, pixels: int, *, md5: str | None = None) -> np.ndarray:
    """(N, pixels) uint8 of 0 and 1. A 78 MB file takes about half a second.

    Args:
        path: the text file.
        pixels: per image.
        md5: of the file, if known.

    Raises:
        DataError: for another file than the checksum's, other characters than 0, 1 and blanks, or a cut line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{path}: the checksum is not that of the published file", hint="delete it and get it again")
    text = np.frombuffer(content, np.uint8)
    digits = _every_other(text)
    if digits.size == 0 or digits.size % pixels:
        raise DataError(
            f"{path}: expected lines of {pixels} digits; got {digits.size:,} digits", hint="is it cut short?"
        )
    if (digits > 1).any() or _splits_digits(text, digits.size):
        raise DataError(f"{path}: expected digits 0 and 1 joined by blanks; got other characters")
    return digits.reshape(-1, pixels)


def _every_other(text: np.ndarray) -> np.ndarray:
    """The digits as numbers. The published files alternate digit and blank exactly, which needs no search."""
    if text.size % 2 == 0 and np.isin(text[1::2], _BLANKS).all() and not np.isin(text[0::2], _BLANKS).any():
        return text[0::2] - ord("0")
    return text[~np.isin(text, _BLANKS)] - ord("0")


def _splits_digits(text: np.ndarray, digits: int) -> bool:
    """Whether some number has two characters: then there are fewer words than digits."""
    blank = np.isin(text, _BLANKS)
    words = int((blank[1:] & ~blank[:-1]).sum()) + int(not blank[-1])
    return words != digits
