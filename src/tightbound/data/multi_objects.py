"""Images of zero, one or two sprites, made here: where the sprites are, how they are put together, what is kept."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from tightbound.data.cache import cached
from tightbound.data.data_set import DataSet
from tightbound.data.images import Images, Parts
from tightbound.data.progress import Progress, Ticker
from tightbound.data.storage import from_numpy
from tightbound.registry import find

FRAME, MOST = 64, 2  # pixels along an image; objects in it
_AT_ONCE = 1000  # images put together
_VERSION = 1  # raise it when other images are made

_NOTE = (
    "{name}: made here as published, from a seed of our own: other images than those that published numbers are on, "
    "which compare as those of two samples do, and not image by image"
)


class Objects(NamedTuple):
    """What is in N images.

    Attributes:
        number: (N) of objects: 0, 1 or 2.
        sprite: (N, 2) which sprites they are; beyond ``number``, entries mean nothing here and below.
        top: (N, 2) the first row of each one's frame.
        left: (N, 2) the first column of it.
    """

    number: np.ndarray
    sprite: np.ndarray
    top: np.ndarray
    left: np.ndarray


class MultiObjects(DataSet):
    """Binary images of 64 × 64 with zero, one or two sprites. Adding one: set the attributes, implement the methods,
    register.

    The number of objects, each one's sprite and its place are uniform, the frame of a sprite always inside the image.
    Where two overlap, their values are added and clipped at 1. A label is the number of objects, and
    ``object_attributes`` tells the rest. All follows from one seed, which belongs to the set and not to a run.

    Attributes:
        name: what the set is called.
        own_seed: that seed.
        shape: (channels, side, side) of a sprite.
        num_sprites: how many there are.
        counts: images to train and to test on, the latter last.
    """

    validation = 5000
    name: ClassVar[str]
    own_seed: ClassVar[int]
    shape: ClassVar[tuple[int, int, int]]
    num_sprites: ClassVar[int]
    counts: ClassVar[tuple[int, int]] = (90_000, 10_000)

    @abstractmethod
    def sources(self, progress: Progress = None) -> list[Path]:
        """The files that sprites are made from, downloaded first if that is needed and possible."""

    @abstractmethod
    def sprites(self) -> np.ndarray:
        """All sprites, bool (num_sprites, *shape)."""

    @abstractmethod
    def facts(self) -> Mapping[str, np.ndarray]:
        """What is known of the sprites: (num_sprites) each."""

    def objects(self) -> Objects:
        """What is in the images of both parts."""
        return draw_objects(sum(self.counts), self.num_sprites, self.shape[1], self.own_seed)

    def read(self, progress: Progress = None) -> Parts:
        """The images, made once and then kept, eight pixels a byte, in the user's cache."""
        objects = self.objects()

        def build() -> np.ndarray:
            ticker = Ticker(f"images of {self.name} made", len(objects.number), progress)
            return np.concatenate(list(_packed(objects, self.sprites(), ticker)))

        packed = cached(self.name, self.sources(progress), (self.own_seed, self.counts, _VERSION), build)
        labels = torch.from_numpy(objects.number)
        rows = slice(self.counts[0]), slice(self.counts[0], None)
        # Unpacked apart, so that neither part keeps the other in memory.
        train, test = (Images(_unpacked(packed[part], self.shape[0]), 1, labels[part]) for part in rows)
        return Parts(train, test=test, notes=(_NOTE.format(name=self.name),), edition="our own images")


def object_attributes(name: str) -> dict[str, np.ndarray]:
    """What is in the images of ``multi_dsprites`` or ``multi_mnist``.

    Args:
        name: of the set.

    Returns:
        float64 (100,000, 2) arrays by name, in the order of the set: 90,000 images to train on (as they are with
        ``data.validation=0``), then 10,000 to test on. NaN where there is no first or no second object. ``x`` and ``y``
        are the pixels from the left and upper edge of the image to the middle of the sprite; the others are ``shape``,
        ``angle``, ``scale`` and ``color`` as in ``data.sprites``, or ``digit``.

    Raises:
        RecipeError: for a name that is not shipped.
        TypeError: for a set that is none of objects.
    """
    data_set = find("data", name).target()
    if not isinstance(data_set, MultiObjects):
        raise TypeError(f"expected multi_dsprites or multi_mnist; got {name}")
    objects = data_set.objects()
    there = np.arange(MOST) < objects.number[:, None]
    middle = data_set.shape[1] / 2
    found = {key: values[objects.sprite] for key, values in data_set.facts().items()}
    found |= {"x": objects.left + middle, "y": objects.top + middle}
    return {key: np.where(there, values, np.nan) for key, values in found.items()}


def draw_objects(images: int, sprites: int, side: int, seed: int) -> Objects:
    """Uniform numbers, sprites and places; those of an image depend on the seed and its index alone.

    From the raw numbers of PCG64, which never change, where numpy may change what it makes of them.
    """
    raw = np.random.PCG64(seed).random_raw((images, 1 + 3 * MOST)) >> np.uint64(32)

    def uniform(first: int, columns: int, below: int) -> np.ndarray:
        """Whole numbers below ``below``, each with probability 1 / below to 2⁻³²."""
        chosen = raw[:, first : first + columns] * np.uint64(below) >> np.uint64(32)
        return chosen.astype(np.int64)

    places = FRAME - side + 1
    choices = ((1, sprites), (1 + MOST, places), (1 + 2 * MOST, places))
    return Objects(uniform(0, 1, MOST + 1)[:, 0], *(uniform(first, MOST, below) for first, below in choices))


def put_together(objects: Objects, sprites: np.ndarray) -> np.ndarray:
    """The images, bool (N, C, 64, 64): each pixel min(1, Σ of the sprites that cover it).

    Args:
        objects: what is in them.
        sprites: bool (S, C, side, side).
    """
    channels, side = sprites.shape[1], sprites.shape[-1]
    images = np.zeros((len(objects.number), channels, FRAME, FRAME), bool)
    # A view of every place that a sprite can have: (N, C, top, left, side, side).
    places = np.lib.stride_tricks.sliding_window_view(images, (side, side), axis=(2, 3), writeable=True)
    for slot in range(MOST):
        rows = np.flatnonzero(objects.number > slot)
        where = rows, slice(None), objects.top[rows, slot], objects.left[rows, slot]
        places[where] |= sprites[objects.sprite[rows, slot]]
    return images


def _packed(objects: Objects, sprites: np.ndarray, ticker: Ticker) -> Iterator[np.ndarray]:
    """uint8 (n, C · 64 · 64 / 8) pieces, eight pixels a byte."""
    for start in range(0, len(objects.number), _AT_ONCE):
        some = Objects(*(values[start : start + _AT_ONCE] for values in objects))
        yield np.packbits(put_together(some, sprites).reshape(len(some.number), -1), axis=1)
        ticker.done(start + len(some.number))


def _unpacked(packed: np.ndarray, channels: int) -> torch.Tensor:
    return from_numpy(np.unpackbits(packed, axis=1)).reshape(-1, channels, FRAME, FRAME)
