"""A prior made of posteriors: the mixture of what the encoder says of trained pseudo-inputs."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Prior
from tightbound.numerics import Gaussian, mixture_log_prob, mixture_sample
from tightbound.registry import register


@register("prior", "vamp")
class Vamp(Prior):
    """(1/M) Σ_m q(z | u_m), with trained pseudo-inputs u_m; Tomczak & Welling 2018, eq. 9.

    Only the pseudo-inputs are its own. The model encodes them once a batch and hands in q(z | u_m), so a gradient of
    log p(z) reaches the encoder too. u_m is the sigmoid of what is trained, thus an image in [0, 1].

    Pixels start as sigmoid(n), n ~ N(−2, 1): around 0.12, dark as most of an image of strokes is. Each pixel differs,
    since equal pseudo-inputs would get equal gradients. The paper clips to [0, 1] a start of N(mean, std) set by hand;
    where that clips, no gradient passes.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        components: M, how many pseudo-inputs.
    """

    def __init__(
        self, latent_dim: int, image_shape: tuple[int, int, int], *, components: Annotated[int, Ge(1)] = 500
    ) -> None:
        super().__init__()
        self.noise_size = latent_dim + 1
        self.raw_pseudo_inputs = nn.Parameter(torch.randn(components, *image_shape) - 2)

    @property
    def pseudo_inputs(self) -> Tensor:
        """The images u_m (M, C, H, W), in [0, 1]."""
        return self.raw_pseudo_inputs.sigmoid()

    def log_prob(self, z: Float[Tensor, "*rows D"], components: Gaussian | None = None) -> Float[Tensor, "*rows"]:
        """log p(z): (*rows, D) -> (*rows).

        Args:
            z: points.
            components: q(z | u_m), (M, D), diagonal or with a Cholesky factor.

        Raises:
            ValueError: without components.
        """
        return mixture_log_prob(z, *_equally_weighted(components))

    def sample(self, noise: Float[Tensor, "*rows N"], components: Gaussian | None = None) -> Float[Tensor, "*rows D"]:
        """(*rows, D + 1) -> (*rows, D): the first entry of the noise chooses the component.

        Raises:
            ValueError: without components.
        """
        return mixture_sample(noise, *_equally_weighted(components))


def _equally_weighted(components: Gaussian | None) -> tuple[Gaussian, Tensor]:
    """The components and their log weights, −log M each."""
    if components is None:
        raise ValueError(
            "expected components, the posteriors of the pseudo-inputs (M, D); got None: go through the model, which "
            "hands in posterior.base(encoder(prior.pseudo_inputs))"
        )
    num_components = len(components.mean)
    return components, components.mean.new_full((num_components,), -math.log(num_components))
