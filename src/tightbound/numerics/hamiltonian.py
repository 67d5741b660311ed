"""Hamiltonian dynamics: the library's only leapfrog step, and the Monte Carlo kernel made of it.

H(z, ρ) = −log f(z) + ρ²/2 with unit mass. Nothing here draws a random number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

Found = TypeVar("Found")


class Local(NamedTuple):
    """An unnormalized log-density at points z.

    Attributes:
        z: (*rows, D).
        log_density: (*rows) nats.
        slope: (*rows, D), its gradient.
        extra: what else was found there, tensors (*rows, ...); it follows the chain.
    """

    z: Tensor
    log_density: Tensor
    slope: Tensor
    extra: tuple[Tensor, ...] = ()


class Phase(NamedTuple):
    """The state of a chain: a place and a momentum (*rows, D)."""

    local: Local
    momentum: Tensor


class HMCInfo(NamedTuple):
    """What one transition did, (*rows) each.

    Attributes:
        acceptance: min(1, exp(−energy_error)), 0 where it is not finite.
        energy_error: H at the end of the trajectory minus H at its start.
        accepted: bool.
    """

    acceptance: Tensor
    energy_error: Tensor
    accepted: Tensor


Density = Callable[[Tensor], Local]


def leapfrog_step(
    z: Tensor,
    momentum: Tensor,
    slope: Tensor,
    step_size: float | Tensor,
    gradient_at: Callable[[Tensor], tuple[Found, Tensor]],
) -> tuple[Tensor, Tensor, Tensor, Found]:
    """Half a kick, a drift, one gradient, half a kick (Neal 2011, eqs. 5.18 to 5.20).

    Reversible, of unit Jacobian determinant, second order in the step size; differentiable if ``gradient_at`` is.

    Args:
        z: (*rows, D).
        momentum: ρ, (*rows, D).
        slope: the gradient of the log-density at z, (*rows, D).
        step_size: broadcasts with z.
        gradient_at: z -> (anything, gradient of the log-density), as ``numerics.gradient`` gives them.

    Returns:
        z, ρ and gradient at the end, and the anything found there.
    """
    half_step = 0.5 * step_size
    half = momentum + half_step * slope
    z = z + step_size * half
    found, slope = gradient_at(z)
    return z, half + half_step * slope, slope, found


def advance(phase: Phase, density: Density, step_size: float | Tensor) -> Phase:
    """One leapfrog step of a state; ``density`` may be differentiated through."""
    local, momentum = phase
    z, momentum, _, end = leapfrog_step(
        local.z, momentum, local.slope, step_size, lambda point: _with_slope(density(point))
    )
    return Phase(end._replace(z=z), momentum)


def hmc_step(
    phase: Phase,
    density: Density,
    *,
    step_size: float | Tensor,
    num_steps: int,
    noise: Tensor,
    log_uniform: Tensor,
    refresh: float = 1.0,
) -> tuple[Phase, HMCInfo]:
    """One transition that leaves f(z) N(ρ; 0, I) invariant: refresh the momentum, then Metropolis, then turn around.

    After a rejection the momentum points back, as invariance wants where it is kept in part (Horowitz 1991;
    Sohl-Dickstein & Culpepper 2012, HAIS). ``num_steps`` gradients.

    Args:
        phase: the state, its ``local`` of this very density.
        density: z -> ``Local``.
        step_size: broadcasts with z.
        num_steps: leapfrog steps.
        noise: standard normal (*rows, D), of the momentum.
        log_uniform: the logarithm of uniform numbers (*rows).
        refresh: ρ ← √(1 − refresh) ρ + √refresh noise.
    """
    phase = refresh_momentum(phase, noise, refresh)
    phase, info = metropolis_step(phase, density, step_size, num_steps, log_uniform)
    return turn(phase), info


def reversed_hmc_step(
    phase: Phase,
    density: Density,
    *,
    step_size: float | Tensor,
    num_steps: int,
    noise: Tensor,
    log_uniform: Tensor,
    refresh: float = 1.0,
) -> tuple[Phase, HMCInfo]:
    """The reversal of ``hmc_step``: f(s) T(s → s') = f(s') T̃(s' → s) for s = (z, ρ).

    Each of its three parts is its own reversal, so it is these in opposite order.
    """
    phase, info = metropolis_step(turn(phase), density, step_size, num_steps, log_uniform)
    return refresh_momentum(phase, noise, refresh), info


def refresh_momentum(phase: Phase, noise: Tensor, refresh: float) -> Phase:
    """ρ ← √(1 − refresh) ρ + √refresh noise."""
    if refresh == 1:
        return phase._replace(momentum=noise)
    return phase._replace(momentum=(1 - refresh) ** 0.5 * phase.momentum + refresh**0.5 * noise)


def turn(phase: Phase) -> Phase:
    """ρ ← −ρ."""
    return phase._replace(momentum=-phase.momentum)


def metropolis_step(
    phase: Phase, density: Density, step_size: float | Tensor, num_steps: int, log_uniform: Tensor
) -> tuple[Phase, HMCInfo]:
    """A trajectory with its momentum turned at the end, accepted with probability min(1, exp(−energy error)).

    The proposal is an involution of unit Jacobian, so the step is reversible. An end that is not finite is rejected; a
    start of zero density accepts any end of a finite one.
    """
    end = phase
    for _ in range(num_steps):
        end = advance(end, density, step_size)
    error = energy(end) - energy(phase)
    accepted = log_uniform < -error  # False for NaN
    momentum = _choose(accepted, -end.momentum, phase.momentum)
    chosen = Phase(_choose_local(accepted, end.local, phase.local), momentum)
    return chosen, HMCInfo(acceptance_of(error), error, accepted)


def acceptance_of(energy_error: Tensor) -> Tensor:
    """min(1, exp(−energy error)), 0 where it is not a number."""
    return (-energy_error).clamp(max=0.0).exp().nan_to_num(nan=0.0)


def energy(phase: Phase) -> Tensor:
    """H = −log f(z) + ρ²/2, (*rows)."""
    return 0.5 * phase.momentum.square().sum(-1) - phase.local.log_density


def _with_slope(local: Local) -> tuple[Local, Tensor]:
    return local, local.slope


def _choose_local(accepted: Tensor, new: Local, old: Local) -> Local:
    extra = tuple(_choose(accepted, a, b) for a, b in zip(new.extra, old.extra, strict=True))
    z, log_density, slope = (_choose(accepted, a, b) for a, b in zip(new[:3], old[:3], strict=True))
    return Local(z, log_density, slope, extra)


def _choose(accepted: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(accepted.reshape(accepted.shape + (1,) * (new.dim() - accepted.dim())), new, old)
