"""Fully connected encoder and decoder."""

from __future__ import annotations

import math
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from tightbound.networks.layers import Activation, Normalization, Style, Widths, check_positive, check_used
from tightbound.networks.network import Decoder, Encoder
from tightbound.registry import register


@register("encoder", "mlp")
class MLPEncoder(Encoder):
    """Fully connected layers on the flattened image.

    h_0 = flatten(x), h_i = activation(norm(W_i h_{i−1} + b_i)); the features are the last h.

    Args:
        image_shape: (C, H, W).
        hidden: the layers' widths; with () the features are the pixels.
        activation: after every layer.
        normalization: of every layer.

    Raises:
        RecipeError: a width below 1, or a normalization without hidden layers.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        hidden: Widths = (512,),
        activation: Activation = "relu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        check_positive("hidden", *hidden)
        style = Style(activation, normalization)
        check_used(style, normalized=len(hidden), weighed=len(hidden))
        widths = (math.prod(image_shape), *hidden)
        self.capabilities = style.capabilities
        self.feature_dim = widths[-1]
        self.layers = nn.Sequential(*(style.dense(a, b) for a, b in pairwise(widths)))

    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The last layer's activations."""
        return self.layers(inputs.flatten(1))


@register("decoder", "mlp")
class MLPDecoder(Decoder):
    """Fully connected layers from z to all pixels.

    h_0 = z, h_i = activation(norm(W_i h_{i−1} + b_i)); the output is W h + b, reshaped.

    Args:
        latent_dim: D.
        image_shape: (C, H, W).
        out_channels: P, channels of the output.
        hidden: the hidden layers' widths; with () the decoder is affine in z.
        activation: after every hidden layer.
        normalization: of every hidden layer; ``"weight"`` also of the last.

    Raises:
        RecipeError: a width below 1, or a normalization without hidden layers.
    """

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        hidden: Widths = (512,),
        activation: Activation = "relu",
        normalization: Normalization = "none",
    ) -> None:
        super().__init__()
        check_positive("hidden", *hidden)
        style = Style(activation, normalization)
        check_used(style, normalized=len(hidden), weighed=len(hidden) + 1)
        widths = (latent_dim, *hidden)
        self.capabilities = style.capabilities
        self.output_shape = (out_channels, *image_shape[1:])
        self.layers = nn.Sequential(*(style.dense(a, b) for a, b in pairwise(widths)))
        self.output = style.prepare(nn.Linear(widths[-1], math.prod(self.output_shape)))

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The output layer's values, as maps."""
        return self.output(self.layers(inputs)).unflatten(1, self.output_shape)

    def affine(self) -> tuple[Tensor, Tensor] | None:
        """(weight (P·H·W, D), bias (P·H·W)) without hidden layers, else None."""
        return None if len(self.layers) else (self.output.weight, self.output.bias)
