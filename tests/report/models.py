"""Small models with random weights, and images that tell the seed of their pixel noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tightbound.models import VAE, Ladder
from tightbound.registry import Factory


class Images:
    """Images whose noise tells the seed: pixel (0, 0) is 1 if it is 7."""

    def __init__(self, n: int, labels: list[int] | None = None) -> None:
        self.pixels = torch.rand(n, 1, 3, 4, generator=torch.Generator().manual_seed(0)).round()
        self.labels = None if labels is None else torch.tensor(labels)

    def __len__(self) -> int:
        return len(self.pixels)

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        x = self.pixels[start:stop].clone()
        x[:, :, 0, 0] = float(seed == 7)
        return x


def small_model(latent_dim: int = 2, **parts: Any) -> VAE:
    hidden = {"hidden": (5,)}
    coders = {"encoder": Factory("encoder", "mlp", hidden), "decoder": Factory("decoder", "mlp", hidden)}
    return VAE((1, 3, 4), latent_dim=latent_dim, **(coders | parts)).eval()


def correlated_model(latent_dim: int = 3) -> VAE:
    """With a full covariance whose off-diagonal entries differ from zero and from image to image."""
    model = small_model(latent_dim, posterior=Factory("posterior", "full_covariance"))
    with torch.no_grad():
        for parameter in model.posterior.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(parameter.numel()))
    return model


def without_closed_form(model: VAE) -> VAE:
    """The same posterior, which no longer says that it is Gaussian."""
    model.posterior.capabilities = frozenset()
    return model


def small_ladder(layers: int = 3, channels: int = 1) -> Ladder:
    """Maps of 2 × 2, 1 × 1 and again 1 × 1 positions; images of 3 × 4 pixels are padded to 4 × 4. Random weights."""
    torch.manual_seed(layers)
    options: dict[str, Any] = {"channels": 4, "blocks": 1, "activation": "tanh"}
    down = tuple(int(layer == 1) for layer in range(layers))
    shape = (channels, 3, 4)
    model = Ladder(shape, latent_channels=tuple(range(2, 2 + layers)), downsample=down, **options).double().eval()
    generator = torch.Generator().manual_seed(layers)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return model
