"""What posterior and prior say of the latents: means, spreads, correlations. Knows torch, not pictures."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.evaluation.codes import POSTERIOR_SAMPLES
from tightbound.evaluation.units import conditional_mean
from tightbound.numerics import Gaussian, generator_for, mixture_log_prob

PRIOR_SAMPLES = 65_536  # where the prior's moments have no closed form
_FEWEST = 1024
_AT_ONCE = 256  # samples that networks carry down at once
_CARRIED = 4096  # of these in all: their mean is known to 1.6 % of a standard deviation
_CHECKED = 16  # components at whose means a prior's density is compared with its mixture's
_MOST_NUMBERS = 16_000_000  # of all these samples: fewer where there are many latents


class Moments(NamedTuple):
    """Mean and standard deviation of q(z | x) of B images.

    Attributes:
        mean: (B, *event) of each latent group, top first: what ``Model.epsilon_of`` takes.
        std: (B, U), all groups laid out flat.
        samples: 0 where both are in closed form, else the number of posterior samples that they are of.
        gaussian: q(z | x) itself, where they are in closed form.
    """

    mean: tuple[Tensor, ...]
    std: Tensor
    samples: int
    gaussian: Gaussian | None = None

    @property
    def flat_mean(self) -> Tensor:
        """(B, U), all groups laid out flat."""
        return flat(self.mean)


def posterior_moments(
    model: Model, x: Tensor, *, samples: int = POSTERIOR_SAMPLES, generator: torch.Generator | None = None
) -> Moments:
    """Moments of q(z | x): in closed form where it is a Gaussian that x alone determines, else of samples.

    Of a ladder's layers the samples are of the Gaussian given the layers above: its mean has the mean of z, and its
    variance added to the variance of its mean gives that of z.

    Args:
        model: any.
        x: (B, C, H, W), in the model's precision.
        samples: how many, at least 2, where there is no closed form.
        generator: of these samples.
    """
    encoding = model.encode(x)
    gaussian = model.closed_posterior(encoding)
    if gaussian is not None:
        mean, scale = (part.expand(len(x), -1) for part in (gaussian.mean, marginal_scale(gaussian)))
        return Moments((mean.reshape(-1, *model.groups[0].shape),), scale, 0, gaussian)
    draw = model.draw(x, samples, encoding=encoding, generator=generator)
    means, deviations = [], []
    for level, (z, pair) in enumerate(zip(draw.latents, draw.densities, strict=True)):
        given = conditional_mean(draw, level).expand(z.flatten(2).shape)
        variance = given.var(0)
        if pair is not None:
            variance = variance + marginal_scale(pair[0]).expand(given.shape).square().mean(0)
        means.append(given.mean(0).view(z.shape[1:]))
        deviations.append(variance.sqrt())
    return Moments(tuple(means), torch.cat(deviations, dim=-1), samples)


def carried_on(model: Model, x: Tensor, samples: int, generator: torch.Generator) -> tuple[Tensor, Tensor] | None:
    """Samples of the Gaussian that a posterior starts from, and what it makes of them; (samples, B, D) each.

    None where the posterior is that Gaussian, or has less than two units to look at.
    """
    posterior = getattr(model, "posterior", None)
    if posterior is None or "gaussian" in posterior.capabilities or getattr(model, "latent_dim", 1) < 2:
        return None
    encoding, first = model.encode(x), like(model)
    noise = torch.randn(samples, len(x), model.noise_size, generator=generator, dtype=first.dtype, device=first.device)
    base = posterior.base(encoding.features)
    (after,) = model.draw(x, samples, encoding=encoding, noise=noise).latents
    return base.sample(noise[..., : base.mean.shape[-1]]), after


def marginal_scale(gaussian: Gaussian) -> Tensor:
    """The standard deviation of every unit, (*batch, D): of a covariance L Lᵀ, the lengths of the rows of L."""
    if gaussian.scale is not None:
        return gaussian.scale
    assert gaussian.scale_tril is not None
    return gaussian.scale_tril.norm(dim=-1)


def correlation(gaussian: Gaussian) -> Tensor | None:
    """The correlation matrices (*batch, D, D) of N(mean, L Lᵀ); None where the units are independent."""
    if gaussian.scale_tril is None:
        return None
    rows = gaussian.scale_tril / marginal_scale(gaussian).unsqueeze(-1)
    return rows @ rows.mT


def prior_latents(model: Model, seed: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (U) of z under the prior: closed of one Gaussian or several, else of samples."""
    gaussian = getattr(getattr(model, "prior", None), "gaussian", None)
    if gaussian is not None:
        scale = marginal_scale(gaussian)
        return gaussian.mean.expand_as(scale), scale
    mixed = _mixture(model)
    if mixed is not None:
        return mixture_moments(*mixed)
    samples = _prior_samples(model, seed, PRIOR_SAMPLES if len(model.groups) == 1 else _CARRIED)
    return _moments(torch.cat([flat(model.latents_at(part)) for part in samples.split(_AT_ONCE)]))


