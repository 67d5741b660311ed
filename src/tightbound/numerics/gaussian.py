"""A multivariate Gaussian as a small value: diagonal or with a lower Cholesky factor."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_LOG_2_PI = math.log(2 * math.pi)


def standard_normal_log_prob(noise: Tensor) -> Tensor:
    """log N(noise; 0, I), summed over the last axis: (..., D) -> (...)."""
    return -0.5 * (noise.square().sum(-1) + noise.shape[-1] * _LOG_2_PI)


@dataclass(frozen=True, eq=False)
class Gaussian:
    """N(mean, diag(scale²)) or N(mean, scale_tril scale_trilᵀ).

    Leading axes of a point that the parameters lack (the K samples) are broadcast, without copying the factors.

    Args:
        mean: (*batch, D).
        scale: (*batch, D), positive; or None.
        scale_tril: (*batch, D, D), lower triangular with a positive diagonal; or None.
    """

    mean: Tensor
    scale: Tensor | None = None
    scale_tril: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.scale is None) == (self.scale_tril is None):
            raise ValueError("expected exactly one of scale and scale_tril")

    @property
    def factorized(self) -> bool:
        """Whether the units are independent."""
        return self.scale is not None

    @property
    def log_scale_det(self) -> Tensor:
        """log |det of the scale| (*batch)."""
        if self.scale is not None:
            return self.scale.log().sum(-1)
        assert self.scale_tril is not None
        return self.scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def sample(self, noise: Tensor) -> Tensor:
        """Mean + scale·noise, for noise (*samples, *batch, D)."""
        if self.scale is not None:
            return self.mean + self.scale * noise
        assert self.scale_tril is not None
        # (..., D, D) @ (..., D): einsum turns the broadcast K axis into columns of one product per batch element.
        return self.mean + torch.einsum("...ij,k...j->k...i", self.scale_tril, _lead(noise, self.mean)).reshape(
            noise.shape
        )

    def sample_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """A sample and its log-density, without solving for the noise that is already known.

        log q(z) = log N(noise; 0, I) − log |det scale|: exact however badly conditioned the factor is.
        """
        return self.sample(noise), standard_normal_log_prob(noise) - self.log_scale_det

    def standardize(self, z: Tensor) -> Tensor:
        """The noise that gives z: the inverse of ``sample``."""
        centered = z - self.mean
        if self.scale is not None:
            return centered / self.scale
        assert self.scale_tril is not None
        columns = _lead(centered, self.mean).movedim(0, -1)
        solved = torch.linalg.solve_triangular(self.scale_tril, columns, upper=False)
        return solved.movedim(-1, 0).reshape(centered.shape)

    def log_prob(self, z: Tensor) -> Tensor:
        """log N(z), summed over the event: (*samples, *batch, D) -> (*samples, *batch)."""
        return standard_normal_log_prob(self.standardize(z)) - self.log_scale_det

    def kl(self, other: Gaussian) -> Tensor:
        """KL(self ‖ other) in nats, per unit where both factorize, else one number.

        Returns:
            (*batch, D) or (*batch, 1).
        """
        if self.scale is not None and other.scale is not None:
            ratio = self.scale / other.scale
            shift = (self.mean - other.mean) / other.scale
            return 0.5 * (ratio.square() + shift.square() - 1) - ratio.log()
        dimension = self.mean.shape[-1]
        factor = self.scale_tril if self.scale_tril is not None else torch.diag_embed(_not_none(self.scale))
        if other.scale is not None:
            whitened = factor / other.scale.unsqueeze(-1)
        else:
            whitened = torch.linalg.solve_triangular(_not_none(other.scale_tril), factor, upper=False)
        trace = whitened.square().sum((-2, -1))
        shift = other.standardize(self.mean).square().sum(-1)
        return (0.5 * (trace + shift - dimension) + other.log_scale_det - self.log_scale_det).unsqueeze(-1)

    def detach(self) -> Gaussian:
        """The same density with no path back to its parameters."""
        scale = None if self.scale is None else self.scale.detach()
        scale_tril = None if self.scale_tril is None else self.scale_tril.detach()
        return Gaussian(self.mean.detach(), scale, scale_tril)


def _lead(value: Tensor, like: Tensor) -> Tensor:
    """(*samples, *batch, D) -> (prod samples, *batch, D), where ``like`` is (*batch, D)."""
    extra = value.dim() - like.dim()
    return value.reshape(-1, *value.shape[extra:])


def _not_none(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
