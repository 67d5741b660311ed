"""Gaussian priors: fixed and learned."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Prior
from tightbound.numerics import Gaussian, exp_soft_clamp
from tightbound.registry import register


class GaussianPrior(Prior):
    """A diagonal Gaussian p(z). Adding one: implement ``gaussian``."""

    capabilities = frozenset({"gaussian", "factorized"})
    whitened = True

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.noise_size = latent_dim

    @property
    @abstractmethod
    def gaussian(self) -> Gaussian:
        """p(z), (D)."""

    def log_prob(self, z: Float[Tensor, "*rows D"], components: Gaussian | None = None) -> Float[Tensor, "*rows"]:
        """log p(z): (*rows, D) -> (*rows)."""
        return self.gaussian.log_prob(z)

    def sample(self, noise: Float[Tensor, "*rows N"], components: Gaussian | None = None) -> Float[Tensor, "*rows D"]:
        """Mean + scale·noise."""
        return self.gaussian.sample(noise)


@register("prior", "standard_normal")
class StandardNormal(GaussianPrior):
    """N(0, scale² I).

    Args:
        latent_dim: D.
        scale: standard deviation of every unit.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, latent_dim: int, *, scale: Annotated[float, Gt(0)] = 1.0) -> None:
        super().__init__(latent_dim)
        self.register_buffer("mean", torch.zeros(latent_dim), persistent=False)
        self.register_buffer("scale", torch.full((latent_dim,), scale), persistent=False)

    @property
    def gaussian(self) -> Gaussian:
        """p(z), (D)."""
        return Gaussian(self.mean, self.scale)


@register("prior", "learned_diagonal")
class LearnedDiagonal(GaussianPrior):
    """N(μ, diag σ²) with μ and σ trained; starts at N(0, I)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.mean = nn.Parameter(torch.zeros(latent_dim))
        self.raw_log_scale = nn.Parameter(torch.zeros(latent_dim))

    @property
    def gaussian(self) -> Gaussian:
        """p(z), (D)."""
        return Gaussian(self.mean, exp_soft_clamp(self.raw_log_scale, -8.0, 8.0))
