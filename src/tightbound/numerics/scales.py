"""Smooth bounds for log-scales: a density cannot run away, and no gradient is cut off."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# So far above its high end a bound is that end, to 2 · 10⁻⁹; PyTorch's softplus ends there too.
_FAR = 20.0


def soft_floor(value: Tensor, low: float) -> Tensor:
    """Low + softplus(value − low): the identity far above ``low``, never below it, monotone."""
    return low + torch.nn.functional.softplus(value - low)


def soft_clamp(value: Tensor, low: float, high: float) -> Tensor:
    """Monotone, the identity well inside (low, high), and never outside.

    low + softplus(value − low) − softplus(value − high); off by softplus(−d) at a distance d inside either end.
    """
    softplus = torch.nn.functional.softplus
    return low + softplus(value - low) - softplus(value - high)


def exp_soft_clamp(value: Tensor, low: float, high: float) -> Tensor:
    """exp(soft_clamp(value, low, high)) of one exponential: (e^low + e^value) / (1 + e^(value − high))."""
    scale = value.clamp(max=high + _FAR).exp()
    return (math.exp(low) + scale) / (1 + scale * math.exp(-high))
