"""Images as they are stored, before any split or noise."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Images:
    """Stored images.

    Args:
        pixels: (N, C, H, W). In memory: uint8 gray levels k in 0..levels, or float32 in [0, 1] if ``levels`` is None.
            Of a memory-mapped file: whatever the file holds; ``to_storage`` makes the same of it, batch by batch.
        levels: the largest gray level (1 binary, 255 for 8 bits), or None for floats that are no gray levels.
        labels: (N) int64, or None.
        rows: of a memory-mapped set, which rows of ``pixels`` these images are, so that a split copies nothing.
    """

    pixels: Tensor
    levels: int | None
    labels: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.pixels if self.rows is None else self.rows)

    @property
    def mapped(self) -> bool:
        """Whether the pixels stay in a file."""
        return self.rows is not None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    def select(self, indices: Tensor) -> Images:
        """The images at ``indices``, in that order."""
        labels = None if self.labels is None else self.labels[indices]
        if self.rows is not None:
            return replace(self, rows=self.rows[indices], labels=labels)
        return replace(self, pixels=self.pixels[indices], labels=labels)

    def join(self, other: Images) -> Images:
        """These images followed by others of the same kind; both in memory, or both of the same file."""
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = torch.cat([self.labels, other.labels])
        if self.rows is not None or other.rows is not None:
            assert self.rows is not None
            assert other.rows is not None
            assert self.pixels is other.pixels
            return replace(self, rows=torch.cat([self.rows, other.rows]), labels=labels)
        return replace(self, pixels=torch.cat([self.pixels, other.pixels]), labels=labels)


@dataclass(frozen=True, eq=False)
class Parts:
    """What the files of a set hold.

    Args:
        train: the images to train on, or all of them.
        validation: the set's own validation images, if it has some.
        test: the set's own test images, if it has some.
        notes: sentences for the user.
        edition: which it is of a set that comes in several; it becomes part of the name, and of every result's
            protocol.
    """

    train: Images
    validation: Images | None = None
    test: Images | None = None
    notes: tuple[str, ...] = ()
    edition: str = ""

    def all(self) -> dict[str, Images]:
        """The parts there are, by name."""
        named = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: images for name, images in named.items() if images is not None}


def to_storage(pixels: Tensor, levels: int | None) -> Tensor:
    """The stored form: uint8 levels, or float32 where there are none.

    Args:
        pixels: bool, uint8 or floating; checked before (see ``storage.find_levels``).
        levels: what the pixels were found to be.
    """
    if levels is None:
        return pixels.to(torch.float32)
    if levels == 1:  # 0/1, 0/255, False/True and 0.0/1.0 alike
        return (pixels != 0).to(torch.uint8)
    if pixels.is_floating_point():
        return (pixels * levels).round_().to(torch.uint8)
    return pixels.to(torch.uint8)
