"""Fully connected encoder and decoder whose every layer sees the network's input."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.layers import Activation, Normalization, Style, Widths, check_positive
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register


@register("encoder", "skip_mlp")
class SkipMLPEncoder(Encoder):
    """Fully connected layers on the flattened image, each of which also sees the image.

    h_1 = activation(norm(W_1 x + b_1)), h_i = activation(norm(W_i [h_{i−1}, x] + b_i)); the features are the last h.

    Args:
        image_shape: (C, H, W).
        hidden: the layers' widths.
        activation: after every layer.
        normalization: of every layer.

    Raises:
        RecipeError: no hidden layer, or a width below 1.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        hidden: Widths = (512, 512),
        activation: Activation = "elu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        _check_hidden(hidden)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.feature_dim = hidden[-1]
        self.layers = _skip_layers(style, math.prod(image_shape), hidden)

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The last layer's activations."""
        return _run(self.layers, inputs.flatten(1))


@register("decoder", "skip_mlp")
class SkipMLPDecoder(Decoder):
    """Fully connected layers from z to all pixels, each of which also sees z.

    h_1 = activation(norm(W_1 z + b_1)), h_i = activation(norm(W_i [h_{i−1}, z] + b_i)); the output is W [h, z] + b.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        hidden: the hidden layers' widths.
        activation: after every hidden layer.
        normalization: of every hidden layer; ``"weight"`` also of the last.

    Raises:
        RecipeError: no hidden layer, or a width below 1.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden: Widths = (512, 512),
        activation: Activation = "elu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        _check_hidden(hidden)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.output_shape = (out_channels, *image_shape[1:])
        self.layers = _skip_layers(style, latent_dim, hidden)
        self.output = style.prepare(nn.Linear(hidden[-1] + latent_dim, math.prod(self.output_shape)))

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The output layer's values, as maps."""
        h = _run(self.layers, inputs)
        return self.output(torch.cat((h, inputs), dim=1)).unflatten(1, self.output_shape)


def _skip_layers(style: Style, inputs: int, hidden: Widths) -> nn.ModuleList:
    seen = (inputs, *(width + inputs for width in hidden[:-1]))
    return nn.ModuleList(style.dense(a, b) for a, b in zip(seen, hidden, strict=True))


def _run(layers: Iterable[nn.Module], x: Tensor) -> Tensor:
    h = None
    for layer in layers:
        h = layer(x if h is None else torch.cat((h, x), dim=1))
    assert h is not None
    return h


def _check_hidden(hidden: Widths) -> None:
    if not hidden:
        raise RecipeError(
            "skip_mlp needs at least one hidden layer; got hidden: []",
            hint="give hidden: [512], or use kind: mlp, which may have none",
        )
    check_positive("hidden", *hidden)
