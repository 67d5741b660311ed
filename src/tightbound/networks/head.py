"""From an encoder's features to the parameters of a posterior or a flow."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tightbound.errors import RecipeError
from tightbound.networks.affine import Affine

HeadNormalization = Literal["none", "weight", "batch"]


class Head(Affine):
    """An affine map (B, F) -> (B, out), or one trained vector for every image when F = 0 (nothing is amortized).

    Args:
        feature_dim: F.
        out: how many parameters.
        zero: start with a weight of zeros, which cannot be weight-normalized.
        normalization: ``"weight"`` (w = g v / |v| per output), ``"batch"`` (over the images, in place of the bias; its
            owner then declares ``capabilities``) or ``"none"``.

    Raises:
        RecipeError: a normalization where F = 0, on which it would have no effect.
    """

    def __init__(
        self, feature_dim: int, out: int, *, zero: bool = False, normalization: HeadNormalization = "none"
    ) -> None:
        super().__init__()
        _check(feature_dim, normalization)
        assert not (zero and normalization == "weight"), "zeros have no direction"
        self.capabilities = frozenset({"batch_dependent"}) if normalization == "batch" else frozenset[str]()
        self.register_parameter("bias", None if normalization == "batch" else nn.Parameter(torch.zeros(out)))
        if feature_dim:
            weight = torch.zeros(out, feature_dim)
            self.weight = nn.Parameter(weight if zero else nn.init.xavier_uniform_(weight))
        else:
            self.register_parameter("weight", None)
        if normalization == "weight":
            weight_norm(self, dim=0)  # in place
        self.normalization = nn.BatchNorm1d(out) if normalization == "batch" else None

    def forward(self, features: Tensor) -> Tensor:
        """(B, F) -> (B, out)."""
        if self.weight is None:
            assert self.bias is not None
            return self.bias.expand(features.shape[0], -1)
        outputs = nn.functional.linear(features, self.weight, self.bias)
        return outputs if self.normalization is None else self.normalization(outputs)


def _check(feature_dim: int, normalization: HeadNormalization) -> None:
    if normalization != "none" and not feature_dim:
        raise RecipeError(
            f"normalization {normalization!r} has no effect on a posterior that is the same for every image",
            hint="give model.encoder, or normalization: none",
        )
