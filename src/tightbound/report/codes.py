"""What posterior and prior say of the latents: means, spreads, correlations. Knows torch, not pictures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from tightbound.core import Encoding, Model
from tightbound.numerics import Gaussian, generator_for

POSTERIOR_SAMPLES = 64  # of an image, where the moments have no closed form
PRIOR_SAMPLES = 4096


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

    Args:
        model: any.
        x: (B, C, H, W), in the model's precision.
        samples: how many, at least 2, where there is no closed form.
        generator: of these samples.
    """
    encoding = model.encode(x)
    gaussian = closed_posterior(model, encoding)
    if gaussian is not None:
        rows = len(x)
        return Moments((gaussian.mean.expand(rows, -1),), marginal_scale(gaussian).expand(rows, -1), 0, gaussian)
    latents = model.draw(x, samples, encoding=encoding, generator=generator).latents
    deviations = torch.cat([z.flatten(2).std(0) for z in latents], dim=-1)
    return Moments(tuple(z.mean(0) for z in latents), deviations, samples)


def closed_posterior(model: Model, encoding: Encoding) -> Gaussian | None:
    """q(z | x) (B, D), or (D) if it is the same for every image; None unless x alone makes it a Gaussian."""
    posterior = getattr(model, "posterior", None)
    if posterior is None or "gaussian" not in posterior.capabilities:
        return None
    return posterior.base(encoding.features)


def closed_mean(model: Model, encoding: Encoding) -> Tensor | None:
    """Its mean (B, D), or None."""
    gaussian = closed_posterior(model, encoding)
    return None if gaussian is None else gaussian.mean.expand(len(encoding.features), -1)


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
    """Mean and standard deviation (U) of z under the prior: closed where p(z) is Gaussian, else of 4,096 samples."""
    gaussian = getattr(getattr(model, "prior", None), "gaussian", None)
    if gaussian is not None:
        scale = marginal_scale(gaussian)
        return gaussian.mean.expand_as(scale), scale
    return _moments(flat(model.latents_at(_prior_samples(model, seed))))


def prior_epsilon(model: Model, seed: int) -> tuple[Tensor, Tensor]:
    """The same (E) in flat coordinates: 0 and 1 where these are whitened, else of 4,096 samples."""
    if getattr(getattr(model, "prior", None), "whitened", True):
        mean = like(model).new_zeros(max(group.slice.stop for group in model.groups))
        return mean, torch.ones_like(mean)
    return _moments(_prior_samples(model, seed))


def like(model: Model) -> Tensor:
    """A tensor of the model's device and precision."""
    return next(model.parameters(), torch.empty(0))


def flat(latents: tuple[Tensor, ...]) -> Tensor:
    """Latent groups (B, *event) side by side, (B, U)."""
    return torch.cat([z.flatten(1) for z in latents], dim=-1)


def _prior_samples(model: Model, seed: int) -> Tensor:
    return model.sample_prior(PRIOR_SAMPLES, generator_for(seed, "prior moments", device=like(model).device))


def _moments(samples: Tensor) -> tuple[Tensor, Tensor]:
    return samples.mean(0), samples.std(0)
