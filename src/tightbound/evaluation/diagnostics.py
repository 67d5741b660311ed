"""What K log-weights say about the number they give: effective samples, errors, intervals, the bound's curve in K.

All functions take log-weights [K samples, *images] in nats, reduce the first axis, and work in float64.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tightbound.evaluation.pareto import PARETO_K_LIMIT
from tightbound.numerics import log_mean_exp

ACTIVE_VARIANCE = 0.01


def ess(log_weights: Float[Tensor, " K *batch"]) -> Float[Tensor, "*batch"]:
    """Kish's effective sample size (Σ w)² / Σ w², between 1 and K; 0 if every weight is zero."""
    log_weights = log_weights.double()
    size = (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()
    return torch.where(log_weights.amax(0) == -math.inf, 0.0, size)


def delta_standard_error(log_weights: Float[Tensor, " K *batch"]) -> Float[Tensor, "*batch"]:
    """Standard error of log p̂ = log((1/K) Σ w_k) by the delta method.

    d log p̂ = dp̂ / p̂, so it is the relative error of the mean. With s² = Σ (w_k − p̂)² / (K − 1) and
    Σ w_k² = (K p̂)² / ESS,

        se² = s² / (K p̂²) = (Σ w_k² − K p̂²) / (K (K − 1) p̂²) = K/(K − 1) · (1/ESS − 1/K).

    It never exceeds 1, however bad the weights: ``jackknife_standard_error`` is the default for this reason.

    Returns:
        Nats; NaN for K = 1 or if every weight is zero.
    """
    num_samples = log_weights.shape[0]
    if num_samples == 1:
        return _undefined(log_weights)
    excess = (1 / ess(log_weights) - 1 / num_samples).clamp(min=0.0)
    return torch.where(excess.isinf(), math.nan, (excess * num_samples / (num_samples - 1)).sqrt())


def jackknife_standard_error(log_weights: Float[Tensor, " K *batch"]) -> Float[Tensor, "*batch"]:
    """Standard error of log p̂ by leaving out one sample at a time.

    With w̄_k = w_k / Σ w, the estimate without sample k is θ_k = log p̂ + log(1 − w̄_k) + log(K/(K − 1)), and

        se² = (K − 1)/K · Σ_k (θ_k − mean θ)².

    Where one weight dominates, log(1 − w̄) is taken from the other weights: the error grows with the gap, as it should.

    Returns:
        Nats; NaN for K = 1 or if every weight is zero; inf if only one weight is not zero.
    """
    num_samples = log_weights.shape[0]
    if num_samples == 1:
        return _undefined(log_weights)
    log_weights = log_weights.double()
    log_share = log_weights - log_weights.logsumexp(0)
    left_out = torch.log1p(-log_share.exp())
    largest = log_share.argmax(0, keepdim=True)
    others = log_share.scatter(0, largest, -math.inf).logsumexp(0, keepdim=True)
    left_out = left_out.scatter(0, largest, others)
    variance = (left_out - left_out.mean(0)).square().sum(0) * ((num_samples - 1) / num_samples)
    alone = (others == -math.inf).squeeze(0) & (log_share.amax(0) == 0)
    return torch.where(alone, math.inf, variance.sqrt())


def intervals(
    log_likelihood: Float[Tensor, " n"],
    standard_error: Float[Tensor, " n"],
    k: Float[Tensor, " n"],
    num_samples: int,
) -> Float[Tensor, "n 2"]:
    """95 % interval of each image's log p(x); NaN where k̂ is above 0.7 or unknown.

    Student's t with K − 1 degrees of freedom around log p̂, whose upper end is raised by se²/2: to second order
    E[log p̂] = log p − se²/2, and the interval should hold log p as well as the bound.
    """
    width = _quantile(num_samples - 1) * standard_error
    low, high = log_likelihood - width, log_likelihood + width + 0.5 * standard_error.square()
    trusted = (k <= PARETO_K_LIMIT) & high.isfinite()
    return torch.where(trusted.unsqueeze(-1), torch.stack([low, high], dim=-1), math.nan)


def interval_of_mean(
    log_likelihood: Float[Tensor, " n"],
    standard_error: Float[Tensor, " n"],
    k: Float[Tensor, " n"],
    num_samples: int,
) -> tuple[float, float] | None:
    """95 % interval of the mean of log p(x) over these very images: the Monte Carlo error alone.

    As ``intervals``, with standard error √(Σ se²)/n and the mean of se²/2. The images' errors average out, the bias
    does not: with many images it is the larger part.

    Returns:
        (low, high), or None if k̂ is above 0.7 or unknown in any image, since such an image's error is not known.
    """
    n = len(log_likelihood)
    width = _quantile(n * (num_samples - 1)) * standard_error.square().sum().sqrt() / n
    center, bias = log_likelihood.mean(), 0.5 * standard_error.square().mean()
    low, high = float(center - width), float(center + width + bias)
    if not bool((k <= PARETO_K_LIMIT).all()) or not math.isfinite(high):
        return None
    return low, high


def curve_samples(num_samples: int) -> list[int]:
    """1, 10, 100, … below K, and K."""
    powers = [10**i for i in range(len(str(num_samples)))]
    return [*(power for power in powers if power < num_samples), num_samples]


def bound_curve(log_weights: Float[Tensor, " K *batch"]) -> Float[Tensor, " points *batch"]:
    """The importance bound at every number of samples in ``curve_samples(K)``, from the same K draws.

    At K' it is the mean over the ⌊K/K'⌋ disjoint groups of log((1/K') Σ w): each group is an honest bound of K'
    samples, and their mean varies less than any one of them.
    """
    num_samples, batch = log_weights.shape[0], log_weights.shape[1:]
    points = []
    for size in curve_samples(num_samples):
        groups = log_weights[: num_samples // size * size].double().reshape(-1, size, *batch)
        points.append(log_mean_exp(groups, 1).mean(0))
    return torch.stack(points)


def variance_of_means(
    total: Float[Tensor, " units"],
    total_square: Float[Tensor, " units"],
    total_error: Float[Tensor, " units"],
    num_images: int,
) -> Float[Tensor, " units"]:
    """Var_x(E_q[z | x]) of every latent unit, from sums over images.

    Burda et al. 2016 (IWAE), section 5. A mean of K samples varies by Var_q(z)/K on its own; that part is subtracted,
    or with few samples every collapsed unit would look alive.

    Args:
        total: Σ_x m, with m the (estimated) posterior mean of an image.
        total_square: Σ_x m².
        total_error: Σ_x of the squared standard error of m; 0 where m is exact.
        num_images: n ≥ 2.
    """
    spread = (total_square - total.square() / num_images) / (num_images - 1)
    return spread - total_error / num_images


def active_mask(variance: Float[Tensor, " units"]) -> Bool[Tensor, " units"]:
    """Which units' posterior mean varies over images by more than 0.01 (Burda et al. 2016)."""
    return variance > ACTIVE_VARIANCE


def active_units(variance: Float[Tensor, " units"]) -> int:
    """The number of units in ``active_mask``."""
    return int(active_mask(variance).sum())


def _quantile(degrees: int) -> float:
    from scipy.special import stdtrit  # a tenth of a second, for who only looks at a recipe

    return float(stdtrit(degrees, 0.975)) if degrees > 0 else math.nan


def _undefined(log_weights: Tensor) -> Tensor:
    return torch.full(log_weights.shape[1:], math.nan, dtype=torch.float64, device=log_weights.device)
