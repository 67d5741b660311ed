"""Small networks of every kind, which the tests of this folder run over."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import tightbound.networks  # noqa: F401  (registers the kinds)
from tightbound.networks import Decoder, Encoder
from tightbound.registry import Factory

KINDS = (  # kind, variant
    "mlp",
    "skip_mlp",
    "convolutional",
    "convolutional, stride 3",
    "resize_convolutional",
    "residual",
    "gated",
)
NORMALIZATIONS = ("none", "weight", "group", "batch")
SMALL = {
    "mlp": {"hidden": (12, 9)},
    "skip_mlp": {"hidden": (12, 9)},
    "convolutional": {"channels": (8, 6, 4), "features": 10},
    "convolutional, stride 3": {"channels": (8, 6), "kernel_size": 5, "stride": 3, "features": None},
    "resize_convolutional": {"channels": (8, 4), "kernel_size": 3, "features": 10},
    "residual": {"channels": 4, "blocks": 2},
    "gated": {"channels": (4, 6, 5), "kernel_size": 3},
}
ENCODER_ONLY = {"residual": {"features": 10}, "gated": {"features": 10}}
DECODER_ONLY = {"convolutional, stride 3": {"upsample": "nearest"}}
LATENT_DIM = 3


def encoder(kind: str, image_shape: tuple[int, int, int], **options: object) -> Encoder:
    options = {**SMALL[kind], **ENCODER_ONLY.get(kind, {}), **options}
    return Factory("encoder", kind.split(",")[0], options)(image_shape=image_shape)


def decoder(kind: str, image_shape: tuple[int, int, int], out_channels: int = 2, **options: object) -> Decoder:
    wiring = {"latent_dim": LATENT_DIM, "image_shape": image_shape, "out_channels": out_channels}
    options = {**SMALL[kind], **DECODER_ONLY.get(kind, {}), **options}
    return Factory("decoder", kind.split(",")[0], options)(**wiring)


def pair(kind: str, image_shape: tuple[int, int, int] = (2, 9, 8), **options: object) -> list[tuple[nn.Module, Tensor]]:
    """The encoder and the decoder of a kind, each with five rows of input."""
    networks = encoder(kind, image_shape, **options), decoder(kind, image_shape, **options)
    return list(zip(networks, (torch.rand(5, *image_shape), torch.randn(5, LATENT_DIM)), strict=True))


def shake(module: nn.Module) -> nn.Module:
    """Moves every parameter away from its initial value (0 for biases, 1 for scales)."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return module
