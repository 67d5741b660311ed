"""Where randomness comes from: generators that are pure functions of what they are for.

Nothing here has a state that moves, so a run can stop, resume, or be cut into other chunks and draw the same numbers.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

NOISE_SAMPLE_BLOCK = 256
NOISE_IMAGE_TILE = 32
_BYTES_AT_ONCE = 4 * 2**20


def generator_for(seed: int, purpose: str, *index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator seeded by (seed, purpose, index): equal arguments give equal numbers.

    Args:
        seed: the run's or the evaluation's seed.
        purpose: what the numbers are for, such as ``"training noise"``.
        index: step, epoch, rank, block, as the purpose needs.
        device: where the numbers are drawn.
    """
    digest = hashlib.blake2b(repr((seed, purpose, index)).encode(), digest_size=8).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest, "little") >> 1)


class EvaluationNoise:
    """Standard-normal noise of images, sample after sample of one block of 256.

    The numbers of a pair of image and sample depend on (seed, image index, block of 256 samples) and on nothing else,
    so the chunking of an evaluation, its batches and its number of processes change no result, and K = 1,000 is a
    prefix of K = 5,000. What is held does not depend on K: a few samples are drawn at a time.

    Args:
        seed: the evaluation's seed.
        images: indices of the images within the split (step 1).
        block: of samples: the samples from 256 · block on.
        noise_size: width N of the noise of one pair.
        device: where the numbers are drawn.
        dtype: of the result; drawn in it directly.
    """

    def __init__(
        self,
        seed: int,
        images: range,
        block: int,
        noise_size: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        first = images.start // NOISE_IMAGE_TILE
        tiles = range(first, (images.stop + NOISE_IMAGE_TILE - 1) // NOISE_IMAGE_TILE)
        # A few neighboring images share a generator, drawn whole and then cut: one generator an image would cost more
        # than the noise itself.
        self._generators = [generator_for(seed, "evaluation noise", tile, block, device=device) for tile in tiles]
        self._rows = slice(images.start - first * NOISE_IMAGE_TILE, images.stop - first * NOISE_IMAGE_TILE)
        self._shape = (_samples_at_once(noise_size), NOISE_IMAGE_TILE, noise_size)
        self._left = torch.empty(0, len(images), noise_size, device=device, dtype=dtype)

    def take(self, count: int) -> Tensor:
        """The noise of the next ``count`` samples: (count, len(images), N)."""
        parts = [self._left]
        missing = count - len(self._left)
        while missing > 0:
            parts.append(self._draw())
            missing -= len(parts[-1])
        noise = torch.cat(parts)
        self._left = noise[count:]
        return noise[:count]

    def _draw(self) -> Tensor:
        like = {"device": self._left.device, "dtype": self._left.dtype}
        drawn = [torch.randn(self._shape, generator=generator, **like) for generator in self._generators]
        return (drawn[0] if len(drawn) == 1 else torch.cat(drawn, dim=1))[:, self._rows]


def _samples_at_once(noise_size: int) -> int:
    """A function of the size alone: on a GPU the numbers depend on how many are drawn in a call."""
    fitting = max(1, _BYTES_AT_ONCE // (4 * NOISE_IMAGE_TILE * noise_size))
    return min(NOISE_SAMPLE_BLOCK, 1 << (fitting.bit_length() - 1))


def evaluation_noise(
    seed: int,
    images: range,
    samples: range,
    noise_size: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """The noise of a rectangle of (sample, image) pairs out of ``EvaluationNoise``.

    Args:
        seed: the evaluation's seed.
        images: indices of the images within the split (step 1).
        samples: indices of the samples; must not cross a block of 256 (step 1).
        noise_size: width of the noise of one pair.
        device: where the numbers are drawn.
        dtype: of the result; drawn in it directly.

    Returns:
        (len(samples), len(images), noise_size).
    """
    block = samples.start // NOISE_SAMPLE_BLOCK
    if samples.stop > (block + 1) * NOISE_SAMPLE_BLOCK:
        raise ValueError(f"expected samples inside one block of {NOISE_SAMPLE_BLOCK}; got {samples}")
    noise = EvaluationNoise(seed, images, block, noise_size, device=device, dtype=dtype)
    noise.take(samples.start - block * NOISE_SAMPLE_BLOCK)
    return noise.take(len(samples))
