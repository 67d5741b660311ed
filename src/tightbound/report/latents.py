"""The report's pictures of latents, as arrays: pipeline, interpolation, traversal, codes, correlations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.numerics import generator_for
from tightbound.report.carried import carried
from tightbound.report.codes import (
    Moments,
    carried_on,
    correlation,
    flat,
    like,
    posterior_moments,
    prior_epsilon,
)
from tightbound.report.layer_names import layer_of_unit
from tightbound.report.pictures import Array, Carried, Codes, Correlations, Interpolation, Pipeline, Traversal
from tightbound.report.walks import decoded, interpolation, traversal

MOST_SHOWN = 64  # latent units in a row of the pipeline
_CODED = 3000
_MOST_NUMBERS = 2_000_000  # of all codes: fewer images where there are many latents
_SAMPLED = 256  # images whose moments have no closed form, and
_SAMPLES = 16  # samples of each
_BATCH = 256
_MOST_AT_ONCE = 4_000_000  # numbers of latents: smaller batches where there are many
_CARRIED = 400  # samples of an image before and after a flow


class ImageSource(Protocol):
    """What is needed of a ``data.Split``."""

    @property
    def labels(self) -> Tensor | None:
        """(N), or None."""
        ...

    def __len__(self) -> int: ...

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """Images (stop − start, C, H, W) in [0, 1] whose pixel noise depends on (seed, image index) alone."""
        ...


@dataclass(frozen=True, eq=False)
class Chosen:
    """Some images of a split and what the posterior says of them.

    Args:
        index: (n).
        images: (n, C, H, W), on the split's device.
        label: (n), or None.
        moments: of q(z | x); where they are of samples, those of an image do not depend on which others are chosen.
    """

    index: Array
    images: Tensor
    label: Array | None
    moments: Moments


def choose(model: Model, split: ImageSource, index: Sequence[int], seed: int, pixel_seed: int | None = None) -> Chosen:
    """Encodes the images of these indices; pixel noise is of ``pixel_seed``, which is ``seed`` if not given."""
    noise = seed if pixel_seed is None else pixel_seed
    images = [split.fixed(i, i + 1, noise) for i in index]
    each = [
        posterior_moments(model, x.to(like(model)), generator=_generator(model, seed, "posterior mean", i))
        for i, x in zip(index, images, strict=True)
    ]
    means = tuple(torch.cat(group) for group in zip(*(moments.mean for moments in each), strict=True))
    moments = Moments(means, torch.cat([m.std for m in each]), each[0].samples)
    labels = None if split.labels is None else split.labels.cpu().numpy()[list(index)]
    return Chosen(np.array(index), torch.cat(images), labels, moments)


def one_of_each(split: ImageSource, number: int) -> list[int]:
    """Indices of the first images of different labels; of the first images, where there are too few labels.

    Without labels they are spread over the split, which may be sorted by what it shows, as static MNIST is.
    """
    if split.labels is None:
        return spread_over(split, number)
    _, first = np.unique(split.labels.cpu().numpy(), return_index=True)
    if len(first) >= number:
        return sorted(first.tolist())[:number]
    return list(range(min(number, len(split))))


def spread_over(split: ImageSource, number: int) -> list[int]:
    """Indices at equal distances, the first image among them; all of fewer images."""
    number = min(number, len(split))
    return [i * len(split) // number for i in range(number)]


def encoded_rows(model: Model, chosen: Chosen, prior: tuple[Tensor, Tensor], spread: Array) -> Pipeline:
    """Images, posterior means and standard deviations, and what is decoded at the means.

    Args:
        model: any.
        chosen: the images.
        prior: its moments, ``prior_latents``.
        spread: (U), how much each latent unit varies; where there are many, those of most are shown.
    """
    pixels = model.decode(*chosen.moments.mean)
    prior_mean, prior_std = prior
    return Pipeline(
        as_array(chosen.moments.flat_mean),
        as_array(pixels.mean),
        as_array(pixels.stddev),
        as_array(prior_mean),
        as_array(prior_std),
        units_shown(spread),
        group_sizes(model),
        originals=as_array(chosen.images),
        z_std=as_array(chosen.moments.std),
        mean_samples=chosen.moments.samples,
    )


def generated_rows(
    model: Model, number: int, seed: int, prior: tuple[Tensor, Tensor], spread: Array | None = None
) -> Pipeline:
    """The same from samples of the prior, with the pixels of one sample each; ``spread`` is that under the prior."""
    generator = _generator(model, seed, "report prior samples")
    latents = model.latents_at(model.sample_prior(number, generator))
    pixels = model.decode(*latents)
    prior_mean, prior_std = (as_array(moment) for moment in prior)
    return Pipeline(
        as_array(flat(latents)),
        as_array(pixels.mean),
        as_array(pixels.stddev),
        prior_mean,
        prior_std,
        units_shown(prior_std if spread is None else spread),
        group_sizes(model),
        samples=as_array(pixels.sample(generator)),
    )


def prior_rows(model: Model, seed: int, number: int = 5) -> Tensor:
    """z (n, D) of the samples of the prior that ``generated_rows`` shows, of a model of one latent group."""
    return model.latents_at(model.sample_prior(number, _generator(model, seed, "report prior samples")))[0]


def units_shown(spread: Array) -> Array:
    """The units of largest spread, at most 64, in ascending order."""
    return np.sort(np.argsort(-spread, kind="stable")[:MOST_SHOWN])


def between(model: Model, chosen: Chosen, steps: int, split: str) -> tuple[Interpolation, Tensor, Tensor]:
    """Decoded means between two or four images, with the standard deviations there and the points ε.

    Returns:
        The picture; (R, S, C, H, W); (R, S, E).
    """
    epsilon = interpolation(model.epsilon_of(*chosen.moments.mean), steps)
    means, deviations = decoded(model, epsilon)
    picture = Interpolation(as_array(means), as_array(chosen.images), chosen.index, chosen.label, split)
    return picture, deviations, epsilon


def along(
    model: Model, chosen: Chosen | None, units: Sequence[int], order: str, steps: int, seed: int, split: str
) -> tuple[Traversal, Tensor, Tensor]:
    """Decoded means along one unit at a time; the others stay at an image's posterior mean, or at the prior's.

    Returns:
        The picture; the standard deviations (n, S, C, H, W) there; the points ε (n, S, E).
    """
    mean, std = prior_epsilon(model, seed)
    start = mean if chosen is None else model.epsilon_of(*chosen.moments.mean)[0]
    epsilon = traversal(start, units, mean, std, steps)
    means, deviations = decoded(model, epsilon)
    held_at = "the prior's mean" if chosen is None else f"the posterior mean of {split} image {chosen.index[0]}"
    sizes = group_sizes(model)
    layers = np.array([layer_of_unit(unit, sizes) for unit in units]) if len(sizes) > 1 else None
    return Traversal(as_array(means), np.array(units), order, held_at, layers), deviations, epsilon


def encode_many(model: Model, split: ImageSource, seed: int, pixel_seed: int) -> tuple[Codes, Correlations | None]:
    """Posterior means of a few thousand images, and their posterior's correlations if it has any.

    Args:
        model: any.
        split: the images.
        seed: of the posterior samples, where means have no closed form; then there are fewer images.
        pixel_seed: of the pixels.
    """
    count = min(len(split), _CODED, max(_SAMPLES, _MOST_NUMBERS // sum(group_sizes(model))))
    batch = max(1, min(_BATCH, _MOST_AT_ONCE // (_SAMPLES * sum(group_sizes(model)))))
    means, correlations, samples = [], [], 0
    start = 0
    while start < count:
        x = split.fixed(start, min(start + batch, count), pixel_seed).to(like(model))
        generator = _generator(model, seed, "report codes", start // batch)
        moments = posterior_moments(model, x, samples=_SAMPLES, generator=generator)
        means.append(moments.flat_mean)
        correlations.append(None if moments.gaussian is None else correlation(moments.gaussian))
        samples, start = moments.samples, start + len(x)
        count = min(count, _SAMPLED) if samples else count
    labels = None if split.labels is None else split.labels[:count].cpu().numpy()
    codes = Codes(as_array(torch.cat(means)), labels, samples, len(model.groups))
    return codes, _correlations([matrices for matrices in correlations if matrices is not None], count)


def carried_far(model: Model, chosen: Chosen, seed: int, split: str) -> Carried | None:
    """What a flow or a leapfrog makes of samples of the posterior's base; None where the posterior is a Gaussian."""
    x = chosen.images.to(like(model))
    found = carried_on(model, x, _CARRIED, _generator(model, seed, "report carried"))
    if found is None:
        return None
    before, after = (as_array(z.transpose(0, 1)) for z in found)
    by = "leapfrog" if "follows_target" in model.capabilities else "flow"
    return carried(before, after, chosen.index, split, by)


def _correlations(matrices: list[Tensor], images: int) -> Correlations | None:
    """Of batches (B, D, D); of one (D, D) that serves every image; None of none."""
    if not matrices:
        return None
    if matrices[0].dim() == 2:
        return Correlations(as_array(matrices[0].abs()), as_array(matrices[0]), images)
    total = torch.stack([batch.abs().sum(0) for batch in matrices]).sum(0)
    return Correlations(as_array(total / images), as_array(matrices[0][0]), images)


def _generator(model: Model, seed: int, purpose: str, *index: int) -> torch.Generator:
    return generator_for(seed, purpose, *index, device=like(model).device)


def group_sizes(model: Model) -> tuple[int, ...]:
    """Units of each latent group, top first."""
    return tuple(int(np.prod(group.shape)) for group in model.groups)


def as_array(value: Tensor) -> Array:
    """float32, on the CPU."""
    return value.detach().to("cpu", torch.float32).numpy()
