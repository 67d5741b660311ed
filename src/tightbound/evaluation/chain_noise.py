"""The random numbers of annealed chains: a function of the seed and the image's index, whatever the cut."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.numerics import NOISE_IMAGE_TILE, generator_for


class ChainNoise:
    """Numbers for K chains of each of B consecutive images, drawn in the order in which they are asked for.

    Each tile of 32 images has its generator, from which all 32 are drawn and then cut: as with
    ``numerics.evaluation_noise``, no image's numbers depend on how many others there are.

    Args:
        seed: of the evaluation.
        purpose: what the chains are for; another purpose gives independent numbers.
        images: their indices; the first is a multiple of 32.
        num_chains: K.
        like: a tensor of the device and type of the numbers.
    """

    def __init__(self, seed: int, purpose: str, images: range, num_chains: int, like: Tensor) -> None:
        assert images.start % NOISE_IMAGE_TILE == 0
        self._images, self._num_chains = images, num_chains
        self._like = {"device": like.device, "dtype": like.dtype}
        tiles = range(images.start // NOISE_IMAGE_TILE, -(-images.stop // NOISE_IMAGE_TILE))
        self._generators = [generator_for(seed, purpose, tile, device=like.device) for tile in tiles]

    def collect(
        self, draw: Callable[[int, int, torch.Generator], Float[Tensor, "K n *event"]]
    ) -> Float[Tensor, "K B *event"]:
        """What ``draw(K, 32, generator)`` gives for every tile."""
        tiles = [draw(self._num_chains, NOISE_IMAGE_TILE, generator) for generator in self._generators]
        return torch.cat(tiles, dim=1)[:, : len(self._images)]

    def normal(self, size: int) -> Float[Tensor, "K B U"]:
        """Standard-normal numbers."""
        return self.collect(lambda *shape: torch.randn(*shape[:2], size, generator=shape[2], **self._like))

    def log_uniform(self) -> Float[Tensor, "K B"]:
        """Logarithms of uniform numbers."""
        return self.collect(lambda *shape: torch.rand(*shape[:2], generator=shape[2], **self._like)).log()
