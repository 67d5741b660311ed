"""The zip files of OMNIGLOT: 105 × 105 drawings, brought to 28 × 28 gray levels."""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tightbound.data.progress import Progress, Ticker
from tightbound.errors import DataError

SIDE, SMALL = 105, 28
_AT_ONCE = 512
# .../Alphabet/character07/0715_03.png: the third drawing of character 715, the seventh of its alphabet.
_ENTRY = re.compile(r"(?:.*/)?[^/]+/character\d+/(\d+)_\d+\.png")
# What a damaged zip raises (RuntimeError: it has a password; NotImplementedError: a compression that Python lacks), and
# on the second line what Pillow raises on a damaged PNG in it, for which it has no error of its own.
_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError),
    *(OSError, SyntaxError, ValueError, struct.error),
)


def read_drawings(path: Path, count: int, progress: Progress = None) -> tuple[np.ndarray, list[int]]:
    """The drawings of a zip file in the order of their names, ink bright, and each one's character.

    Args:
        path: the zip file.
        count: of the drawings that must be in it.
        progress: told how far a slow reading is.

    Returns:
        Gray levels 0 to 255, uint8 (N, 28, 28), and the characters' numbers as the file names give them.

    Raises:
        DataError: for a damaged file, another number of drawings, or drawings of another size.
    """
    try:
        with zipfile.ZipFile(path) as file:
            characters = {name: int(match[1]) for name in file.namelist() if (match := _ENTRY.fullmatch(name))}
            if len(characters) != count:
                raise DataError(
                    f"{path}: expected {count:,} drawings, ALPHABET/characterNN/NNNN_NN.png; got {len(characters):,}",
                    hint="get it again",
                )
            names = sorted(characters)
            pixels = np.empty((count, SMALL, SMALL), np.uint8)
            ticker = Ticker(f"drawings of {path.name}", count, progress)
            for start in range(0, count, _AT_ONCE):
                some = names[start : start + _AT_ONCE]
                pixels[start : start + len(some)] = shrink(np.stack([_ink(file, name, path) for name in some]))
                ticker.done(start + len(some))
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="delete it and get it again") from error
    return pixels, [characters[name] for name in names]


def _ink(file: zipfile.ZipFile, name: str, path: Path) -> np.ndarray:
    """(105, 105) bool: where the strokes are, which the files have black on white."""
    import PIL.Image

    with PIL.Image.open(io.BytesIO(file.read(name))) as image:
        if image.size != (SIDE, SIDE):
            width, height = image.size
            raise DataError(f"{path}: expected drawings of {SIDE} × {SIDE} pixels; {name} has {height} × {width}")
        return np.asarray(image.convert("L")) < 128


def shrink(ink: np.ndarray) -> np.ndarray:
    """Gray levels uint8 (N, 28, 28): round(255 · the share of each pixel's area that is ink), of bool (N, 105, 105).

    The mean over the area, not a filter with side lobes, so that the share is in [0, 1] and no ink is lost. A small
    pixel is 105 / 28 = 15 / 4 large ones wide, of which it covers some in part. (Pillow's BOX filter counts a large
    pixel whole or not at all, so that some small pixels would be means over three, others over four.)
    """
    quarters = _quarters_covered()
    covered = quarters @ ink.astype(np.float32) @ quarters.T  # whole numbers 0 to 225, exact in float32
    return np.rint(covered.astype(np.float64) * (255 / 15**2)).astype(np.uint8)


def _quarters_covered() -> np.ndarray:
    """(28, 105): how many quarters of each large pixel lie in each small one, along one axis; each row sums to 15."""
    quarter = np.arange(4 * SIDE)
    covered = np.zeros((SMALL, SIDE), np.float32)
    np.add.at(covered, (quarter // 15, quarter // 4), 1)
    return covered
