"""Where files of CIFAR-10 may lie: unpacked or in an archive, in its binary or its Python version."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tightbound.data.cifar_files import RECORD, Batch, read_pickled, read_records
from tightbound.data.locate import folders_of
from tightbound.errors import DataError


class Version(NamedTuple):
    """One of the two that are published.

    Attributes:
        folder: what its archive unpacks to.
        archive: the name of that, and its md5.
        sums: the md5 of its files, those to train on first.
        read: one of them.
        images: of a file.
    """

    folder: str
    archive: tuple[str, str]
    sums: Mapping[str, str]
    read: Callable[[bytes, str], Batch]
    images: int = 10_000


BINARY = Version(
    "cifar-10-batches-bin",
    ("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530"),
    {
        "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
        "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
        "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
        "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
        "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
        "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
    },
    read_records,
)
PYTHON = Version(
    "cifar-10-batches-py",
    ("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a"),
    {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
    },
    read_pickled,
)
VERSIONS = (BINARY, PYTHON)  # the first is downloaded


@dataclass(frozen=True)
class Place:
    """A folder, or an archive, with files of a version.

    Args:
        path: of it.
        version: which it is.
    """

    path: Path
    version: Version

    @property
    def files(self) -> list[Path]:
        """Those that are there; an archive has them all."""
        if self.path.is_file():
            return [self.path]
        return [path for path in (self.path / name for name in self.version.sums) if path.is_file()]

    @property
    def cut(self) -> dict[str, int]:
        """Binary files that are shorter than they should be, and their images; of a pickle, only its checksum tells."""
        sizes = {path.name: path.stat().st_size for path in self.files if path.suffix == ".bin"}
        return {name: size // RECORD for name, size in sizes.items() if size < self.version.images * RECORD}

    @property
    def missing(self) -> list[str]:
        """Files that are not there."""
        there = {path.name for path in self.files}
        return [] if self.path.is_file() else [name for name in self.version.sums if name not in there]

    @property
    def whole(self) -> bool:
        """Whether nothing is missing or cut, as far as names and sizes tell."""
        return not self.missing and not self.cut

    def contents(self) -> dict[str, bytes]:
        """The bytes of each file, in the order of the set.

        Raises:
            DataError: for a damaged archive, or one without them.
        """
        try:
            if not self.path.is_file():
                return {path.name: path.read_bytes() for path in self.files}
            found = _unpacked(self.path, {f"{self.version.folder}/{name}" for name in self.version.sums})
            return {name: found[f"{self.version.folder}/{name}"] for name in self.version.sums}
        except KeyError as error:
            raise DataError(f"{self.path}: it does not hold {error.args[0]}", hint="get it again") from error
        except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
            raise DataError(f"{self.path}: cannot be read: {error}", hint="delete it and get it again") from error


def _unpacked(path: Path, wanted: set[str]) -> dict[str, bytes]:
    """Members of an archive by name, in one pass: going back in a compressed file would start over."""
    with tarfile.open(path, "r|*") as archive:
        files = ((member.name, archive.extractfile(member)) for member in archive if member.name in wanted)
        return {name: file.read() for name, file in files if file is not None}


def places() -> Iterator[Place]:
    """Where files of the set are, by rank. The data root itself is torchvision's layout."""
    for folder in folders_of("cifar10", "CIFAR10", "."):
        for version in VERSIONS:
            within = (folder / version.folder, folder, folder / version.archive[0])
            yield from (place for path in within if (place := Place(path, version)).files)
