"""Affine layers, PyTorch's and ours: which of their axes are outputs, and how their weights are scaled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Affine(nn.Module):
    """A layer of ours that maps (*rows, in) to (*rows, out) by ``weight`` (out, in) and ``bias`` (out).

    Attributes:
        weight: None where there is no input.
        bias: None where a normalization follows.
        normalization: of the layer's own outputs over the batch, which are then affine no more; None for none.
    """

    weight: Tensor | None
    bias: Tensor | None
    normalization: nn.Module | None


AffineLayer = nn.Linear | nn.Conv2d | nn.ConvTranspose2d | Affine


def affine_layers(model: nn.Module) -> list[AffineLayer]:
    """The layers whose outputs are affine in their inputs."""
    layers = [module for module in model.modules() if isinstance(module, AffineLayer)]
    return [layer for layer in layers if not isinstance(layer, Affine) or layer.normalization is None]


def is_weight_normalized(layer: AffineLayer) -> bool:
    """Whether its weight is a direction and a length."""
    return parametrize.is_parametrized(layer, "weight") and hasattr(_parametrized(layer), "original1")


def output_axis(layer: AffineLayer) -> int:
    """Which axis of the layer's outputs counts its output channels."""
    return 1 if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) else -1


@torch.no_grad()
def scale_outputs(layer: AffineLayer, scale: Tensor) -> None:
    """Multiplies the weights of each output by ``scale`` (out), and nothing else: the bias stays.

    Of w = g v / |v| (weight normalization) only g is scaled, which is the same. A parametrization of one tensor, a mask
    say, is taken to be linear in each output's weights.

    Raises:
        ValueError: a transposed convolution in groups, whose weights are not laid out by output.
    """
    if isinstance(layer, nn.ConvTranspose2d) and layer.groups > 1:
        raise ValueError(f"expected a transposed convolution of one group; got groups = {layer.groups}")
    weight = _scaled_tensor(layer)
    if weight is not None:
        shape = [1] * weight.dim()
        shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0] = -1
        weight.mul_(scale.to(weight.dtype).reshape(shape))


def _scaled_tensor(layer: AffineLayer) -> Tensor | None:
    """The parameter that the weights are proportional to."""
    if not parametrize.is_parametrized(layer, "weight"):
        return layer.weight
    originals = _parametrized(layer)
    return originals.original0 if hasattr(originals, "original0") else originals.original


def _parametrized(layer: nn.Module) -> Any:
    parametrizations: Any = layer.parametrizations
    return parametrizations["weight"]
