"""SVHN: house numbers, cropped around a digit, in two Matlab files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from tightbound.data.cache import cached_with_facts
from tightbound.data.data_set import DataSet
from tightbound.data.download import fetch, file_digest
from tightbound.data.images import Images, Parts
from tightbound.data.locate import cache_root, find_file, folders_of, where_to_put
from tightbound.data.matlab import read_matlab
from tightbound.data.progress import Progress
from tightbound.data.storage import from_numpy
from tightbound.errors import DataError
from tightbound.registry import register

# part: (file, md5)
FILES = {
    "train": ("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test": ("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
}
MIRRORS = ("http://ufldl.stanford.edu/housenumbers/",)


@register("data", "svhn")
class Svhn(DataSet):
    """Photographs of house numbers around a digit, 73,257 + 26,032 of 3 × 32 × 32 with levels 0 to 255.

    Y. Netzer, T. Wang, A. Coates, A. Bissacco, B. Wu, A. Ng, Reading digits in natural images with unsupervised feature
    learning, 2011. Without the 531,131 "extra" images. A label is the digit; the files have 10 for 0.
    """

    validation = 5000

    def files(self) -> list[Path] | None:
        """The two files."""
        found = [_find(name) for name, _ in FILES.values()]
        return None if None in found else [path for path in found if path is not None]

    def how_to_get(self) -> str:
        """Where to put the files."""
        return f"downloaded when first used (250 MB); or {_where()}"

    def read(self, progress: Progress = None) -> Parts:
        """The images, after their checksums; brought into our order once and then kept in the user's cache."""
        train, test = (_read(*about, progress) for about in FILES.values())
        return Parts(train, test=test)


def _find(name: str) -> Path | None:
    return find_file(folders_of("svhn", "SVHN", "."), name)


def _where() -> str:
    return where_to_put("svhn", [name for name, _ in FILES.values()])


def _read(name: str, md5: str, progress: Progress) -> Images:
    path = _find(name)
    if path is None:
        urls = [mirror + name for mirror in MIRRORS]
        path = fetch(urls, cache_root() / "svhn" / name, checksum=f"md5:{md5}", progress=progress, hint=_where())

    def build() -> tuple[np.ndarray, dict[str, Any]]:
        if progress is not None:
            progress(f"reading {path.name}")
        pixels, labels = read_mat(path, md5)
        return pixels, {"labels": labels.tolist()}

    pixels, facts = cached_with_facts(f"svhn_{path.stem}", [path], md5, build)
    return Images(from_numpy(pixels), levels=255, labels=torch.tensor(facts["labels"], dtype=torch.int64))


def read_mat(path: Path, md5: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one file.

    Args:
        path: a Matlab 5 file with X, uint8 (32, 32, 3, N), and y, (N, 1) with 10 for the digit 0.
        md5: of the file.

    Returns:
        uint8 (N, 3, 32, 32), and the digits 0 to 9, int64 (N).

    Raises:
        DataError: for another file than the checksum's, or other arrays.
    """
    if file_digest(path, "md5") != md5:
        raise DataError(f"{path}: the checksum is not that of the published file", hint="delete it and get it again")
    found = read_matlab(path, ("X", "y"))
    pixels, labels = (np.asarray(found.get(key)) for key in ("X", "y"))
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or (*pixels.shape[:3], labels.size) != (32, 32, 3, pixels.shape[3]):
        got = f"{pixels.dtype} {pixels.shape} and {labels.shape}"
        raise DataError(f"{path}: expected X of uint8 (32, 32, 3, N) and y of (N, 1); got {got}", hint="get it again")
    if labels.dtype.kind not in "iu" or labels.min() < 1 or labels.max() > 10:
        raise DataError(f"{path}: expected labels 1 to 10; got {labels.min()} to {labels.max()}", hint="get it again")
    return np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels.reshape(-1).astype(np.int64) % 10
