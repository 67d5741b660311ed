"""A prior with several modes: a mixture of Gaussians, all of it learned."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Prior
from tightbound.numerics import Gaussian, exp_soft_clamp, mixture_log_prob, mixture_sample
from tightbound.registry import register


@register("prior", "mixture")
class Mixture(Prior):
    """Σ_m w_m N(μ_m, diag σ_m²) with w, μ and σ trained.

    Starts with equal weights, scales of 1 and means drawn from N(0, I): components that start alike would get the same
    gradients and stay alike.

    Args:
        latent_dim: D.
        components: M, how many Gaussians.
    """

    def __init__(self, latent_dim: int, *, components: Annotated[int, Ge(1)] = 10) -> None:
        super().__init__()
        self.noise_size = latent_dim + 1
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent_dim))
        self.raw_log_scale = nn.Parameter(torch.zeros(components, latent_dim))

    @property
    def log_weights(self) -> Tensor:
        """log w_m (M)."""
        return self.logits.log_softmax(0)

    @property
    def gaussians(self) -> Gaussian:
        """The components, (M, D)."""
        return Gaussian(self.mean, exp_soft_clamp(self.raw_log_scale, -8.0, 8.0))

    def log_prob(self, z: Float[Tensor, "*rows D"], components: Gaussian | None = None) -> Float[Tensor, "*rows"]:
        """log p(z): (*rows, D) -> (*rows)."""
        return mixture_log_prob(z, self.gaussians, self.log_weights)

    def sample(self, noise: Float[Tensor, "*rows N"], components: Gaussian | None = None) -> Float[Tensor, "*rows D"]:
        """(*rows, D + 1) -> (*rows, D): the first entry of the noise chooses the component."""
        return mixture_sample(noise, self.gaussians, self.log_weights)
