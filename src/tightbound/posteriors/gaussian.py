"""Gaussian posteriors: diagonal and full covariance."""

from __future__ import annotations

from abc import abstractmethod

from jaxtyping import Float
from torch import Tensor

from tightbound.core import Posterior, Proposal, Target
from tightbound.networks.head import Head, HeadNormalization
from tightbound.numerics import Gaussian, num_strictly_lower, soft_clamp, unit_lower
from tightbound.registry import register

# Far outside anything a trained posterior needs, near enough that exp() stays finite in float32.
_LOG_SCALE_RANGE = (-12.0, 8.0)


class GaussianPosterior(Posterior):
    """q(z | x) = N(mean(features), covariance(features)). Adding one: implement ``base``.

    Args:
        feature_dim: F; 0 for one Gaussian that serves every image.
        latent_dim: D.
        log_scale_offset: added to the log-scales, −3 in the published IAF recipe: it narrows q at the start, and
            enters the sample and its density alike.
        normalization: of the affine map to means and log-scales.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        log_scale_offset: float = 0.0,
        normalization: HeadNormalization = "none",
    ) -> None:
        super().__init__()
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
        return mean, soft_clamp(raw + self.log_scale_offset, *_LOG_SCALE_RANGE).exp()


@register("posterior", "diagonal")
class Diagonal(GaussianPosterior):
    """N(μ(x), diag σ(x)²); Kingma & Welling 2014, appendix C.

    Args:
        feature_dim: F; 0 for one Gaussian that serves every image.
        latent_dim: D.
        log_scale_offset: added to log σ.
        normalization: of the affine map from features to μ and log σ: ``"weight"``, ``"batch"`` or ``"none"``.
    """

    capabilities = frozenset({"gaussian", "factorized", "stop_density"})

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        log_scale_offset: float = 0.0,
        normalization: HeadNormalization = "none",
    ) -> None:
        super().__init__(feature_dim, latent_dim, log_scale_offset, normalization)

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
    """

    capabilities = frozenset({"gaussian", "stop_density"})

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        log_scale_offset: float = 0.0,
        normalization: HeadNormalization = "none",
    ) -> None:
        super().__init__(feature_dim, latent_dim, log_scale_offset, normalization)
        self.correlations = Head(feature_dim, num_strictly_lower(latent_dim), zero=True)

    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """q(z | x), (B, D)."""
        mean, scale = self._mean_and_scale(features)
        entries = self.correlations(features) / self.latent_dim**0.5
        return Gaussian(mean, scale_tril=scale.unsqueeze(-1) * unit_lower(entries, self.latent_dim))
