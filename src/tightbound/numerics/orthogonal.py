"""Matrices with orthonormal columns, from vectors that are free."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def orthonormal_columns(matrix: Float[Tensor, "*batch D M"]) -> Float[Tensor, "*batch D M"]:
    """The Q of a QR factorization: orthonormal to rounding error, for any matrix of full rank."""
    return torch.linalg.qr(matrix).Q


def reflections(vectors: Float[Tensor, "*batch H D"]) -> Float[Tensor, "*batch D D"]:
    """The product of the Householder reflections I − 2 v vᵀ/|v|²: orthogonal for any vectors that are not zero."""
    unit = vectors / vectors.norm(dim=-1, keepdim=True)
    size = vectors.shape[-1]
    product = torch.eye(size, dtype=vectors.dtype, device=vectors.device).expand(*vectors.shape[:-2], size, size)
    for v in unit.unbind(-2):
        product = product - 2 * (product @ v.unsqueeze(-1)) * v.unsqueeze(-2)
    return product
