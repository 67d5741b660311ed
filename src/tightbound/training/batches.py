"""What a step is fed: pure functions of the seed and the step, so nothing of it has to be saved."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from tightbound.numerics import generator_for


class Images(Protocol):
    """What training needs of a data split."""

    def __len__(self) -> int:
        """How many images there are."""
        ...

    def to(self, device: torch.device) -> Images:
        """The same split on a device."""
        ...

    def batch(self, indices: Tensor, generator: torch.Generator | None, rows: slice = slice(None)) -> Tensor:
        """Images (B, C, H, W) in [0, 1] on the split's device, with fresh pixel noise from the generator.

        Given ``rows``, those of the batch, with the noise that they have in it.
        """
        ...

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """Images start to stop, with pixel noise that depends on (seed, image index) alone."""
        ...


class Batches:
    """Images and noise of every training step.

    Epoch order depends on (seed, epoch), pixel and posterior noise on (seed, step), and on nothing else: each of
    several processes draws the noise of the whole batch and takes its own rows, so that all of them together are fed
    what one would be. To draw is cheap beside a step.

    Args:
        split: on the device already.
        seed: the run's.
        batch_size: B, over all ranks together, a multiple of their number.
        steps_per_epoch: full batches an epoch.
        noise_shape: (K, noise_size).
        dtype: of images and noise.
        device: where the split is.
        channels_last: layout of the images.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        split: Images,
        *,
        seed: int,
        batch_size: int,
        steps_per_epoch: int,
        noise_shape: tuple[int, int],
        dtype: torch.dtype,
        device: torch.device,
        channels_last: bool = False,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._split, self._seed = split, seed
        self._batch_size, self._steps_per_epoch = batch_size, steps_per_epoch
        self._noise_shape, self._dtype, self._device = noise_shape, dtype, device
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._rows, self._several = slice(rank, None, world_size), world_size > 1
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """This rank's images (B / ranks, C, H, W) and noise (K, B / ranks, noise_size) of a step, counted from 0."""
        indices = self._indices(step)
        pixels = generator_for(self._seed, "training pixels", step, 0, device=self._device)
        x = self._split.batch(indices, pixels, self._rows) if self._several else self._split.batch(indices, pixels)
        x = x.to(dtype=self._dtype, memory_format=self._layout)
        generator = generator_for(self._seed, "training noise", step, 0, device=self._device)
        samples, noise_size = self._noise_shape
        shape = (samples, len(indices), noise_size)
        noise = torch.randn(shape, generator=generator, dtype=self._dtype, device=self._device)
        return x, noise[:, self._rows].contiguous() if self._several else noise

    def _indices(self, step: int) -> Tensor:
        epoch, position = divmod(step, self._steps_per_epoch)
        if epoch != self._epoch:
            generator = generator_for(self._seed, "epoch order", epoch)
            self._order = torch.randperm(len(self._split), generator=generator).to(self._device)
            self._epoch = epoch
        return self._order[position * self._batch_size : (position + 1) * self._batch_size]
