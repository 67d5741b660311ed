"""CIFAR-10, whole or in part."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from tightbound.data import cifar_places
from tightbound.data.cifar_files import Batch
from tightbound.data.cifar_places import Place, places
from tightbound.data.data_set import PartialDataSet
from tightbound.data.download import fetch
from tightbound.data.images import Images, Parts
from tightbound.data.locate import cache_root, where_to_put
from tightbound.data.progress import Progress
from tightbound.data.storage import from_numpy
from tightbound.errors import DataError
from tightbound.registry import register

MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)


@register("data", "cifar10")
class Cifar10(PartialDataSet):
    """Photographs of ten kinds of things, 50,000 + 10,000 of 3 × 32 × 32 with levels 0 to 255.

    A. Krizhevsky, Learning multiple layers of features from tiny images, 2009. Labels 0 to 9: airplane, automobile,
    bird, cat, deer, dog, frog, horse, ship, truck.
    """

    validation = 5000

    def files(self) -> list[Path] | None:
        """The six files of either version, or its archive."""
        place = _whole()
        return None if place is None else place.files

    def how_to_get(self) -> str:
        """Where to put the files, and where a part of them lies."""
        part = next(places(), None)
        if part is not None:
            return f"{part.path} has a part of it, which data.partial=true reads; for all of it {_where()}"
        return f"downloaded when first used (170 MB); or {_where()}"

    def read(self, progress: Progress = None) -> Parts:
        """All images, after their checksums; nothing is downloaded over a part that lies there."""
        place, part = _whole(), next(places(), None)
        if place is None and part is not None:
            raise _only_a_part(part)
        return _joined(_batches(place or _fetched(progress), progress))

    def read_partial(self, progress: Progress = None) -> Parts:
        """The images that are there: whole files after their checksums, and binary files cut after an image."""
        place = _whole() or next(places(), None) or _fetched(progress)
        batches = _batches(place, progress)
        if place.whole:
            return _joined(batches, ("data.partial=true changes nothing: cifar10 is here as a whole",))
        return _joined(batches, (_note(place, batches),), _edition(place, batches))


def _whole() -> Place | None:
    return next((place for place in places() if place.whole), None)


def _where() -> str:
    first, other = (version.folder for version in cifar_places.VERSIONS)
    return f"{where_to_put('cifar10', [first])} (or {other}, or either archive)"


def _only_a_part(place: Place) -> DataError:
    """Why a part is not taken for the set."""
    count = place.version.images
    said = [f"without {', '.join(place.missing)}"] if place.missing else []
    said += [f"{name} has {images:,} of {count:,} images" for name, images in place.cut.items()]
    hint = f"data.partial=true uses what is there, and every result says so; for all of it {_where()}"
    return DataError(f"{place.path}: only a part of cifar10: {'; '.join(said)}", hint=hint)


def _fetched(progress: Progress) -> Place:
    version = cifar_places.VERSIONS[0]
    name, md5 = version.archive
    urls = [mirror + name for mirror in MIRRORS]
    path = fetch(urls, cache_root() / "cifar10" / name, checksum=f"md5:{md5}", progress=progress, hint=_where())
    return Place(path, version)


def _batches(place: Place, progress: Progress) -> dict[str, Batch]:
    """Images and labels by file."""
    if progress is not None and place.path.is_file():
        progress(f"reading {place.path.name}")
    return {name: _batch(place, name, content) for name, content in place.contents().items()}


def _batch(place: Place, name: str, content: bytes) -> Batch:
    where, version = str(place.path / name), place.version
    # A checksum is of a whole file; of one that is cut, the layout is all there is to check. It was asked for.
    cut = name in place.cut
    if not cut and hashlib.md5(content, usedforsecurity=False).hexdigest() != version.sums[name]:
        raise DataError(f"{where}: the checksum is not that of the published file", hint="delete it and get it again")
    pixels, labels = version.read(content, where)
    if len(pixels) != version.images and not cut:
        raise DataError(f"{where}: expected {version.images:,} images; got {len(pixels):,}", hint="get it again")
    return pixels, labels


def _joined(batches: dict[str, Batch], notes: tuple[str, ...] = (), edition: str = "") -> Parts:
    train = [batch for name, batch in batches.items() if not _is_test(name)]
    test = [batch for name, batch in batches.items() if _is_test(name)]
    if not train:
        raise DataError("cifar10: expected a file of training images; found none", hint=_where())
    return Parts(_images(train), test=_images(test) if test else None, notes=notes, edition=edition)


def _images(batches: list[Batch]) -> Images:
    pixels, labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    return Images(from_numpy(pixels), levels=255, labels=from_numpy(labels))


def _is_test(name: str) -> bool:
    return name.startswith("test")


def _edition(place: Place, batches: dict[str, Batch]) -> str:
    """Such as ``partial: 20,000 of 50,000 training images, first 1,000 of 10,000 test images``."""
    count, all_files = place.version.images, len(place.version.sums)
    test = sum(len(pixels) for name, (pixels, _) in batches.items() if _is_test(name))
    train = sum(len(pixels) for pixels, _ in batches.values()) - test
    said = [f"{train:,} of {(all_files - 1) * count:,} training images"]
    said += [f"first {test:,} of {count:,} test images" if test else "no test images"] if test < count else []
    return f"partial: {', '.join(said)}"


def _note(place: Place, batches: dict[str, Batch]) -> str:
    """Which files there are, and which of them no checksum covers."""
    unchecked = f" ({', '.join(place.cut)} cut short, which no checksum covers)" if place.cut else ""
    return f"cifar10: read from {', '.join(batches)}{unchecked}: numbers do not compare with those of the whole set"
