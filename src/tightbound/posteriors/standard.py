"""The posterior that knows nothing: the start of auxiliary-variable posteriors, and the plainest baseline."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tightbound.core import Posterior, Proposal, Target
from tightbound.numerics import Gaussian
from tightbound.registry import register


@register("posterior", "standard")
class Standard(Posterior):
    """N(0, I) for every image, nothing trained; what a Hamiltonian posterior without an encoder starts from.

    Args:
        feature_dim: F; features are not looked at.
        latent_dim: D.
    """

    capabilities = frozenset({"gaussian", "factorized", "stop_density"})
    amortized = False

    def __init__(self, feature_dim: int, latent_dim: int) -> None:
        super().__init__()
        self.noise_size = self.latent_dim = latent_dim

    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """N(0, I), (B, D)."""
        zeros = features.new_zeros(len(features), self.latent_dim)
        return Gaussian(zeros, zeros + 1)

    def propose(
        self,
        features: Float[Tensor, "B F"],
        num_samples: int,
        *,
        noise: Float[Tensor, "K B N"],
        target: Target | None = None,
        stop_density: bool = False,
    ) -> Proposal:
        """The noise itself; see ``Posterior.propose``."""
        gaussian = self.base(features)
        z, log_q = gaussian.sample_and_log_prob(noise)
        return Proposal(z, log_q, gaussian)
