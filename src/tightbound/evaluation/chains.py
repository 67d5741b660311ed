"""Annealed chains of a tile of images, forward and in reverse: where the log-weights are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Model
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chunks import spans
from tightbound.evaluation.path import Ends, Path, Start, path_from
from tightbound.evaluation.units import keep
from tightbound.numerics import HMCInfo, Phase, Replayed, hmc_step, reversed_hmc_step

Kernel = Callable[..., tuple[Phase, HMCInfo]]


@dataclass(frozen=True, eq=False)
class Settings:
    """All that defines a run of annealing; frozen before any weighted chain begins.

    Args:
        temperatures: t_0 = 0 to t_{T−1} = 1.
        step_sizes: of the leapfrog at each temperature, T; the first and the last are never used.
        leapfrog_steps: L, of a transition.
        refresh: how much of the momentum is drawn anew before a transition, 0 < refresh ≤ 1.
        start: of the path.
    """

    temperatures: np.ndarray
    step_sizes: np.ndarray
    leapfrog_steps: int = 10
    refresh: float = 1.0
    start: Start = "prior"

    def __post_init__(self) -> None:
        t = self.temperatures
        assert len(t) >= 2
        assert (t[0], t[-1]) == (0, 1)
        assert (np.diff(t) > 0).all()
        assert len(self.step_sizes) == len(t)


class _State(NamedTuple):
    """Of chains (K, B) of a call: where they are, what is found there, and their momenta."""

    u: Tensor
    ends: Ends
    momentum: Tensor


class _Call:
    """Chains that are evaluated together."""

    def __init__(self, path: Path, chains: slice, rows: slice) -> None:
        self.path, self.at = path, (chains, rows)
        self._state: _State | None = None
        self._transitions: dict[tuple[Kernel, int, float], Callable[..., tuple[Tensor, ...]]] = {}

    @property
    def state(self) -> _State:
        assert self._state is not None, "begin first"
        return self._state

    def begin(self, u: Tensor, momentum: Tensor) -> None:
        self._state = _State(u, self.path.ends(u), momentum)

    def step(
        self,
        kernel: Kernel,
        temperature: float | Tensor,
        step_size: float | Tensor,
        settings: Settings,
        noise: tuple[Tensor, Tensor],
        pool: Any,
    ) -> Tensor:
        """One transition; the probabilities of acceptance."""
        key = (kernel, settings.leapfrog_steps, settings.refresh)
        if key not in self._transitions:
            function = partial(_transition, self.path, *key)
            self._transitions[key] = function if pool is None else Replayed(function, pool)
        u, ends, momentum = self.state
        u, momentum, acceptance, *found = self._transitions[key](u, momentum, temperature, step_size, *noise, *ends)
        self._state = _State(u, Ends(*found), momentum)
        return acceptance


def _transition(
    path: Path,
    kernel: Kernel,
    leapfrog_steps: int,
    refresh: float,
    u: Tensor,
    momentum: Tensor,
    temperature: float | Tensor,
    step_size: float | Tensor,
    normal: Tensor,
    log_uniform: Tensor,
    *ends: Tensor,
) -> tuple[Tensor, ...]:
    phase, info = kernel(
        Phase(Ends(*ends).at(u, temperature), momentum),
        path.density(temperature),
        step_size=step_size,
        num_steps=leapfrog_steps,
        noise=normal,
        log_uniform=log_uniform,
        refresh=refresh,
    )
    return phase.local.z, phase.momentum, info.acceptance, *phase.local.extra


class Chains:
    """K chains of each of B images, evaluated a budget of pairs at a time.

    Args:
        model: in eval mode.
        x: (B, C, H, W); each image is encoded once.
        start: of the path.
        num_chains: K.
        chunk: (image, chain) pairs in one evaluation.
    """

    def __init__(self, model: Model, x: Tensor, start: Start, num_chains: int, chunk: int) -> None:
        self.num_chains, self.num_images, self.like = num_chains, len(x), x
        images = min(len(x), max(1, chunk))
        paths = [(slice(r.start, r.stop), x[r.start : r.stop]) for r in spans(0, len(x), images)]
        chains = [slice(k.start, k.stop) for k in spans(0, num_chains, max(1, chunk // images))]
        self._calls = [
            _Call(path, part, rows)
            for rows, path in [(rows, path_from(start, model, part)) for rows, part in paths]
            for part in chains
        ]
        self._pool = torch.cuda.graph_pool_handle() if x.is_cuda else None

    def begin(self, noise: ChainNoise) -> None:
        """Every chain at a point of f_0."""
        drawn = noise.collect(self._calls[0].path.draw)
        self._begin(lambda call: call.path.place(drawn[call.at].contiguous()), noise)

    def begin_at(self, u: Float[Tensor, "K B U"], noise: ChainNoise) -> None:
        """Every chain at a given point."""
        self._begin(lambda call: u[call.at].contiguous(), noise)

    def _begin(self, where: Callable[[_Call], Tensor], noise: ChainNoise) -> None:
        momentum = None
        for call in self._calls:
            u = where(call)
            momentum = noise.normal(u.shape[-1]) if momentum is None else momentum
            call.begin(u, momentum[call.at])

    @property
    def delta(self) -> Float[Tensor, "K B"]:
        """δ of every chain, float64, as the last transition left it: no evaluation of the model."""
        return self._gather([keep(call.state.ends.delta) for call in self._calls])

    def step(
        self, kernel: Kernel, temperature: float, step_size: float, settings: Settings, noise: ChainNoise
    ) -> Float[Tensor, "K B"]:
        """One transition of every chain; the probability of acceptance of each."""
        normal, log_uniform = noise.normal(self._calls[0].state.u.shape[-1]), noise.log_uniform()
        t, size = self._scalar(temperature), self._scalar(step_size)
        return self._gather(
            [
                call.step(kernel, t, size, settings, (normal[call.at], log_uniform[call.at]), self._pool)
                for call in self._calls
            ]
        )

    def _scalar(self, value: float) -> float | Tensor:
        """As a recorded transition takes it: a number would be recorded with it."""
        if self._pool is None:
            return value
        return torch.full((), value, dtype=self.like.dtype, device=self.like.device)

    def _gather(self, parts: list[Tensor]) -> Tensor:
        whole = parts[0].new_empty(self.num_chains, self.num_images)
        for call, part in zip(self._calls, parts, strict=True):
            whole[call.at] = part
        return whole


class Trace:
    """Means over images and chains of what happens at each temperature, of all tiles.

    Attributes:
        acceptance: (T) sums; of temperatures without a transition 0.
        variance: (T) sums over images of the variance over chains of the log-weight accumulated so far.
        images: how many images.
    """

    def __init__(self, num_temperatures: int) -> None:
        self.acceptance, self.variance = np.zeros(num_temperatures), np.zeros(num_temperatures)
        self.images = 0

    def transition(self, index: int, acceptance: Tensor) -> None:
        """Takes in the transition at a temperature."""
        self.acceptance[index] += float(acceptance.double().mean(0).sum())

    def increment(self, index: int, log_weights: Tensor) -> None:
        """Takes in the log-weights after the increment that leads to a temperature."""
        self.variance[index] += float(log_weights.var(0).sum()) if len(log_weights) > 1 else np.nan

    def add(self, tile: Trace) -> None:
        """Takes in another tile's."""
        self.acceptance += tile.acceptance
        self.variance += tile.variance
        self.images += tile.images

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Acceptance and variance of every temperature."""
        return self.acceptance / self.images, self.variance / self.images


def walk(
    chains: Chains,
    settings: Settings,
    noise: ChainNoise,
    *,
    reverse: bool = False,
    trace: Trace | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Float[Tensor, "K B"]:
    """Log-weights of chains that have begun: at t = 0, or in reverse at t = 1.

    Forward (Neal 2001, eqs. 3 to 11), log w = Σ_j (t_{j+1} − t_j) δ(u_j): each increment at the point where the chain
    stands, then a transition at t_{j+1}, none at t = 1. E[w] = p(x).

    In reverse (Grosse et al. 2015, section 3.1), from an exact posterior point: the same sum, the increments in
    opposite order, each followed by the reversal of the transition at t_j, none at t = 0. E[1/w] = 1/p(x).

    Args:
        chains: begun.
        settings: frozen.
        noise: of the transitions.
        reverse: which way.
        trace: takes in what happens.
        tick: called after every increment.
    """
    t, last = settings.temperatures, len(settings.temperatures) - 1
    kernel = reversed_hmc_step if reverse else hmc_step
    log_weights = torch.zeros_like(chains.delta)
    for j in range(last - 1, -1, -1) if reverse else range(last):
        log_weights += float(t[j + 1] - t[j]) * chains.delta
        at = j if reverse else j + 1
        if trace is not None:
            trace.increment(at, log_weights)
        if 0 < at < last:
            acceptance = chains.step(kernel, float(t[at]), float(settings.step_sizes[at]), settings, noise)
            if trace is not None:
                trace.transition(at, acceptance)
        tick()
    if trace is not None:
        trace.images += chains.num_images
    return log_weights
