"""A model of known evidence, posterior and KL: z ~ N(0, I), x | z ~ N(W z + b, s² I), q = the posterior, rescaled."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tightbound.core import Draw, Encoding, LatentGroup, Likelihood, Model, PixelDistribution
from tightbound.numerics import Gaussian, standard_normal_log_prob

SHAPE = (1, 2, 3)


class FixedGaussian(Likelihood):
    data_kind = "continuous"

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.image_shape, self.out_channels, self.scale = SHAPE, 1, scale

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        noise = (x - params).flatten(2) / self.scale
        return standard_normal_log_prob(noise) - noise.shape[-1] * math.log(self.scale)

    def mean(self, params: Tensor) -> Tensor:
        return params

    def mode(self, params: Tensor) -> Tensor:
        return params

    def std(self, params: Tensor) -> Tensor:
        return torch.full_like(params, self.scale)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return params + self.scale * torch.randn(params.shape, generator=generator, dtype=params.dtype)


class LinearGaussian(Model):
    """Args: W (6, D); s; q's scale over the posterior's; whether the model gives q and p for the analytic KL."""

    def __init__(self, weight: Tensor, scale: float = 0.5, widen: float = 1.0, analytic: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.linspace(-0.5, 0.5, len(weight)))
        self.likelihood = FixedGaussian(scale)
        self.widen, self.analytic = widen, analytic
        self.image_shape, self.noise_size = SHAPE, weight.shape[1]
        self.groups = (LatentGroup(slice(0, self.noise_size), (self.noise_size,)),)

    def posterior(self, x: Tensor) -> Gaussian:
        precision = torch.eye(self.noise_size) + self.weight.T @ self.weight / self.likelihood.scale**2
        covariance = torch.linalg.inv(precision)
        mean = (x.flatten(1) - self.bias) @ self.weight @ covariance / self.likelihood.scale**2
        return Gaussian(mean, scale_tril=self.widen * torch.linalg.cholesky(covariance).expand(len(x), -1, -1))

    def encode(self, x: Tensor) -> Encoding:
        return Encoding(self.posterior(x))

    def draw(self, x: Tensor, num_samples: int, *, encoding=None, noise=None, **_: Any) -> Draw:
        q = (self.encode(x) if encoding is None else encoding).features
        z, log_q = q.sample_and_log_prob(noise)
        params = self.decode(z).params
        prior = Gaussian(torch.zeros(self.noise_size), torch.ones(self.noise_size))
        return Draw(
            latents=(z,),
            log_likelihood=self.likelihood.log_prob(x, params),
            log_ratio=(standard_normal_log_prob(z) - log_q,),
            params=params,
            densities=((q, prior) if self.analytic else None,),
        )

    def log_prior(self, epsilon: Tensor, encoding: Encoding | None = None) -> Tensor:
        return standard_normal_log_prob(epsilon)

    def sample_prior(self, num_samples: int, generator: torch.Generator | None = None, encoding=None) -> Tensor:
        return torch.randn(num_samples, self.noise_size, generator=generator)

    def latents_at(self, epsilon: Tensor) -> tuple[Tensor, ...]:
        return (epsilon,)

    def epsilon_of(self, *latents: Tensor) -> Tensor:
        return latents[0]

    def decode(self, *latents: Tensor) -> PixelDistribution:
        return PixelDistribution(self.likelihood, (latents[0] @ self.weight.T + self.bias).unflatten(-1, SHAPE))

    def log_evidence(self, x: Tensor) -> Tensor:
        covariance = self.weight @ self.weight.T + self.likelihood.scale**2 * torch.eye(len(self.bias))
        return Gaussian(self.bias, scale_tril=torch.linalg.cholesky(covariance)).log_prob(x.flatten(1))
