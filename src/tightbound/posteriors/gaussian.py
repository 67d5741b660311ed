"""Gaussian posteriors: diagonal and full covariance."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Posterior, Proposal, Target
from tightbound.errors import RecipeError
from tightbound.networks.head import Head, HeadNormalization
from tightbound.numerics import Gaussian, exp_soft_clamp, num_strictly_lower, unit_lower
from tightbound.registry import register

# Far outside anything a trained posterior needs, near enough that exp() stays finite in float32.
_LOG_SCALE_RANGE = (-12.0, 8.0)

MeanBound = Literal["none", "tanh"]


class GaussianPosterior(Posterior):
    """q(z | x) = N(mean(features), covariance(features)). Adding one: implement ``base``.

    Args:
        feature_dim: F; 0 for one Gaussian that serves every image.
        latent_dim: D.
        log_scale_offset: added to the log-scales, −3 in the published IAF recipe: it narrows q at the start, and
            enters the sample and its density alike.
        normalization: of the affine map to means and log-scales.
        mean_bound: "tanh" keeps the means of the bounded units in (−1, 1); q stays the Gaussian that it says it is, and
            samples reach beyond.
        bounded_units: how many units, the last ones, are bounded; None for all.

    Raises:
        RecipeError: bounded units without a bound, or more than there are.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        log_scale_offset: float = 0.0,
        normalization: HeadNormalization = "none",
        mean_bound: MeanBound = "none",
        bounded_units: int | None = None,
    ) -> None:
        super().__init__()
        _check_bound(latent_dim, mean_bound, bounded_units)
        self.bounded_units = 0 if mean_bound == "none" else bounded_units or latent_dim
        self.noise_size = latent_dim
        self.latent_dim = latent_dim
        self.log_scale_offset = log_scale_offset
        self.moments = Head(feature_dim, 2 * latent_dim, normalization=normalization)
        self.capabilities = self.capabilities | self.moments.capabilities

    @abstractmethod
    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """q(z | x), (B, D)."""

    def propose(
        self,
        features: Float[Tensor, "B F"],
        num_samples: int,
        *,
        noise: Float[Tensor, "K B N"],
        target: Target | None = None,
        stop_density: bool = False,
    ) -> Proposal:
        """Z = mean + scale·noise and its log q; see ``Posterior.propose``."""
        gaussian = self.base(features)
        z, log_q = gaussian.sample_and_log_prob(noise)
        if stop_density:
            log_q = gaussian.detach().log_prob(z)
        return Proposal(z, log_q, gaussian)

    def _mean_and_scale(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean, raw = self.moments(features).chunk(2, dim=-1)
        if self.bounded_units:
            free, bounded = mean.split((self.latent_dim - self.bounded_units, self.bounded_units), dim=-1)
            mean = torch.cat((free, bounded.tanh()), dim=-1)
        return mean, exp_soft_clamp(raw + self.log_scale_offset, *_LOG_SCALE_RANGE)


@register("posterior", "diagonal")
class Diagonal(GaussianPosterior):
    """N(μ(x), diag σ(x)²); Kingma & Welling 2014, appendix C.

    Args:
        feature_dim: F; 0 for one Gaussian that serves every image.
        latent_dim: D.
        log_scale_offset: added to log σ.
        normalization: of the affine map from features to μ and log σ: ``"weight"``, ``"batch"`` or ``"none"``.
        mean_bound: ``"tanh"`` keeps the means of the last units in (−1, 1); q is the Gaussian of these means.
        bounded_units: how many these are; None for all. Under a decoder that warps, as many as its warp has.
    """

    capabilities = frozenset({"gaussian", "factorized", "stop_density"})

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        log_scale_offset: float = 0.0,
        normalization: HeadNormalization = "none",
        mean_bound: MeanBound = "none",
        bounded_units: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(feature_dim, latent_dim, log_scale_offset, normalization, mean_bound, bounded_units)

    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """q(z | x), (B, D)."""
        mean, scale = self._mean_and_scale(features)
        return Gaussian(mean, scale)


@register("posterior", "full_covariance")
class FullCovariance(GaussianPosterior):
    """N(μ(x), L(x) L(x)ᵀ) with L = diag(σ)·(I + N/√D), N strictly lower triangular.

    σ > 0 makes the diagonal positive, so L is a Cholesky factor and log |det L| = Σ log σ. N starts at zero (a diagonal
    q) and is scaled down by √D: a triangular matrix of unit-size entries is ill-conditioned exponentially in D.

    Args:
        feature_dim: F; 0 for one Gaussian that serves every image.
        latent_dim: D.
        log_scale_offset: added to log σ.
        normalization: of the affine map from features to μ and log σ: ``"weight"``, ``"batch"`` or ``"none"``.
        mean_bound: ``"tanh"`` keeps the means of the last units in (−1, 1); q is the Gaussian of these means.
        bounded_units: how many these are; None for all. Under a decoder that warps, as many as its warp has.
    """

    capabilities = frozenset({"gaussian", "stop_density"})

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        log_scale_offset: float = 0.0,
        normalization: HeadNormalization = "none",
        mean_bound: MeanBound = "none",
        bounded_units: Annotated[int, Ge(1)] | None = None,
    ) -> None:
        super().__init__(feature_dim, latent_dim, log_scale_offset, normalization, mean_bound, bounded_units)
        self.correlations = Head(feature_dim, num_strictly_lower(latent_dim), zero=True)

    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """q(z | x), (B, D)."""
        mean, scale = self._mean_and_scale(features)
        entries = self.correlations(features) / self.latent_dim**0.5
        return Gaussian(mean, scale_tril=scale.unsqueeze(-1) * unit_lower(entries, self.latent_dim))


def _check_bound(latent_dim: int, mean_bound: MeanBound, bounded_units: int | None) -> None:
    if bounded_units is None:
        return
    if mean_bound == "none":
        raise RecipeError(
            "model.posterior.bounded_units: it has no effect without a bound",
            hint="use model.posterior.mean_bound=tanh, or leave it out",
        )
    if bounded_units > latent_dim:
        raise RecipeError(
            f"model.posterior.bounded_units: got {bounded_units}; expected at most {latent_dim}, as there are no more "
            "latent units",
            hint=f"use at most {latent_dim}",
        )
