"""The logistic distribution in log space."""

from __future__ import annotations

import torch
from torch import Tensor


def logistic_log_mass(low: Tensor, gap: Tensor, first: Tensor, last: Tensor) -> Tensor:
    """log of the standard logistic's mass in a bin (low, low + gap); a first bin begins at −∞, a last ends at ∞.

    σ(a) − σ(b) = σ(a) σ(−b) (1 − e^{b−a}), so the logarithm is a sum of three terms that neither cancel nor underflow:
    far out in a tail, and in tiny and huge bins, value and gradient keep their relative accuracy. An edge bin lacks the
    term of the side it does not have, and the third.

    Args:
        low: b, any shape; the others broadcast with it.
        gap: a − b > 0, an argument of its own because the difference of two far ends would have lost it.
        first: bool, whether nothing lies below the bin.
        last: bool, whether nothing lies above; not both.
    """
    logsigmoid = torch.nn.functional.logsigmoid
    # Products with 0 and 1, not torch.where, which takes ten times as long on a CPU: every factor is finite.
    ends_below, ends_above = (~last).to(low.dtype), (~first).to(low.dtype)
    edges = logsigmoid(low + gap) * ends_below + logsigmoid(-low) * ends_above
    return edges + (-torch.expm1(-gap)).log() * (ends_below * ends_above)
