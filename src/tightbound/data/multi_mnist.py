"""Two small digits at most."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tightbound.data.images import Images
from tightbound.data.mnist import Mnist
from tightbound.data.multi_objects import MultiObjects
from tightbound.data.progress import Progress
from tightbound.registry import register

SIDE = 18


@register("data", "multi_mnist")
class MultiMnist(MultiObjects):
    """Zero to two handwritten digits, 90,000 + 10,000 of 1 × 64 × 64, pixels 0 and 1.

    The sprites are the 60,000 training digits of MNIST, reduced to 18 × 18 and rounded; the test images are made of the
    same. The published numbers are on a file of others, made likewise from another seed: they compare with ours as
    numbers of two samples do, and not image by image.
    """

    name = "multi_mnist"
    own_seed = 2
    shape = (1, SIDE, SIDE)
    num_sprites = 60_000

    def files(self) -> list[Path] | None:
        """Those of MNIST."""
        return Mnist().files()

    def how_to_get(self) -> str:
        """Where to put those of MNIST."""
        return f"made when first used from MNIST; {Mnist().how_to_get()}"

    def sources(self, progress: Progress = None) -> list[Path]:
        """The files of MNIST, downloaded if they are missing."""
        if Mnist().files() is None:
            Mnist().read(progress)
        return Mnist().files() or []

    def sprites(self) -> np.ndarray:
        """bool (60000, 1, 18, 18)."""
        return reduced(_digits().pixels[:, 0].numpy())[:, None]

    def facts(self) -> Mapping[str, np.ndarray]:
        """The digit."""
        labels = _digits().labels
        assert labels is not None
        return {"digit": labels.numpy()}


def _digits() -> Images:
    return Mnist().read().train


def reduced(pixels: np.ndarray) -> np.ndarray:
    """Gray levels of uint8 (N, 28, 28), brought to 18 × 18 and rounded: bool (N, 18, 18).

    Smoothed by a Gaussian of σ = (28/18 − 1) / 2 pixels, then read off a cubic spline, both along either axis: a linear
    map of each axis, so that all images are two products with one matrix.
    """
    matrix = resampling(pixels.shape[-1])
    return matrix @ (pixels / 255) @ matrix.T > 0.5


def resampling(size: int) -> np.ndarray:
    """(18, size): smoothing and cubic spline along an axis, which is mirrored at its ends."""
    from scipy import ndimage

    factor = size / SIDE
    smooth = ndimage.gaussian_filter1d(np.eye(size), (factor - 1) / 2, axis=1, mode="mirror")
    columns = [ndimage.zoom(row, 1 / factor, order=3, mode="mirror", grid_mode=True) for row in smooth]
    return np.array(columns).T
