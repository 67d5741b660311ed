"""The laws themselves, as functions of a model: each raises AssertionError where the evidence contract is broken."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.numerics import log_mean_exp, standard_normal_log_prob

_HALF_WIDTH = 8.0
_ROWS_AT_ONCE = 200_000


def grid(dimensions: int, points: int) -> tuple[Tensor, float]:
    """The nodes (points^n, n) of a trapezoid rule on [−8, 8]ⁿ and the log of its cell volume.

    The integrands vanish at the ends, so the rule's end weights do not matter and it converges exponentially.
    """
    axis = torch.linspace(-_HALF_WIDTH, _HALF_WIDTH, points)
    nodes = torch.cartesian_prod(*[axis] * dimensions).reshape(-1, dimensions)
    return nodes, dimensions * math.log(2 * _HALF_WIDTH / (points - 1))


def log_integral(log_integrand: Callable[[Tensor], Tensor], dimensions: int, points: int) -> Tensor:
    """log ∫ exp(log_integrand(e)) de over [−8, 8]ⁿ; log_integrand maps (rows, n) to (rows, B)."""
    nodes, log_cell = grid(dimensions, points)
    with torch.no_grad():
        parts = [log_integrand(rows).logsumexp(0) for rows in nodes.split(_ROWS_AT_ONCE)]
    return torch.stack(parts).logsumexp(0) + log_cell


def contract_integral(model: Model, x: Tensor, points: int, *, stop_density: bool = False) -> Tensor:
    """log ∫ N(e) exp(log_weight(e)) de (B): what the contract says is log p(x)."""

    def log_integrand(rows: Tensor) -> Tensor:
        noise = rows.unsqueeze(1).expand(-1, len(x), -1)
        draw = model.draw(x, len(rows), noise=noise, stop_density=stop_density)
        return standard_normal_log_prob(noise) + draw.log_weight

    return log_integral(log_integrand, model.noise_size, points)


def evidence_on_grid(model: Model, x: Tensor, points: int) -> Tensor:
    """log ∫ p(ε) p(x | ε) dε (B) in flat coordinates: log p(x) without any posterior."""
    dimensions = model.groups[-1].slice.stop

    def log_integrand(rows: Tensor) -> Tensor:
        epsilon = rows.unsqueeze(1).expand(-1, len(x), -1)
        return model.log_prior(epsilon) + model.log_likelihood_at(x, epsilon)

    return log_integral(log_integrand, dimensions, points)


def contract_by_quadrature(model: Model, x: Tensor, points: tuple[int, int], *, stop_density: bool = False) -> None:
    """Law 1: the contract's integral equals log p(x) to 1e-6, two grids agreeing to 1e-7."""
    exact = model.log_evidence(x)
    if exact is None:
        exact = evidence_on_grid(model, x, points[1])
    coarse, fine = (contract_integral(model, x, n, stop_density=stop_density) for n in points)
    assert (coarse - fine).abs().max() < 1e-7, f"the grids disagree by {(coarse - fine).abs().max():.1e}"
    gap = (fine - exact).abs().max()
    assert gap < 1e-6, f"∫ N exp(log_weight) differs from log p(x) by {gap:.1e} nats"


def sampled_ratios(model: Model, x: Tensor, num_samples: int, seed: int = 0) -> Tensor:
    """r = exp(log_weight − log p(x)) (K, B), exact evidence needed."""
    exact = model.log_evidence(x)
    assert exact is not None
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        parts = [model.draw(x, 5_000, generator=generator).log_weight for _ in range(num_samples // 5_000)]
    return (torch.cat(parts) - exact).exp()


def contract_by_sampling(model: Model, x: Tensor, pareto_k: Callable[[Tensor], Tensor], num_samples: int) -> None:
    """Law 2: the mean weight over the evidence is 1, with weights even enough for the test to mean something."""
    ratios = sampled_ratios(model, x, num_samples)
    ess = ratios.sum(0).square() / ratios.square().sum(0) / len(ratios)
    assert ess.min() >= 0.3, f"precondition: ESS/K = {ess.min():.2f}; widen the base"
    shape = pareto_k(ratios.log())
    assert shape.max() < 0.5, f"precondition: Pareto k = {shape.max():.2f}; widen the base"
    error = ratios.std(0) / math.sqrt(len(ratios))
    assert error.max() < 0.005, f"standard error {error.max():.4f}"
    deviation = ((ratios.mean(0) - 1).abs() / error).max()
    assert deviation < 4, f"the mean weight is {deviation:.1f} standard errors off the evidence"


def bounds_are_ordered(log_weights: Tensor, bound: Callable[[Tensor, int], Tensor] = log_mean_exp) -> None:
    """Law 3, exact on any sample (K even): ELBO ≤ mean bound over halves ≤ bound."""
    elbo = log_weights.mean(0)
    halves = torch.stack([bound(half, 0) for half in log_weights.chunk(2)]).mean(0)
    whole = bound(log_weights, 0)
    assert bool((elbo <= halves).all()), "mean log-weight above the bound over halves"
    assert bool((halves <= whole).all()), "bound over halves above the bound of the whole"


def estimate_is_unbiased(estimate: Callable[[int], Tensor], exact: Tensor, repeats: int) -> None:
    """exp(estimate(seed) − log p(x)) (B) has mean 1 over seeds, within 4 standard errors."""
    ratios = torch.stack([(estimate(seed) - exact).exp() for seed in range(repeats)])
    error = ratios.std(0) / math.sqrt(repeats)
    deviation = ((ratios.mean(0) - 1).abs() / error).max()
    assert deviation < 4, f"the estimate is {deviation:.1f} standard errors off the evidence"


def k_is_honored(evaluate: Callable[[Model, Tensor, int], object], model: Model, x: Tensor, num_samples: int) -> None:
    """An evaluation at K draws K samples of every image, no more and no less."""
    drawn = 0
    original = model.draw

    def counting(x: Tensor, num_samples: int, **options: object):
        nonlocal drawn
        drawn += num_samples * len(x)
        return original(x, num_samples, **options)  # pyright: ignore[reportArgumentType]

    model.draw = counting  # pyright: ignore[reportAttributeAccessIssue]
    try:
        evaluate(model, x, num_samples)
    finally:
        del model.draw
    assert drawn == num_samples * len(x), f"{drawn} pairs drawn for K = {num_samples} of {len(x)} images"
