"""The two file formats of CIFAR-10: records of bytes, and pickles. A. Krizhevsky, https://www.cs.toronto.edu/~kriz."""

from __future__ import annotations

import numpy as np

from tightbound.data.plain_pickle import PickleError, read_plain_pickle
from tightbound.errors import DataError

PIXELS = 3 * 32 * 32
RECORD = 1 + PIXELS  # the label, then 1,024 bytes each of red, green and blue
CLASSES = 10

Batch = tuple[np.ndarray, np.ndarray]  # uint8 (N, 3, 32, 32) and int64 (N)


def read_records(content: bytes, where: str) -> Batch:
    """The images and labels of a .bin file; it may hold any number of them.

    Raises:
        DataError: for an empty file, one that ends within an image, or a label above 9.
    """
    if not content or len(content) % RECORD:
        raise DataError(
            f"{where}: expected whole images of {RECORD:,} bytes each; got {len(content):,} bytes", hint="get it again"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32), _labels(records[:, 0], where)


def read_pickled(content: bytes, where: str) -> Batch:
    """The same of a file of the Python version, a pickle of a dictionary.

    Raises:
        DataError: for a damaged file, one that names anything but arrays of bytes, or other content.
    """
    try:
        found = read_plain_pickle(content)
    except PickleError as error:
        raise DataError(f"{where}: not read as a batch of CIFAR-10: {error}", hint="get it again") from error
    found = found if isinstance(found, dict) else {}
    pixels, labels = found.get(b"data"), found.get(b"labels")
    if not isinstance(pixels, np.ndarray) or not isinstance(labels, list) or pixels.shape != (len(labels), PIXELS):
        raise DataError(
            f"{where}: expected 'data' of N × {PIXELS:,} and N 'labels'; it holds {_described(found)}",
            hint="get it again",
        )
    return pixels.reshape(-1, 3, 32, 32), _labels(labels, where)


def _labels(labels: np.ndarray | list[object], where: str) -> np.ndarray:
    numbers = labels.tolist() if isinstance(labels, np.ndarray) else labels
    wrong = [label for label in numbers if not (isinstance(label, int) and 0 <= label < CLASSES)]
    if wrong:
        raise DataError(f"{where}: expected labels 0 to {CLASSES - 1}; got {wrong[0]!r}", hint="get it again")
    return np.array(numbers, np.int64)


def _described(found: dict[object, object]) -> str:
    keys = [key.decode("latin-1") if isinstance(key, bytes) else key for key in found]
    return ", ".join(map(repr, keys)) or "no dictionary of them"
