"""Where randomness comes from: generators that are pure functions of what they are for.

Nothing here has a state that moves, so a run can stop, resume, or be cut into other chunks and draw the same numbers.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

NOISE_SAMPLE_BLOCK = 256
NOISE_IMAGE_TILE = 32


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


def evaluation_noise(
    seed: int,
    images: range,
    samples: range,
    noise_size: int,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Standard-normal noise of a rectangle of (sample, image) pairs.

    The numbers of a pair depend on (seed, image index, block of 256 samples) and on nothing else, so the chunking of an
    evaluation, its batches and its number of processes change no result, and K = 1,000 is a prefix of K = 5,000.

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
    first = samples.start - block * NOISE_SAMPLE_BLOCK
    parts = []
    # A few neighboring images share a generator, drawn whole and then cut: one generator an image would cost more
    # than the noise itself.
    for tile in range(images.start // NOISE_IMAGE_TILE, (images.stop + NOISE_IMAGE_TILE - 1) // NOISE_IMAGE_TILE):
        generator = generator_for(seed, "evaluation noise", tile, block, device=device)
        shape = (NOISE_SAMPLE_BLOCK, NOISE_IMAGE_TILE, noise_size)
        noise = torch.randn(shape, generator=generator, device=device, dtype=dtype)
        start = max(images.start - tile * NOISE_IMAGE_TILE, 0)
        stop = min(images.stop - tile * NOISE_IMAGE_TILE, NOISE_IMAGE_TILE)
        parts.append(noise[first : first + len(samples), start:stop])
    return torch.cat(parts, dim=1)
