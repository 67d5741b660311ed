"""MNIST binarized once and for all, as H. Larochelle and I. Murray distributed it."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from pathlib import Path

import numpy as np

from tightbound.data.amat import read_amat
from tightbound.data.cache import cached
from tightbound.data.data_set import DataSet
from tightbound.data.images import Images, Parts
from tightbound.data.locate import find_file, folders_of, where_to_put
from tightbound.data.progress import Progress
from tightbound.data.storage import from_numpy
from tightbound.errors import DataError
from tightbound.registry import register

PIXELS = 784
# part: (text file, its md5)
TEXT = {
    "train": ("binarized_mnist_train.amat", "db28b1a6ae0fe70cbd3da91acf46e477"),
    "valid": ("binarized_mnist_valid.amat", "bf37822a04e94123630de6a7dfd9c9ef"),
    "test": ("binarized_mnist_test.amat", "14e41ae11040adba6ab8cb291eda0dd8"),
}
PACKED = "static_mnist_packed.npz"
PACKED_MD5 = "e0fddb4034a264df42ab19348843fcc7"
_FOLDERS = ("static_mnist", "binarized_mnist", "BinaryMNIST")


@register("data", "static_mnist")
class StaticMnist(DataSet):
    """MNIST binarized once: 50,000 / 10,000 / 10,000 of 28 × 28, pixels 0 and 1, without labels; test sorted by digit.

    H. Larochelle and I. Murray, The neural autoregressive distribution estimator, 2011.
    """

    def files(self) -> list[Path] | None:
        """The packed file, or the three text files."""
        packed = find_file(folders_of(*_FOLDERS), PACKED)
        if packed is not None:
            return [packed]
        found = [find_file(folders_of(*_FOLDERS), name) for name, _ in TEXT.values()]
        return None if None in found else [path for path in found if path is not None]

    def how_to_get(self) -> str:
        """Where to put the files."""
        return where_to_put("static_mnist", [name for name, _ in TEXT.values()])

    def read(self, progress: Progress = None) -> Parts:
        """The images, after their checksums."""
        files = self.files()
        if files is None:
            raise DataError("static_mnist: its files are missing, and no address is known", hint=self.how_to_get())
        if len(files) == 1:
            packed = _read_packed(files[0])
        else:
            packed = {part: _read_text(part, path, progress) for part, path in zip(TEXT, files, strict=True)}
        train, validation, test = (_images(packed[part]) for part in TEXT)
        return Parts(train, validation, test)


def _read_packed(path: Path) -> dict[str, np.ndarray]:
    """The rows of each part, eight pixels a byte."""
    try:
        md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        if md5 != PACKED_MD5:
            raise DataError(f"{path}: the checksum is not that of the known file", hint="get it again")
        with np.load(path, allow_pickle=False) as arrays:
            return {part: arrays[part] for part in TEXT}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: cannot be read: {error}", hint="get it again") from error


def _read_text(part: str, path: Path, progress: Progress) -> np.ndarray:
    """The same of a text file; parsed once, then kept packed in the user's cache."""

    def parse() -> np.ndarray:
        if progress is not None:
            progress(f"reading {path.name}")
        return np.packbits(read_amat(path, PIXELS, md5=TEXT[part][1]), axis=-1)

    return cached(f"static_mnist_{part}", [path], TEXT[part][1], parse)


def _images(packed: np.ndarray) -> Images:
    bits = np.unpackbits(packed, axis=-1, count=PIXELS)
    return Images(from_numpy(bits).reshape(-1, 1, 28, 28), levels=1)
