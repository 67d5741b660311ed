"""CelebA at 64 × 64: the aligned faces, cut and reduced as papers on generative models do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tightbound.data.cache import cached_rows
from tightbound.data.data_set import DataSet
from tightbound.data.decode import Unreadable, with_image
from tightbound.data.images import Images, Parts
from tightbound.data.locate import folders_of, where_to_put
from tightbound.data.progress import Progress, Ticker
from tightbound.data.storage import from_numpy
from tightbound.data.threads import in_threads
from tightbound.errors import DataError
from tightbound.registry import register

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGES, PARTITION = "img_align_celeba", "list_eval_partition.txt"
COUNTS = (162_770, 19_867, 19_962)  # of the training, validation and test images
WIDTH, HEIGHT, CROP, SIDE = 178, 218, 148, 64
_ROWS = 512  # images written together
EDITION = f"center {CROP} × {CROP} reduced to {SIDE} × {SIDE}, bilinear"


@register("data", "celeba64")
class CelebA64(DataSet):
    """Faces, 162,770 / 19,867 / 19,962 of 3 × 64 × 64 with levels 0 to 255, in the set's own three parts.

    Z. Liu, P. Luo, X. Wang, X. Tang, Deep learning face attributes in the wild, 2015. Of the aligned 178 × 218 images
    the 148 × 148 pixels in the middle are reduced to 64 × 64 by a triangle as wide as the reduction ("bilinear" with
    antialiasing, Pillow's). Other crops and filters make other likelihoods, so its name in results says so. The JPEGs
    are decoded once, into one file of 2.5 GB in the user's cache, from which batches are read.
    """

    def files(self) -> list[Path] | None:
        """The list of the parts, and the folder of the images."""
        folder = next((folder for folder in _folders() if _complete(folder)), None)
        return None if folder is None else [folder / PARTITION, folder / IMAGES]

    def how_to_get(self) -> str:
        """Where to put the files, which its authors give for research."""
        return where_to_put("celeba", [f"{IMAGES}/*.jpg", PARTITION])

    def read(self, progress: Progress = None) -> Parts:
        """The images, in the order of the list; decoded again if the list or the names in the folder change."""
        files = self.files()
        if files is None:
            raise DataError("celeba64: its files are missing, and no address is known", hint=self.how_to_get())
        names, parts = read_partition(files[0])
        paths = [files[1] / name for name in names]
        shape = (len(paths), 3, SIDE, SIDE)
        build = partial(_decoded, paths, progress)
        pixels = from_numpy(cached_rows("celeba64", files, EDITION, shape, build))
        train, validation, test = (
            Images(pixels, 255, rows=torch.from_numpy((parts == part).nonzero()[0])) for part in range(3)
        )
        return Parts(train, validation, test, edition=EDITION)


def _folders() -> Iterator[Path]:
    return folders_of("celeba", "CelebA")


def _complete(folder: Path) -> bool:
    return (folder / PARTITION).is_file() and (folder / IMAGES).is_dir()


def read_partition(path: Path) -> tuple[list[str], np.ndarray]:
    """The names of the images, and the part that each is in: 0 training, 1 validation, 2 test.

    Raises:
        DataError: for another file than one ``NAME.jpg PART`` a line, or other numbers of images than the set's.
    """
    try:
        lines = [line.split() for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
        names, parts = [name for name, _ in lines], np.array([int(part) for _, part in lines], np.int64)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: expected lines such as '000001.jpg 0': {error}", hint="get it again") from error
    if parts.size and (parts.min() < 0 or parts.max() > 2):
        raise DataError(f"{path}: expected parts 0, 1 and 2; got {parts.min()} to {parts.max()}", hint="get it again")
    counts = tuple(np.bincount(parts, minlength=3).tolist())
    if counts != COUNTS or len(set(names)) != len(names):
        expected, got = (", ".join(f"{count:,}" for count in numbers) for numbers in (COUNTS, counts))
        raise DataError(f"{path}: expected parts of {expected} different images; got {got}", hint="get it again")
    return names, parts


def _decoded(paths: list[Path], progress: Progress) -> Iterator[np.ndarray]:
    """uint8 (n, 3, 64, 64) pieces."""
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{missing[0]}: missing ({len(missing):,} of {len(paths):,} images that {PARTITION} names)",
            hint="unpack img_align_celeba.zip again",
        )
    faces = in_threads(read_face, paths, Ticker("images of celeba64", len(paths), progress))
    while piece := list(islice(faces, _ROWS)):
        yield np.stack(piece)


def read_face(path: Path) -> np.ndarray:
    """uint8 (3, 64, 64) of one aligned image.

    Raises:
        DataError: for a file that cannot be read, or an image of another size.
    """
    found = with_image(path, _reduced)
    if isinstance(found, Unreadable):
        raise DataError(f"{path}: not a readable image: {found.reason}", hint="unpack img_align_celeba.zip again")
    return found


def _reduced(image: Image) -> np.ndarray | Unreadable:
    import PIL.Image

    if image.size != (WIDTH, HEIGHT):
        return Unreadable(f"expected {HEIGHT} × {WIDTH} pixels; got {image.size[1]} × {image.size[0]}")
    left, top = (WIDTH - CROP) // 2, (HEIGHT - CROP) // 2
    # Cut first: with resize(box=...) the filter would reach over the cut.
    cut = image.convert("RGB").crop((left, top, left + CROP, top + CROP))
    return np.asarray(cut.resize((SIDE, SIDE), PIL.Image.Resampling.BILINEAR)).transpose(2, 0, 1)
