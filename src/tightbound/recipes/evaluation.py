"""The `evaluation:` section of a recipe: each method with its keys, and how it is called.

A new evaluator is one registered class here whose call returns an ``Estimate``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt

from tightbound.core import Model
from tightbound.evaluation import Annealing, Estimate, Source, annealed, bidirectional, importance
from tightbound.registry import register
from tightbound.training import autocast

SplitName = Literal["test", "validation", "train"]
Checkpoint = Literal["auto", "last", "best"]
Progress = Callable[[float, int], None] | None


@register("evaluation", "importance")
@dataclass(frozen=True, kw_only=True)
class Importance:
    """Importance sampling: a lower bound on log p(x) that tightens with the samples.

    Args:
        samples: K an image.
        split: of the data.
        limit: the first so many images only; null for all.
        seed: of the samples and of the pixels' own noise.
        checkpoint: weights; ``auto`` is the best on validation images where some were kept apart, else the last.
        precision: of the network bodies; ``bf16`` is quicker where the processor has it, and a bound of the model so
            rounded. Densities and weights are float32 or better in any case.
    """

    samples: Annotated[int, Ge(1)] = 1000
    split: SplitName = "test"
    limit: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    checkpoint: Checkpoint = "auto"
    precision: Literal["float32", "bf16"] = "float32"

    def __call__(
        self, model: Model, source: Source, *, is_likelihood: bool = True, progress: Progress = None
    ) -> Estimate:
        """The estimate on ``source``; see ``evaluation.importance``."""
        rounded = self.precision == "bf16"
        with autocast(model, torch.bfloat16 if rounded else None):
            estimate = importance(
                model,
                source,
                self.samples,
                seed=self.seed,
                limit=self.limit,
                is_likelihood=is_likelihood,
                progress=progress,
            )
        return replace(estimate, precision=self.precision) if rounded else estimate


@dataclass(frozen=True, kw_only=True)
class _Annealing:
    """The keys that annealed and bidirectional evaluation share."""

    samples: Annotated[int, Ge(1)] = 16
    temperatures: Annotated[int, Ge(2)] = 500
    leapfrog_steps: Annotated[int, Ge(1)] = 10
    schedule: Literal["sigmoid", "linear", "adaptive"] = "sigmoid"
    target_acceptance: Annotated[float, Gt(0), Lt(1)] = 0.65
    refresh: Annotated[float, Gt(0), Le(1)] = 1.0
    split: SplitName = "test"
    limit: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    checkpoint: Checkpoint = "auto"

    def _chosen(self, start: Literal["prior", "base", "posterior"]) -> Annealing:
        return Annealing(
            temperatures=self.temperatures,
            leapfrog_steps=self.leapfrog_steps,
            schedule=self.schedule,
            start=start,
            target_acceptance=self.target_acceptance,
            refresh=self.refresh,
        )


@register("evaluation", "annealed")
@dataclass(frozen=True, kw_only=True)
class Annealed(_Annealing):
    """Annealed importance sampling: a lower bound on log p(x) that tightens with the temperatures.

    Args:
        samples: chains an image.
        temperatures: from the start to the posterior, both included.
        leapfrog_steps: of each Hamiltonian transition between them.
        schedule: how temperatures are spaced: ``sigmoid``, ``linear``, or ``adaptive`` (constant conditional ESS).
        target_acceptance: what a pilot on simulated images tunes the step sizes for.
        refresh: how much of the momentum is drawn anew before each transition; 1 is all of it.
        split: of the data.
        limit: the first so many images only; null for all.
        seed: of the chains and of the pixels' own noise.
        checkpoint: weights; ``auto`` is the best on validation images where some were kept apart, else the last.
        start: ``prior``, ``base`` (the posterior's base Gaussian), or ``posterior`` (in the noise of its draws).
    """

    start: Literal["prior", "base", "posterior"] = "prior"

    def __call__(
        self, model: Model, source: Source, *, is_likelihood: bool = True, progress: Progress = None
    ) -> Estimate:
        """The estimate on ``source``; see ``evaluation.annealed``."""
        common: dict[str, Any] = {"seed": self.seed, "limit": self.limit, "is_likelihood": is_likelihood}
        return annealed(model, source, self.samples, self._chosen(self.start), progress=progress, **common)


@register("evaluation", "bidirectional")
@dataclass(frozen=True, kw_only=True)
class Bidirectional(_Annealing):
    """Annealed, and what gap the same settings leave on images drawn from the model, bounded from both sides.

    Args:
        samples: chains an image and direction.
        temperatures: from the start to the posterior, both included.
        leapfrog_steps: of each Hamiltonian transition between them.
        schedule: how temperatures are spaced: ``sigmoid``, ``linear``, or ``adaptive`` (constant conditional ESS).
        target_acceptance: what a pilot on simulated images tunes the step sizes for.
        refresh: how much of the momentum is drawn anew before each transition; 1 is all of it.
        split: of the data.
        limit: the first so many images only; null for all.
        seed: of the chains, of the simulated images, and of the pixels' own noise.
        checkpoint: weights; ``auto`` is the best on validation images where some were kept apart, else the last.
        start: ``prior``, or ``base`` (the posterior's base Gaussian).
        simulated: images drawn from the model; null for as many as are evaluated, at most 100.
    """

    start: Literal["prior", "base"] = "prior"
    simulated: Annotated[int, Ge(1)] | None = None

    def __call__(
        self, model: Model, source: Source, *, is_likelihood: bool = True, progress: Progress = None
    ) -> Estimate:
        """The estimate on ``source``; see ``evaluation.bidirectional``."""
        common: dict[str, Any] = {"seed": self.seed, "limit": self.limit, "is_likelihood": is_likelihood}
        common |= {"simulated": self.simulated, "progress": progress}
        return bidirectional(model, source, self.samples, self._chosen(self.start), **common)
