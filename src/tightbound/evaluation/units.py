"""Sums per latent unit: where posterior means lie and what each unit costs, streamed over samples and images."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Draw
from tightbound.evaluation.diagnostics import active_mask, variance_of_means


def keep(value: Tensor) -> Tensor:
    """float64, on the value's device; on the CPU where the device has no float64 (Apple's)."""
    return value.cpu().double() if value.device.type == "mps" else value.double()


def conditional_mean(draw: Draw, level: int) -> Tensor:
    """E[z_l | x and the groups above] of latent group l: (K, B, D), or (B, D) or (D) where no sample moves it.

    The samples themselves where q is no Gaussian. It averages to E[z_l | x] as they do, with less noise.
    """
    pair = draw.densities[level]
    return draw.latents[level].flatten(2) if pair is None else pair[0].mean


class TileUnits:
    """One latent group of a tile of T images, summed over samples.

    The posterior mean of an image is the mean of q where prior and posterior are Gaussians and x alone determines
    q, else the mean over samples (of the conditional mean where there is one, as in a ladder's lower groups).

    Args:
        like: (T, units), in what the sums are kept.
    """

    def __init__(self, like: Tensor) -> None:
        self.num_images = len(like)
        self.exact = True
        # Before the first draw, so that many draws hold no more than one.
        self._mean, self._square = torch.zeros_like(like), torch.zeros_like(like)
        self._kl: Tensor | None = None  # the units together where the KL is not a sum over them

    def add(self, draw: Draw, kl: Tensor, level: int, at: slice) -> None:
        """Takes in the draw of some samples of the images ``at``; ``kl`` is (K, B, units)."""
        mean = conditional_mean(draw, level)
        self.exact = mean.dim() < kl.dim()
        mean = mean.expand(*kl.shape[:2], -1)
        if self._kl is None:
            self._kl = self._mean.new_zeros(self.num_images, kl.shape[-1])
        self._kl[at] += _sum_samples(kl)
        self._mean[at] += _sum_samples(mean)
        if not self.exact:
            self._square[at] += keep(mean).square().sum(0)

    def kl(self, num_samples: int) -> Tensor:
        """(T, units) KL of every image and unit, nats."""
        assert self._kl is not None, "nothing was drawn"
        return self._kl / num_samples

    def mean(self, num_samples: int) -> Tensor:
        """(T, units) posterior means."""
        return self._mean / num_samples

    def squared_error(self, num_samples: int) -> Tensor:
        """(T, units) squared standard error of ``mean``; NaN if it is one sample alone."""
        mean = self.mean(num_samples)
        if self.exact:
            return torch.zeros_like(mean)
        if num_samples == 1:
            return torch.full_like(mean, torch.nan)
        return (self._square / num_samples - mean.square()).clamp(min=0.0) / (num_samples - 1)

    def totals(self, num_samples: int) -> tuple[np.ndarray, ...]:
        """Sums over the images of every unit's KL, mean, squared mean, and squared error of the mean."""
        mean = self.mean(num_samples)
        values = (self.kl(num_samples), mean, mean.square(), self.squared_error(num_samples))
        return tuple(value.sum(0).cpu().numpy() for value in values)


class GroupTotals:
    """One latent group, summed over all images."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._num_images = 0

    def add(self, totals: tuple[np.ndarray, ...], num_images: int) -> None:
        """Takes in a tile's ``totals``."""
        sums = [torch.from_numpy(values) for values in totals]
        self._sums = [a + b for a, b in zip(self._sums, sums, strict=True)] if self._sums else sums
        self._num_images += num_images

    @property
    def units(self) -> int:
        """The number of latent units."""
        return len(self._sums[1])

    @property
    def kl_units(self) -> list[float]:
        """Mean KL of every unit, nats."""
        return (self._sums[0] / self._num_images).tolist()

    @property
    def activity(self) -> list[float] | None:
        """Var_x(E_q[z | x]) of every unit.

        None with one image, or with one sample of a posterior whose mean has no closed form. Slightly negative where
        the error of estimated means, which is subtracted, exceeds their spread.
        """
        variance = self._variance()
        return None if variance is None else variance.tolist()

    @property
    def active_mask(self) -> list[bool] | None:
        """Which units are active; None where ``activity`` is."""
        variance = self._variance()
        return None if variance is None else active_mask(variance).tolist()

    @property
    def active_units(self) -> int | None:
        """Burda's count; None where ``activity`` is."""
        mask = self.active_mask
        return None if mask is None else sum(mask)

    def _variance(self) -> Tensor | None:
        if self._num_images < 2 or bool(self._sums[3].isnan().any()):
            return None
        return variance_of_means(self._sums[1], self._sums[2], self._sums[3], self._num_images)


def _sum_samples(value: Tensor) -> Tensor:
    """Sum over the K axis; where that axis was only expanded, without going through it."""
    if value.stride(0) == 0:
        return value.shape[0] * keep(value[0])
    return keep(value).sum(0)
