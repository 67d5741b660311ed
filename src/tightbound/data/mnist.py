"""MNIST in its four IDX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tightbound.data.data_set import DataSet
from tightbound.data.download import fetch
from tightbound.data.idx import read_idx
from tightbound.data.images import Images, Parts
from tightbound.data.locate import cache_root, find_file, folders_of, where_to_put
from tightbound.data.progress import Progress
from tightbound.errors import DataError
from tightbound.registry import register

# name: (md5 of the .gz, md5 of the bytes in it)
FILES = {
    "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
}
# As the documentation of torchvision.datasets.MNIST gives them, with the same checksums.
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")


@register("data", "mnist")
class Mnist(DataSet):
    """Handwritten digits, 60,000 + 10,000 of 28 × 28 with gray levels 0 to 255.

    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, 1998.
    """

    binarize = "dynamic"
    validation = 5000

    def files(self) -> list[Path] | None:
        """The four files, each plain or gzipped, also in torchvision's layout."""
        found = [_find(name) for name in FILES]
        return None if None in found else [path for path in found if path is not None]

    def how_to_get(self) -> str:
        """Where to put the files."""
        return f"downloaded when first used; or {_where()}"

    def read(self, progress: Progress = None) -> Parts:
        """The images, after their checksums."""
        train_images, train_labels, test_images, test_labels = (_open(name, progress) for name in FILES)
        return Parts(train=_images(train_images, train_labels), test=_images(test_images, test_labels))


def _where() -> str:
    return where_to_put("mnist", [f"{name}.gz" for name in FILES])


def _find(name: str) -> Path | None:
    return find_file(folders_of("mnist", "MNIST/raw"), f"{name}.gz", name)


def _open(name: str, progress: Progress) -> np.ndarray:
    md5_gz, md5 = FILES[name]
    path = _find(name)
    if path is None:
        file = f"{name}.gz"
        target = cache_root() / "mnist" / file
        urls = [mirror + file for mirror in MIRRORS]
        path = fetch(urls, target, checksum=f"md5:{md5_gz}", progress=progress, hint=_where())
    return read_idx(path, ndim=3 if "images" in name else 1, md5=md5)


def _images(pixels: np.ndarray, labels: np.ndarray) -> Images:
    if len(pixels) != len(labels):
        raise DataError(f"mnist: expected a label an image; got {len(pixels)} images and {len(labels)} labels")
    # A copy: the bytes of a file are read-only.
    return Images(torch.from_numpy(pixels.copy()).unsqueeze(1), 255, torch.from_numpy(labels.astype(np.int64)))
