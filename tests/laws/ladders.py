"""Small ladders for the laws: nonlinear ones with random parameters, and linear-Gaussian ones, solved exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import LowRankMultivariateNormal

from tightbound.models import Ladder
from tightbound.networks.affine import scale_outputs
from tightbound.registry import Factory


def small_ladder(layers: int, *, spread: float = 0.2, **options: Any) -> Ladder:
    """Images of 2 × 2 pixels, maps of 1 × 1, one latent unit a layer; q as wide as the grid needs."""
    defaults: dict[str, Any] = {"channels": 4, "blocks": 1, "activation": "tanh", "normalization": "none"}
    torch.manual_seed(layers)
    model = Ladder((1, 2, 2), latent_channels=(1,) * layers, downsample=(0,) * layers, **{**defaults, **options})
    model = model.double().eval()
    generator = torch.Generator().manual_seed(layers)
    for module in model.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.eps = 1.0  # else nearly a step where a unit passes 0, which no grid resolves
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
        for network in [*model.inference, *model.generation]:
            scale_outputs(network.convolution, torch.full((2,), 0.1))  # no narrow q nor p anywhere on the grid
        for network in model.top_down:
            scale_outputs(network.convolution, torch.full((network.convolution.out_channels,), 0.3))  # smooth in z
        for network in model.inference:
            network.convolution.bias[1:] += 0.3
    return model


def means_by_quadrature(model: Ladder, x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """E[z_l | x] of both layers of ``small_ladder(2)``, and the variance of E[z_l | x, z_>l]: (B, 1), top first."""
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(60))
    noise = torch.zeros(60, len(x), 2, dtype=torch.float64)
    noise[..., 0] = nodes[:, None]  # of the top layer, which alone moves the moments of the other
    (top, _), (bottom, _) = (pair for pair in model.draw(x, 60, noise=noise).densities if pair is not None)
    weights = (weights / weights.sum())[:, None, None]
    mean = (weights * bottom.mean).sum(0)
    return (top.mean, mean), (torch.zeros_like(top.mean), (weights * (bottom.mean - mean).square()).sum(0))


class LinearLadder(Ladder):
    """A ladder whose latents and pixels are affine in ε: x = W ε + b + noise, so that log p(x) is known."""

    def affine(self) -> tuple[Tensor, Tensor]:
        """W and b."""
        zero = torch.zeros(self.noise_size)

        def pixels(e: Tensor) -> Tensor:
            return self.params_at(e.unsqueeze(0))[0].flatten()

        return torch.func.jacrev(pixels)(zero), pixels(zero)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log N(x; b, W Wᵀ + σ² I)."""
        weight, bias = self.affine()
        noise = (2 * self.likelihood.log_scale).exp().expand(bias.shape)  # pyright: ignore
        return LowRankMultivariateNormal(bias, weight, noise, validate_args=False).log_prob(x.flatten(1))


def linear_ladder(
    image_shape: tuple[int, int, int], *, noise: float, spread: float, seed: int = 0, **options: Any
) -> LinearLadder:
    """Every network affine, every scale constant: no activation, no gates, no weights of log-scales.

    A residual merge has a gate whatever is asked, so ``merge`` has to be another, and ``skip`` False.
    """
    torch.manual_seed(seed)
    model = LinearLadder(
        image_shape,
        channels=4,
        blocks=1,
        activation="none",
        normalization="none",
        gated=False,
        likelihood=Factory("likelihood", "gaussian", {"scale": noise, "learned": False}),
        **options,
    )
    model = model.double().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
        for network in [*model.inference, *model.generation]:
            network.convolution.weight[len(network.convolution.weight) // 2 :] = 0
    return model
