"""MNIST and Fashion-MNIST: four IDX files each, under the same names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

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


class FourIdxFiles(DataSet):
    """Training and test images with labels, in four IDX files. Adding one: set the attributes, register.

    Attributes:
        name: what the set is called; its folder.
        layout: the folder of the same files in torchvision's layout.
        checksums: by file name, in the order training images, training labels, test images, test labels: the md5 of
            the .gz and that of the bytes in it.
        mirrors: addresses that the .gz files lie under.
    """

    name: ClassVar[str]
    layout: ClassVar[str]
    checksums: ClassVar[Mapping[str, tuple[str, str]]]
    mirrors: ClassVar[tuple[str, ...]]
    validation = 5000

    def files(self) -> list[Path] | None:
        """The four files, each plain or gzipped, also in torchvision's layout."""
        found = [self._find(name) for name in self.checksums]
        return None if None in found else [path for path in found if path is not None]

    def how_to_get(self) -> str:
        """Where to put the files."""
        return f"downloaded when first used; or {self._where()}"

    def read(self, progress: Progress = None) -> Parts:
        """The images, after their checksums."""
        train_images, train_labels, test_images, test_labels = (self._open(name, progress) for name in self.checksums)
        return Parts(train=self._images(train_images, train_labels), test=self._images(test_images, test_labels))

    def _where(self) -> str:
        return where_to_put(self.name, [f"{name}.gz" for name in self.checksums])

    def _find(self, name: str) -> Path | None:
        return find_file(folders_of(self.name, self.layout), f"{name}.gz", name)

    def _open(self, name: str, progress: Progress) -> np.ndarray:
        md5_gz, md5 = self.checksums[name]
        path = self._find(name)
        if path is None:
            file = f"{name}.gz"
            target = cache_root() / self.name / file
            urls = [mirror + file for mirror in self.mirrors]
            path = fetch(urls, target, checksum=f"md5:{md5_gz}", progress=progress, hint=self._where())
        return read_idx(path, ndim=3 if "images" in name else 1, md5=md5)

    def _images(self, pixels: np.ndarray, labels: np.ndarray) -> Images:
        if len(pixels) != len(labels):
            counts = f"{len(pixels)} images and {len(labels)} labels"
            raise DataError(f"{self.name}: expected a label an image; got {counts}")
        # A copy: the bytes of a file are read-only.
        return Images(torch.from_numpy(pixels.copy()).unsqueeze(1), 255, torch.from_numpy(labels.astype(np.int64)))


@register("data", "mnist")
class Mnist(FourIdxFiles):
    """Handwritten digits, 60,000 + 10,000 of 28 × 28 with gray levels 0 to 255.

    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based learning applied to document recognition, 1998.
    """

    binarize = "dynamic"
    name = "mnist"
    layout = "MNIST/raw"
    checksums: ClassVar = {
        "train-images-idx3-ubyte": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", "6bbc9ace898e44ae57da46a324031adb"),
        "train-labels-idx1-ubyte": ("d53e105ee54ea40749a09fcbcd1e9432", "a25bea736e30d166cdddb491f175f624"),
        "t10k-images-idx3-ubyte": ("9fb629c4189551a2d022fa330f9573f3", "2646ac647ad5339dbf082846283269ea"),
        "t10k-labels-idx1-ubyte": ("ec29112dd5afa0611ce80d1b7f02629c", "27ae3e4e09519cfbb04c329615203637"),
    }
    # As the documentation of torchvision.datasets.MNIST gives them, with the same checksums.
    mirrors = ("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/")


@register("data", "fashion_mnist")
class FashionMnist(FourIdxFiles):
    """Pictures of clothes in ten classes, 60,000 + 10,000 of 28 × 28 with gray levels 0 to 255.

    H. Xiao, K. Rasul, R. Vollgraf, Fashion-MNIST, 2017. It is not binarized unless the recipe says so: unlike the grays
    of MNIST, which are the edges of strokes, its grays are shades of cloth, and a shade is no probability.
    """

    name = "fashion_mnist"
    layout = "FashionMNIST/raw"
    checksums: ClassVar = {
        "train-images-idx3-ubyte": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", "f4a8712d7a061bf5bd6d2ca38dc4d50a"),
        "train-labels-idx1-ubyte": ("25c81989df183df01b3e8a0aad5dffbe", "9018921c3c673c538a1fc5bad174d6f9"),
        "t10k-images-idx3-ubyte": ("bef4ecab320f06d8554ea6380940ec79", "8181f5470baa50b63fa0f6fddb340f0a"),
        "t10k-labels-idx1-ubyte": ("bb300cfdad3c16e7a12a480ee83cd310", "15d484375f8d13e6eb1aabb0c3f46965"),
    }
    mirrors = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
