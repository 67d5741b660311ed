"""Smooth bounds for log-scales: a density cannot run away, and no gradient is cut off."""

from __future__ import annotations

import math

import torch
from torch import Tensor


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
    """exp(soft_clamp(value, low, high)) of one exponential: e^low + (e^high − e^low) · sigmoid(value − high)."""
    return math.exp(low) + (math.exp(high) - math.exp(low)) * torch.sigmoid(value - high)
