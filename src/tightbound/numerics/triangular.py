"""Triangular matrices from flat vectors."""

from __future__ import annotations

import torch
from torch import Tensor


def num_strictly_lower(size: int) -> int:
    """The number of entries below the diagonal of a size × size matrix."""
    return size * (size - 1) // 2


def unit_lower(entries: Tensor, size: int) -> Tensor:
    """Lower triangular matrices with ones on the diagonal.

    Args:
        entries: (*batch, size·(size − 1)/2), row by row.
        size: rows and columns.

    Returns:
        (*batch, size, size).
    """
    rows, columns = torch.tril_indices(size, size, offset=-1, device=entries.device).unbind()
    matrix = torch.eye(size, dtype=entries.dtype, device=entries.device).expand(*entries.shape[:-1], size, size)
    flat = matrix.reshape(*entries.shape[:-1], size * size)
    index = (rows * size + columns).expand(entries.shape)
    return flat.scatter(-1, index, entries).unflatten(-1, (size, size))
