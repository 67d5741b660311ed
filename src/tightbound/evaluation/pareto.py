"""Pareto k̂: how heavy the right tail of the importance weights is, and so whether their mean can be trusted."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

PARETO_K_LIMIT = 0.7
_LOG_TINY = math.log(torch.finfo(torch.float64).tiny)
_FLAT = 1e-3  # nats
_ROWS_AT_ONCE = 64


def pareto_k(log_weights: Float[Tensor, " K *batch"]) -> Float[Tensor, "*batch"]:
    """The shape k̂ of a generalized Pareto distribution fitted to the largest weights of each image.

    The weights have about 1/k finite moments. Vehtari et al., "Pareto smoothed importance sampling" (JMLR 2024): up to
    0.7 the mean and its standard error can be used; above, the error is understated and K samples are too few. The tail
    is the ⌈min(K/5, 3√K)⌉ largest weights; the fit is Zhang and Stephens (2009) with a weakly informative prior,
    (n k̂ + 10 · 0.5)/(n + 10). It equals ``arviz.psislw`` wherever a tail can be fitted.

    Where arviz has no answer but infinity, three cases are told apart, since a good proposal must not raise the alarm:

    - NaN: K ≤ 20, too few samples to judge.
    - −inf: the largest weight exceeds the cutoff by less than 0.1 %; there is no tail, as when q(z | x) = p(z | x).
      (Rounding to float32 makes ties of such weights.)
    - +inf: fewer than 5 weights in the tail, the others are zero or tied; or every weight is zero.

    Args:
        log_weights: K log-weights of each image, nats; −inf is a weight of zero.

    Returns:
        k̂, float64.
    """
    num_samples, batch = log_weights.shape[0], log_weights.shape[1:]
    tail_size = math.ceil(min(num_samples / 5, 3 * math.sqrt(num_samples)))
    rows = log_weights.reshape(num_samples, -1).T.double()
    if tail_size <= 4:
        return rows.new_full(batch, math.nan)
    top = rows.topk(tail_size + 1, dim=-1).values  # descending
    largest = top[:, :1]
    top = torch.where(largest.isinf(), -math.inf, top - largest)
    cutoff = top[:, -1:].clamp(min=_LOG_TINY)
    excess = top[:, :-1].exp() - cutoff.exp()
    lengths = (excess > 0).sum(-1)
    k = rows.new_full((rows.shape[0],), math.inf)
    for length in lengths.unique().tolist():  # one length, unless weights are tied or vanish
        if length > 4:
            chosen = (lengths == length).nonzero().squeeze(-1)
            for part in chosen.split(_ROWS_AT_ONCE):
                k[part] = _fit_shape(excess[part, :length].flip(-1))
    k[(top[:, :1] - top[:, -1:] < _FLAT).squeeze(-1)] = -math.inf
    return k.reshape(batch)


def _fit_shape(tail: Tensor) -> Tensor:
    """Zhang and Stephens (2009), "A new and efficient estimation method for the generalized Pareto distribution".

    The profile likelihood of b = −k/σ on a grid, and k at the posterior mean of b; one row is one image.

    Args:
        tail: (rows, n) positive excesses, ascending.

    Returns:
        (rows) k, +inf where no fit exists.
    """
    n = tail.shape[-1]
    grid_size = 30 + int(math.sqrt(n))
    quartile, largest = tail[:, int(n / 4 + 0.5) - 1, None], tail[:, -1, None]
    steps = torch.arange(1, grid_size + 1, dtype=tail.dtype, device=tail.device)
    b = 1 / largest + (1 - torch.sqrt(grid_size / (steps - 0.5))) / (3 * quartile)
    k = _mean_log1p(-b, tail)
    log_profile = (n * (torch.log(-b / k) - k - 1)).nan_to_num(nan=-math.inf)
    weight = log_profile.softmax(-1)
    weight = torch.where(weight < 10 * torch.finfo(tail.dtype).eps, 0.0, weight)
    mean_b = (weight * b).nan_to_num().sum(-1, keepdim=True) / weight.sum(-1, keepdim=True)
    fitted = _mean_log1p(-mean_b, tail).squeeze(-1)
    shape = (n * fitted + 10 * 0.5) / (n + 10)
    return shape.nan_to_num(nan=math.inf)


def _mean_log1p(slope: Tensor, tail: Tensor) -> Tensor:
    """Mean over the tail of log(1 + slope · tail): (rows, m), (rows, n) -> (rows, m)."""
    return torch.log1p(slope.unsqueeze(-1) * tail.unsqueeze(-2)).mean(-1)
