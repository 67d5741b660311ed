"""Sums and means of probabilities that are kept as logarithms."""

from __future__ import annotations

import math

from torch import Tensor


def log_mean_exp(log_values: Tensor, dim: int) -> Tensor:
    """log((1/n) Σ exp(log_values)) along ``dim``, shifted by the maximum so that nothing overflows.

    A slice that is −inf throughout gives −inf (a weight of zero), not NaN. n is the size of ``dim`` itself: the K that
    is subtracted is always the K that was drawn.
    """
    return log_values.logsumexp(dim) - math.log(log_values.shape[dim])