def prior_epsilon(model: Model, seed: int) -> tuple[Tensor, Tensor]:
    """The same (E) in flat coordinates: 0 and 1 where these are whitened; else they are z, or are sampled."""
    if getattr(getattr(model, "prior", None), "whitened", True):
        mean = like(model).new_zeros(_flat_size(model))
        return mean, torch.ones_like(mean)
    mixed = _mixture(model)
    return _moments(_prior_samples(model, seed)) if mixed is None else mixture_moments(*mixed)


def mixture_moments(components: Gaussian, log_weights: Tensor) -> tuple[Tensor, Tensor]:
    """Mean Σ w μ and standard deviation √(Σ w (σ² + (μ − mean)²)), (D) each, of Σ_m w_m N(μ_m, Σ_m).

    Args:
        components: M Gaussians over D units.
        log_weights: log w_m (M).
    """
    weights = log_weights.exp().unsqueeze(-1)
    mean = (weights * components.mean).sum(0)
    variance = marginal_scale(components).square() + (components.mean - mean).square()
    return mean, (weights * variance).sum(0).sqrt()


def _mixture(model: Model) -> tuple[Gaussian, Tensor] | None:
    """Components and log weights of a prior that offers ``gaussians``, or is made of posteriors; else None.

    Weights that it does not offer are taken as equal. Kept only if the prior's density is that of this mixture.
    """
    prior = getattr(model, "prior", None)
    inputs = None if prior is None else prior.pseudo_inputs
    handed_in = None if inputs is None else model.encode(inputs[:1]).components
    components = getattr(prior, "gaussians", None) if handed_in is None else handed_in
    if prior is None or not isinstance(components, Gaussian):
        return None
    size = len(components.mean)
    log_weights = getattr(prior, "log_weights", components.mean.new_full((size,), -math.log(size)))
    points = components.mean[:_CHECKED]
    same = torch.allclose(mixture_log_prob(points, components, log_weights), prior.log_prob(points, handed_in))
    return (components, log_weights) if same else None


def like(model: Model) -> Tensor:
    """A tensor of the model's device and precision."""
    return next(model.parameters(), torch.empty(0))


def flat(latents: tuple[Tensor, ...]) -> Tensor:
    """Latent groups (B, *event) side by side, (B, U)."""
    return torch.cat([z.flatten(1) for z in latents], dim=-1)


def _prior_samples(model: Model, seed: int, most: int = PRIOR_SAMPLES) -> Tensor:
    number = max(_FEWEST, min(most, _MOST_NUMBERS // _flat_size(model)))
    return model.sample_prior(number, generator_for(seed, "prior moments", device=like(model).device))


def _flat_size(model: Model) -> int:
    return max(group.slice.stop for group in model.groups)


def _moments(samples: Tensor) -> tuple[Tensor, Tensor]:
    return samples.mean(0), samples.std(0)
