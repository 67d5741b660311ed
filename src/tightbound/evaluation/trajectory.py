"""Trajectories of images through the latent space: a Hamiltonian posterior's own, or Hamiltonian Monte Carlo's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Encoding, Model
from tightbound.evaluation.checks import evaluating
from tightbound.evaluation.path import path_from
from tightbound.evaluation.pilot import FIRST_STEP, gain_of
from tightbound.numerics import Density, Phase, acceptance_of, advance, energy, generator_for, hmc_step

TARGET_ACCEPTANCE = 0.65
_TUNING = 60  # transitions of all images, whose step sizes' logarithms are averaged over the last half


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Where B images come past, P points of each.

    Args:
        epsilon: (P, B, E) flat coordinates.
        energy_error: (P, B) nats, H at the point minus H at the start, as far as the leapfrog made it.
        step_size: of the leapfrog: one for each latent unit, or one.
        num_steps: of the leapfrog; a point after these is where the posterior's flows carry the last of them.
        own: whether the posterior itself goes there; else it is Hamiltonian Monte Carlo from a sample of the posterior.
    """

    epsilon: Tensor
    energy_error: Tensor
    step_size: Tensor
    num_steps: int
    own: bool

    @property
    def acceptance(self) -> Float[Tensor, " B"]:
        """min(1, exp(−energy error)) at the end: with what probability a Metropolis test would accept it."""
        return acceptance_of(self.energy_error[-1])


def trajectories(
    model: Model, x: Float[Tensor, "B C H W"], num_steps: int, *, index: Sequence[int], seed: int = 0
) -> Trajectories:
    """One trajectory for each image, in eval mode.

    A Hamiltonian posterior goes its own K steps and then through its flows, if it has any; of one whose base is another
    these are the outer steps alone. From a sample of any other, and of one that has flows and no step,
    Hamiltonian Monte Carlo in flat coordinates with unit mass takes ``num_steps`` steps, whose size was tuned for an
    acceptance of 0.65 by 60 transitions of these images.

    Args:
        model: any.
        x: (B, C, H, W), in the model's precision.
        num_steps: of Hamiltonian Monte Carlo.
        index: of the images in their split (B): an image's random numbers depend on the seed and on it alone.
        seed: of the posterior samples and of all momenta.
    """
    generators = [generator_for(seed, "trajectory", i, device=x.device) for i in index]
    with evaluating(model):
        encoding = model.encode(x)
        start = _normal(generators, model.noise_size, x)
        posterior: Any = getattr(model, "posterior", None)
        if hasattr(posterior, "trajectory") and posterior.steps:
            return _own(model, posterior, x, encoding, start)
        (epsilon,) = model.epsilon_of(*model.draw(x, 1, encoding=encoding, noise=start).latents)
        return _monte_carlo(model, x, encoding, epsilon.unsqueeze(0), num_steps, generators)


def _own(model: Any, posterior: Any, x: Tensor, encoding: Encoding, noise: Tensor) -> Trajectories:
    places, errors = posterior.trajectory(encoding.features, noise, model.target(x, encoding))
    epsilon, step_size = model.epsilon_of(places[:, 0]), posterior.step_sizes.detach()
    return Trajectories(epsilon, errors[:, 0], step_size, posterior.steps, own=True)


def _monte_carlo(
    model: Model, x: Tensor, encoding: Encoding, start: Tensor, num_steps: int, generators: Sequence[torch.Generator]
) -> Trajectories:
    density = path_from("prior", model, x, encoding).density(1.0)
    step_size = _tuned(density, start, num_steps, generators)
    phase = Phase(density(start), _normal(generators, start.shape[-1], x))
    first = energy(phase)
    places, errors = [start], [torch.zeros_like(first)]
    for _ in range(num_steps):
        phase = advance(phase, density, step_size)
        places.append(phase.local.z)
        errors.append(energy(phase) - first)
    return Trajectories(torch.cat(places), torch.cat(errors), start.new_tensor(step_size), num_steps, own=False)


def _tuned(density: Density, start: Tensor, num_steps: int, generators: Sequence[torch.Generator]) -> float:
    """A step size for which about 0.65 of the transitions are accepted: stochastic approximation, as in the pilot."""
    phase = Phase(density(start), torch.zeros_like(start))
    log_step, tried = math.log(FIRST_STEP), []
    for attempt in range(_TUNING):
        noise = _normal(generators, start.shape[-1], start)
        uniform = torch.stack([torch.rand((), generator=g, device=start.device, dtype=start.dtype) for g in generators])
        options = {"step_size": math.exp(log_step), "num_steps": num_steps}
        phase, info = hmc_step(phase, density, noise=noise, log_uniform=uniform.log().unsqueeze(0), **options)
        log_step += gain_of(attempt) * (float(info.acceptance.double().mean()) - TARGET_ACCEPTANCE)
        tried.append(log_step)
    last = tried[_TUNING // 2 :]
    return math.exp(sum(last) / len(last))


def _normal(generators: Sequence[torch.Generator], size: int, like: Tensor) -> Float[Tensor, "1 B N"]:
    """Standard-normal numbers, a row from each generator."""
    given = {"device": like.device, "dtype": like.dtype}
    return torch.stack([torch.randn(size, generator=generator, **given) for generator in generators]).unsqueeze(0)
