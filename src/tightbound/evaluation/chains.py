"""Annealed chains of a tile of images, forward and in reverse: where the log-weights are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Model
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chunks import spans
from tightbound.evaluation.path import Ends, Path, Start, path_from
from tightbound.evaluation.units import keep
from tightbound.numerics import HMCInfo, Phase, hmc_step, reversed_hmc_step

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


@dataclass
class _Call:
    """Chains that are evaluated together."""

    path: Path
    chains: slice
    rows: slice
    phase: Phase | None = None


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

    def begin(self, noise: ChainNoise) -> None:
        """Every chain at a point of f_0."""
        drawn = noise.collect(self._calls[0].path.draw)
        self._begin(lambda call: call.path.place(drawn[call.chains, call.rows].contiguous()), noise)

    def begin_at(self, u: Float[Tensor, "K B U"], noise: ChainNoise) -> None:
        """Every chain at a given point."""
        self._begin(lambda call: u[call.chains, call.rows].contiguous(), noise)

    def _begin(self, where: Callable[[_Call], Tensor], noise: ChainNoise) -> None:
        momentum = None
        for call in self._calls:
            u = where(call)
            momentum = noise.normal(u.shape[-1]) if momentum is None else momentum
            call.phase = Phase(call.path.ends(u).at(u, 0.0), momentum[call.chains, call.rows])

    @property
    def delta(self) -> Float[Tensor, "K B"]:
        """δ of every chain, float64, as the last transition left it: no evaluation of the model."""
        return self._gather(lambda call, phase: keep(phase.local.extra[1]))

    def step(
        self, kernel: Kernel, temperature: float, step_size: float, settings: Settings, noise: ChainNoise
    ) -> Float[Tensor, "K B"]:
        """One transition of every chain; the probability of acceptance of each."""
        found: list[Tensor] = []
        normal, log_uniform = noise.normal(self._size), noise.log_uniform()
        for call, phase in self._phases():
            at = (call.chains, call.rows)
            local = Ends(*phase.local.extra).at(phase.local.z, temperature)
            call.phase, info = kernel(
                phase._replace(local=local),
                call.path.density(temperature),
                step_size=step_size,
                num_steps=settings.leapfrog_steps,
                noise=normal[at],
                log_uniform=log_uniform[at],
                refresh=settings.refresh,
            )
            found.append(info.acceptance)
        values = iter(found)
        return self._gather(lambda call, phase: next(values))

    @property
    def _size(self) -> int:
        return next(self._phases())[1].momentum.shape[-1]

    def _phases(self) -> Iterator[tuple[_Call, Phase]]:
        for call in self._calls:
            assert call.phase is not None, "begin first"
            yield call, call.phase

    def _gather(self, of: Callable[[_Call, Phase], Tensor]) -> Tensor:
        parts = [(call, of(call, phase)) for call, phase in self._phases()]
        whole = parts[0][1].new_empty(self.num_chains, self.num_images)
        for call, part in parts:
            whole[call.chains, call.rows] = part
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
