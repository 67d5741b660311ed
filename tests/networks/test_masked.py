"""Masked networks by hand. What each output may see is tested with the flows, by the Jacobian."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import elu, linear

from tightbound.networks.masked import MADE, ContextMode


@pytest.mark.parametrize("context", ["before", "after"])
@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_context_enters_the_first_layer_in_either_way(context: ContextMode, normalization) -> None:
    """ELU(norm(W z + b + C c)), or ELU(norm(W z + b)) + c: the two ways of the published IAF code."""
    network = MADE(
        3, 5, 2, hidden=(5, 4), activation="elu", normalization=normalization, context=context, reverse=False
    ).double()
    z, c = torch.randn(6, 7, 3), torch.randn(7, 5)
    first, second, last = *network.layers, network.output
    norms = [*network.norms, network.output_norm]

    def normalized(index: int, h: torch.Tensor) -> torch.Tensor:
        if normalization == "none":
            return h
        mean, variance = h.mean((0, 1)), h.var((0, 1), correction=0)
        return (h - mean) / (variance + norms[index].eps).sqrt()

    def affine(layer, h: torch.Tensor) -> torch.Tensor:
        return linear(h, layer.weight * layer.mask, layer.bias)

    h = affine(first, z)
    if context == "before":
        h = elu(normalized(0, h + c @ network.context.weight.T))  # pyright: ignore
    else:
        h = elu(normalized(0, h)) + c
    h = elu(normalized(1, affine(second, h)))
    torch.testing.assert_close(network(z, c), normalized(2, affine(last, h)))
