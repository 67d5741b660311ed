"""OMNIGLOT at 28 × 28: from its own drawings, or in the split that papers on variational autoencoders use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from tightbound.data.cache import cached_with_facts
from tightbound.data.chardata import read_chardata
from tightbound.data.data_set import DataSet
from tightbound.data.download import fetch
from tightbound.data.drawings import read_drawings
from tightbound.data.images import Images, Parts
from tightbound.data.locate import cache_root, find_file, folders_of, where_to_put
from tightbound.data.progress import Progress
from tightbound.data.storage import from_numpy
from tightbound.registry import register

# part: (file, its drawings, md5 of the published file). A file that lies there is judged by what is in it.
ZIPS = {
    "train": ("images_background.zip", 19_280, "68d2efa1b9178cc56df9314c21c6e718"),
    "test": ("images_evaluation.zip", 13_180, "6b91aef0f799c5bb55b94e3f2daec811"),
}
MIRRORS = ("https://raw.githubusercontent.com/brendenlake/omniglot/master/python/",)
CHARDATA = "chardata.mat"
CHARDATA_COUNTS = {"train": 24_345, "test": 8_070}

_DRAWINGS_NOTE = (
    "omniglot: the background and evaluation drawings, brought to 28 × 28 by area means: other images than those of "
    "chardata.mat, and other characters to test on than to train on, so numbers do not compare with those of its split"
)
_CHARDATA_NOTE = "omniglot: the images of chardata.mat, in the split of Burda et al. 2016"


@register("data", "omniglot")
class Omniglot(DataSet):
    """Handwritten characters of 50 alphabets, 28 × 28 with gray levels 0 to 255: 19,280 + 13,180, or Burda's split.

    B. Lake, R. Salakhutdinov, J. Tenenbaum, Human-level concept learning through probabilistic program induction, 2015.
    If ``chardata.mat`` lies in the folder, it is read instead of the zip files: 24,345 + 8,070 images, the set that
    Y. Burda et al. 2016 and most papers since report on. Its name in results says which it was.
    """

    binarize = "dynamic"
    validation = 1345  # as most papers keep apart

    def files(self) -> list[Path] | None:
        """chardata.mat, or the two zip files."""
        chardata = find_file(_folders(), CHARDATA)
        if chardata is not None:
            return [chardata]
        found = [find_file(_folders(), name) for name, _, _ in ZIPS.values()]
        return None if None in found else [path for path in found if path is not None]

    def how_to_get(self) -> str:
        """Where to put the files."""
        return f"downloaded when first used; or {_where()}"

    def read(self, progress: Progress = None) -> Parts:
        """The images, converted once and then kept in the user's cache."""
        chardata = find_file(_folders(), CHARDATA)
        return _read_zips(progress) if chardata is None else _read_chardata(chardata, progress)


def _folders() -> Iterator[Path]:
    return folders_of("omniglot", "OMNIGLOT", "omniglot-py")


def _where() -> str:
    return where_to_put("omniglot", [name for name, _, _ in ZIPS.values()]) + f", or {CHARDATA}"


def _read_zips(progress: Progress) -> Parts:
    parts = {part: _read_zip(*about, progress) for part, about in ZIPS.items()}
    return Parts(parts["train"], test=parts["test"], notes=(_DRAWINGS_NOTE,), edition="drawings")


def _read_zip(name: str, count: int, md5: str, progress: Progress) -> Images:
    path = find_file(_folders(), name)
    if path is None:
        target = cache_root() / "omniglot" / name
        urls = [mirror + name for mirror in MIRRORS]
        path = fetch(urls, target, checksum=f"md5:{md5}", progress=progress, hint=_where())

    def build() -> tuple[np.ndarray, dict[str, list[int]]]:
        pixels, characters = read_drawings(path, count, progress)
        return pixels, {"characters": characters}

    pixels, facts = cached_with_facts(f"omniglot_{path.stem}", [path], count, build)
    return _images(pixels, facts["characters"])


def _read_chardata(path: Path, progress: Progress) -> Parts:
    def build() -> tuple[np.ndarray, dict[str, object]]:
        if progress is not None:
            progress(f"reading {path.name}")
        return read_chardata(path, CHARDATA_COUNTS)

    pixels, facts = cached_with_facts("omniglot_chardata", [path], CHARDATA_COUNTS, build)
    note = _CHARDATA_NOTE + (", pixels rounded to k/255" if facts["rounded"] else "")
    cut = CHARDATA_COUNTS["train"]
    train, test = (_images(pixels[rows], facts["labels"][rows]) for rows in (slice(cut), slice(cut, None)))
    return Parts(train, test=test, notes=(note,), edition=CHARDATA)


def _images(pixels: np.ndarray, labels: list[int]) -> Images:
    return Images(from_numpy(pixels).unsqueeze(1), levels=255, labels=torch.tensor(labels, dtype=torch.int64))
