"""From an encoder's features to the parameters of a posterior or a flow."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Head(nn.Module):
    """An affine map (B, F) -> (B, out), or one trained vector for every image when F = 0 (nothing is amortized)."""

    def __init__(self, feature_dim: int, out: int, *, zero: bool = False) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(out))
        if feature_dim:
            weight = torch.zeros(out, feature_dim)
            self.weight = nn.Parameter(weight if zero else nn.init.xavier_uniform_(weight))
        else:
            self.register_parameter("weight", None)

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) -> (B, out)."""
        if self.weight is None:
            return self.bias.expand(features.shape[0], -1)
        return nn.functional.linear(features, self.weight, self.bias)
