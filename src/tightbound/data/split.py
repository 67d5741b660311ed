"""One split on a device, and a data set as its splits. All work is on whole batches of tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from tightbound.data.images import Images, to_storage
from tightbound.numerics import NOISE_IMAGE_TILE, generator_for

_CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class Split:
    """One split: stored images and what is done to them when they are read.

    Args:
        images: what is stored. A memory-mapped set stays in its file, whatever the device.
        binarize: how pixels become binary: ``none``; ``dynamic`` or ``threshold``, done here; ``static``, done at load.
        dequantize: ``none`` or ``uniform``.
        device: where batches are made.
    """

    images: Images
    binarize: str = "none"
    dequantize: str = "none"
    device: torch.device = _CPU

    def __len__(self) -> int:
        return len(self.images)

    @property
    def pixels(self) -> Tensor:
        """(N, C, H, W) as stored. Of a memory-mapped set this is the whole file, which other splits share."""
        return self.images.pixels

    @property
    def levels(self) -> int | None:
        """The largest stored gray level; None for floats that are no gray levels."""
        return self.images.levels

    @property
    def labels(self) -> Tensor | None:
        """(N) int64, or None."""
        return self.images.labels

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.images.image_shape

    @property
    def kind(self) -> Literal["binary", "levels", "continuous"]:
        """What a batch's x is: pixels in {0, 1}, gray levels k / levels, or any number in [0, 1]."""
        if self.levels == 1 or self.binarize != "none":
            return "binary"
        return "levels" if self.levels is not None and self.dequantize == "none" else "continuous"

    @property
    def log_volume(self) -> float:
        """Nats per dimension that turn −log p(x) of a density on [0, 1] into the code length of the stored data.

        log(levels + 1) for dequantized levels, whose cells have that width; log(levels) for bare ones, spaced
        1 / levels; 0 for binary data and for floats that are no gray levels.
        """
        if self.levels is None or self.kind == "binary":
            return 0.0
        return math.log(self.levels + 1 if self.dequantize == "uniform" else self.levels)

    def to(self, device: torch.device | str) -> Split:
        """The same split with its batches, and all that lies in memory, on a device."""
        device = torch.device(device)
        images = self.images
        if not images.mapped:
            images = replace(images, pixels=images.pixels.to(device))
        labels = None if images.labels is None else images.labels.to(device)
        return replace(self, images=replace(images, labels=labels), device=device)

    def batch(self, indices: Tensor, generator: torch.Generator | None = None, rows: slice = slice(None)) -> Tensor:
        """Images as a model sees them, with fresh pixel noise.

        Args:
            indices: (B) int64.
            generator: of dynamic binarization and dequantization, on this split's device; None is torch's global one.
            rows: which of the images are wanted, with the noise that they have among all. Only they are read.

        Returns:
            float32 (B, C, H, W) in [0, 1], on this split's device.
        """
        stored = self._read(indices[rows])
        if not self._noisy:
            return self._finish(stored, None)
        return self._finish(stored, self._noise((len(indices), *stored.shape[1:]), generator)[rows])

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """Images start..stop − 1 with pixel noise that depends on (seed, image) alone, not on how the range is cut.

        Args:
            start: first image.
            stop: one past the last, cut at the end of the split.
            seed: the evaluation's seed.

        Returns:
            float32 (stop − start, C, H, W) in [0, 1], on this split's device.
        """
        stop = min(stop, len(self))
        stored = self._read(torch.arange(start, stop))
        if not self._noisy or len(stored) == 0:
            return self._finish(stored, None)
        parts = []
        for tile in range(start // NOISE_IMAGE_TILE, -(-stop // NOISE_IMAGE_TILE)):
            generator = generator_for(seed, "pixel noise", tile, device=self.device)
            noise = self._noise((NOISE_IMAGE_TILE, *self.image_shape), generator)
            parts.append(noise[max(start - tile * NOISE_IMAGE_TILE, 0) : stop - tile * NOISE_IMAGE_TILE])
        return self._finish(stored, torch.cat(parts))

    @property
    def _noisy(self) -> bool:
        return self.binarize == "dynamic" or self.dequantize == "uniform"

    def _read(self, indices: Tensor) -> Tensor:
        """Stored pixels of some images, on the device."""
        images = self.images
        if images.rows is None:
            return images.pixels[indices.to(images.pixels.device)]
        # Only these rows leave the file; only they are converted.
        pixels = images.pixels[images.rows[indices.to("cpu")]]
        return to_storage(pixels, images.levels).to(self.device)

    def _noise(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """What ``_finish`` compares or adds: uniform on 0..levels − 1 (bytes) or on [0, 1) (floats)."""
        if self.binarize == "dynamic" and self.levels is not None:
            return torch.empty(shape, dtype=torch.uint8, device=self.device).random_(
                0, self.levels, generator=generator
            )
        return torch.rand(shape, generator=generator, dtype=torch.float32, device=self.device)

    def _finish(self, stored: Tensor, noise: Tensor | None) -> Tensor:
        """Stored pixels and noise -> float32 x."""
        levels = self.levels
        if self.binarize == "dynamic" and noise is not None:
            return (stored > noise).to(torch.float32)  # P(1) = k / levels, exactly: noise is one of 0..levels − 1
        if self.binarize == "threshold":
            middle = 0.5 if levels is None else levels / 2
            return (stored > middle).to(torch.float32)
        x = stored.to(torch.float32)
        if levels is None:
            return x
        if self.dequantize == "uniform" and noise is not None:
            return (x + noise) / (levels + 1)
        return x / levels


@dataclass(frozen=True, eq=False)
class Data:
    """A data set.

    Args:
        name: what it is called.
        train: what a model is trained on.
        validation: what checkpoints are chosen by, or None.
        test: what is reported; nothing is ever chosen by it.
        notes: sentences to print: what was held out, binarized, skipped.
    """

    name: str
    train: Split
    validation: Split | None = None
    test: Split | None = None
    notes: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return self.train.image_shape
