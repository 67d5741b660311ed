from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.evaluation.linear_gaussian import LinearGaussian


@pytest.fixture
def linear_gaussian() -> Callable[..., LinearGaussian]:
    """Makes the model with D latents and random weights."""

    def make(latent_dim: int = 4, **options) -> LinearGaussian:
        generator = torch.Generator().manual_seed(1)
        return LinearGaussian(torch.randn(6, latent_dim, generator=generator), **options)

    return make
