"""Masked networks: every output depends on the units before its own alone (MADE), given a context."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

from tightbound.errors import RecipeError
from tightbound.networks.layers import Activation, Style, Widths, check_positive
from tightbound.networks.network import Network

# No "group": statistics over a layer's units would let every unit see every other.
MaskedNormalization = Literal["none", "weight", "batch"]
ContextMode = Literal["before", "after"]

_OUTPUT_SCALE = 0.1  # outputs start small, so that a flow starts near the identity


class MaskedLinear(nn.Linear):
    """A fully connected layer some of whose weights are zero and stay so.

    Args:
        mask: (out, in) bool, where weights may be other than zero.
        style: its initialization, and weight normalization if that is the style.
        scale: of the initial weights.
        bias: whether there is one.
    """

    mask: Tensor

    def __init__(self, mask: Tensor, style: Style, *, scale: float = 1.0, bias: bool = True) -> None:
        super().__init__(mask.shape[1], mask.shape[0], bias=bias)
        self.register_buffer("mask", mask, persistent=False)
        style.prepare(self)
        seen = mask.sum(1, keepdim=True)
        with torch.no_grad():
            weight = self.weight * scale * (mask.shape[1] / seen.clamp(min=1)).sqrt()
            # A masked weight that is 0 gets no gradient, nor enters the norm of weight normalization. Rows that see
            # nothing keep theirs, which the mask in ``forward`` holds back: their norm must not be 0.
            weight = torch.where(mask | (seen == 0), weight, 0.0)
            if parametrize.is_parametrized(self, "weight"):
                self.weight = weight
            else:
                self.weight.copy_(weight)

    def forward(self, input: Tensor) -> Tensor:
        """(*rows, in) -> (*rows, out)."""
        return nn.functional.linear(input, self.weight * self.mask, self.bias)


class MADE(Network):
    """Masked autoencoder with context: (z, context) -> outputs, the i-th of which sees z_j for j before i alone.

    Germain et al. 2015, and the context of Kingma et al. 2016, section 3. A hidden unit of degree m sees the first m
    units of z and is seen by units m and later; m goes from 0 (sees the context alone) to D − 1. Any widths go.

    Args:
        latent_dim: D.
        context_dim: width of the context; 0 for none.
        outputs: how many outputs each unit has.
        hidden: widths of the hidden layers, at least one.
        activation: of the hidden layers.
        normalization: ``"weight"``, ``"batch"`` (of the outputs too) or ``"none"``.
        context: ``"before"`` adds a linear map of it before the first activation, ``"after"`` adds the context itself
            after it, which then is as wide as that layer.
        reverse: the order of the units is the last first.

    Raises:
        RecipeError: no hidden layer, a width below 1, or a context that does not fit.
    """

    def __init__(
        self,
        latent_dim: int,
        context_dim: int,
        outputs: int,
        *,
        hidden: Widths,
        activation: Activation,
        normalization: MaskedNormalization,
        context: ContextMode = "before",
        reverse: bool = False,
    ) -> None:
        super().__init__()
        _check(hidden, context_dim, context)
        style = Style(activation, normalization)
        self.capabilities = style.capabilities
        self.adds_context = context == "after"
        order = torch.arange(latent_dim)
        self.order = order.flip(0) if reverse else order
        degrees = [_degrees(width, latent_dim) for width in hidden]
        masks = [self.order < degrees[0].unsqueeze(1), *(low <= high.unsqueeze(1) for low, high in pairwise(degrees))]
        self.layers = nn.ModuleList(MaskedLinear(mask, style, bias=style.bias) for mask in masks)
        self.norms = nn.ModuleList(style.normalize_features(width) for width in hidden)
        self.activation = style.activate()
        seen = (degrees[-1] <= self.order.unsqueeze(1)).repeat(outputs, 1)
        self.output = MaskedLinear(seen, style, scale=_OUTPUT_SCALE, bias=style.bias)
        self.output_norm = style.normalize_features(outputs * latent_dim)
        self.context = None
        if context_dim and not self.adds_context:
            self.context = style.prepare(nn.Linear(context_dim, hidden[0], bias=False))

    def body(self, inputs: Float[Tensor, "K B D"], context: Float[Tensor, "B F"]) -> Float[Tensor, "K B outputs"]:
        """Outputs of all units, the first outputs of every unit first: (K, B, outputs · D)."""
        h = inputs
        for index, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            h = layer(h)
            if index == 0 and self.context is not None:
                h = h + self.context(context)
            h = self.activation(_normalize(norm, h))
            if index == 0 and self.adds_context:
                h = h + context
        return _normalize(self.output_norm, self.output(h))


def _normalize(norm: nn.Module, h: Tensor) -> Tensor:
    """Batch normalization over samples and images together; nothing else has work to do."""
    return h if isinstance(norm, nn.Identity) else norm(h.flatten(0, -2)).unflatten(0, h.shape[:-1])


def _degrees(width: int, latent_dim: int) -> Tensor:
    """How many units of z each hidden unit sees: from 0 to D − 1, equally often where there are enough of them."""
    if width >= latent_dim:
        return torch.arange(width) * latent_dim // width
    return torch.linspace(0, latent_dim - 1, width).round().long() if width > 1 else torch.tensor([latent_dim - 1])


def _check(hidden: Widths, context_dim: int, context: ContextMode) -> None:
    if not hidden:
        raise RecipeError("hidden: an autoregressive network needs a hidden layer; got []", hint="give hidden: [320]")
    check_positive("hidden", *hidden)
    if context == "after" and context_dim != hidden[0]:
        width = f"{context_dim} values" if context_dim else "none"
        raise RecipeError(
            f"context 'after' adds the context to the first hidden layer, of {hidden[0]} units; there are {width}",
            hint=f"give the flow posterior context: {hidden[0]}, or the flow context: before",
        )
