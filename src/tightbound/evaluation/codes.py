"""Posterior means and samples of images: what ``tightbound encode`` writes and a probe is trained on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tightbound.core import Draw, Model
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.checks import evaluating
from tightbound.evaluation.chunks import probe_chunk, spans
from tightbound.evaluation.source import Images
from tightbound.evaluation.units import conditional_mean, keep
from tightbound.numerics import NOISE_IMAGE_TILE

POSTERIOR_SAMPLES = 64  # of an image, where the moments have no closed form
_BLOCK = 16  # samples whose noise is drawn together


@dataclass(frozen=True, eq=False)
class Codes:
    """What the posterior says of N images: L latent groups, top first, each laid out flat; on the CPU.

    Args:
        means: L tensors (N, D_l), E[z | x].
        samples: L tensors (S, N, D_l).
        mean_samples: 0 where the means are in closed form, else the number of posterior samples that they average.
    """

    means: tuple[Tensor, ...]
    samples: tuple[Tensor, ...]
    mean_samples: int


def encode_images(
    model: Model,
    images: Images,
    *,
    samples: int = 0,
    mean_samples: int = POSTERIOR_SAMPLES,
    seed: int = 0,
    purpose: str = "encode",
    chunk: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Codes:
    """Posterior means and samples of images, in eval mode; ``chunk`` changes no number but for rounding.

    Args:
        model: any.
        images: checked.
        samples: S, how many samples of each image are kept.
        mean_samples: where the mean has no closed form, that over the first max(S, this) samples stands for it: of a
            layer's mean given the layers above where that is known, as in a ladder, else of the samples themselves.
        seed: of the samples.
        purpose: another purpose gives independent samples.
        chunk: (image, sample) pairs in one draw; None measures how many fit.
        progress: called with images done.
    """
    tiles: list[Codes] = []
    with evaluating(model):
        chunk = chunk or probe_chunk(model, images.read(range(1)))
        for span in spans(0, images.num_images, max(NOISE_IMAGE_TILE, chunk // NOISE_IMAGE_TILE * NOISE_IMAGE_TILE)):
            tiles.append(_encode(model, images.read(span), span, samples, mean_samples, (seed, purpose), chunk))
            if progress is not None:
                progress(span.stop)
    means = [torch.cat(parts) for parts in zip(*(tile.means for tile in tiles), strict=True)]
    drawn = [torch.cat(parts, 1) for parts in zip(*(tile.samples for tile in tiles), strict=True)]
    return Codes(tuple(means), tuple(drawn), tiles[0].mean_samples)


def _encode(
    model: Model, x: Tensor, span: range, samples: int, mean_samples: int, key: tuple[int, str], chunk: int
) -> Codes:
    """Codes of one tile of images; the noise of a sample depends on the key and on the index of the image."""
    calls = [(rows, x[rows.start : rows.stop]) for rows in spans(0, len(x), chunk)]
    encodings = [model.encode(part) for _, part in calls]
    gaussians = [model.closed_posterior(encoding) for encoding in encodings]
    closed = [q.mean.expand(len(part), -1) for q, (_, part) in zip(gaussians, calls, strict=True) if q is not None]
    count = samples if closed else max(samples, mean_samples)
    sums = _Sums(samples, len(x))
    for block in spans(0, count, _BLOCK):
        noise = ChainNoise(key[0], f"{key[1]}, samples from {block.start}", span, len(block), x)
        normal = noise.normal(model.noise_size)
        for (rows, part), encoding in zip(calls, encodings, strict=True):
            for some in spans(0, len(block), max(1, chunk // len(part))):
                given = normal[some.start : some.stop, rows.start : rows.stop].contiguous()
                draw = model.draw(part, len(some), encoding=encoding, noise=given)
                sums.add(draw, block.start + some.start, rows)
    means = (torch.cat(closed),) if closed else tuple((total / count).to(x.dtype) for total in sums.totals)
    return Codes(tuple(mean.cpu() for mean in means), tuple(z.cpu() for z in sums.kept), 0 if closed else count)


class _Sums:
    """Sums over samples of the conditional means of B images, float64, and the first S samples."""

    def __init__(self, num_kept: int, num_images: int) -> None:
        self._num_kept, self._num_images = num_kept, num_images
        self.totals: list[Tensor] = []
        self.kept: list[Tensor] = []

    def add(self, draw: Draw, first: int, rows: range) -> None:
        """Takes in samples from number ``first`` on of the images in ``rows``."""
        flat = [z.flatten(2) for z in draw.latents]
        if not self.totals:
            self.totals = [keep(z.new_zeros(self._num_images, z.shape[-1])) for z in flat]
            self.kept = [z.new_zeros(self._num_kept, self._num_images, z.shape[-1]) for z in flat]
        at, last = slice(rows.start, rows.stop), min(first + len(flat[0]), self._num_kept)
        for level, (total, kept, z) in enumerate(zip(self.totals, self.kept, flat, strict=True)):
            total[at] += keep(conditional_mean(draw, level).expand(z.shape)).sum(0)
            if last > first:
                kept[first:last, at] = z[: last - first]
