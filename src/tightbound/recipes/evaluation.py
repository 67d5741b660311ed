"""The `evaluation:` section of a recipe: each method with its keys, and how it is called.

A new evaluator is one registered class here whose call returns an ``Estimate``. One that sets ``needs_training_images``
is also handed the labeled training images, as ``train``; one that sets ``shares_images`` the ``processes``, where
several share the images. What it does with ``progress`` and ``say`` is its own matter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Gt, Le, Lt

from tightbound.core import Model
from tightbound.evaluation import (
    MOST_HOURS,
    Annealing,
    Estimate,
    Probed,
    Source,
    annealed,
    bidirectional,
    importance,
    linear_probe,
)
from tightbound.registry import Factory, find, register
from tightbound.training import ALONE, Processes, autocast

SplitName = Literal["test", "validation", "train"]
Checkpoint = Literal["auto", "last", "best"]
Progress = Callable[[float, int], None] | None
Say = Callable[[str], None] | None


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

    shares_images: ClassVar[bool] = True

    samples: Annotated[int, Ge(1)] = 1000
    split: SplitName = "test"
    limit: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    checkpoint: Checkpoint = "auto"
    precision: Literal["float32", "bf16"] = "float32"

    def __call__(
        self,
        model: Model,
        source: Source,
        *,
        is_likelihood: bool = True,
        progress: Progress = None,
        say: Say = None,
        processes: Processes = ALONE,
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
                processes=processes,
            )
        return replace(estimate, precision=self.precision) if rounded else estimate


@dataclass(frozen=True, kw_only=True)
class _Annealing:
    """The keys that annealed and bidirectional evaluation share."""

    shares_images: ClassVar[bool] = True

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
    most_hours: Annotated[float, Gt(0)] | None = MOST_HOURS

    def _common(self, **given: Any) -> dict[str, Any]:
        """What both methods are called with."""
        return {"seed": self.seed, "limit": self.limit, "most_hours": self.most_hours, **given}

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
        most_hours: what would take longer, by one timed transition, is refused before it begins; null for no limit.
        start: ``prior``, ``base`` (the posterior's base Gaussian), or ``posterior`` (in the noise of its draws).
    """

    start: Literal["prior", "base", "posterior"] = "prior"

    def __call__(
        self,
        model: Model,
        source: Source,
        *,
        is_likelihood: bool = True,
        progress: Progress = None,
        say: Say = None,
        processes: Processes = ALONE,
    ) -> Estimate:
        """The estimate on ``source``; see ``evaluation.annealed``."""
        common = self._common(is_likelihood=is_likelihood, progress=progress, say=say, processes=processes)
        return annealed(model, source, self.samples, self._chosen(self.start), **common)


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
        most_hours: what would take longer, by one timed transition, is refused before it begins; null for no limit.
        start: ``prior``, or ``base`` (the posterior's base Gaussian).
        simulated: images drawn from the model; null for as many as are evaluated, at most 100.
    """

    start: Literal["prior", "base"] = "prior"
    simulated: Annotated[int, Ge(1)] | None = None

    def __call__(
        self,
        model: Model,
        source: Source,
        *,
        is_likelihood: bool = True,
        progress: Progress = None,
        say: Say = None,
        processes: Processes = ALONE,
    ) -> Estimate:
        """The estimate on ``source``; see ``evaluation.bidirectional``."""
        common = self._common(is_likelihood=is_likelihood, progress=progress, say=say, processes=processes)
        return bidirectional(model, source, self.samples, self._chosen(self.start), simulated=self.simulated, **common)


@register("evaluation", "probe")
@dataclass(frozen=True, kw_only=True)
class Probe:
    """A linear probe: how often the labels of images can be read off their posterior means. No estimate of log p(x).

    Args:
        samples: K of the posterior means, where they have no closed form.
        C: inverse strength of the L2 penalty, on features of variance 1.
        train_limit: the probe is fitted to so many training images, a random choice; null for all.
        split: of the data, to score the probe on.
        limit: the first so many images of it only; null for all.
        seed: of the samples, of that choice, and of the pixels' own noise.
        checkpoint: weights; ``auto`` is the best on validation images where some were kept apart, else the last.
    """

    needs_training_images: ClassVar[bool] = True

    samples: Annotated[int, Ge(1)] = 16
    C: Annotated[float, Gt(0)] = 1.0
    train_limit: Annotated[int, Ge(2)] | None = 10_000
    split: Literal["test", "validation"] = "test"
    limit: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    checkpoint: Checkpoint = "auto"

    def __call__(
        self,
        model: Model,
        source: Source,
        *,
        train: Source,
        is_likelihood: bool = True,
        progress: Progress = None,
        say: Say = None,
    ) -> Probed:
        """The accuracy on ``source``; see ``evaluation.linear_probe``. Whether p(x) is a likelihood does not matter."""
        options: dict[str, Any] = {"C": self.C, "train_limit": self.train_limit, "seed": self.seed}
        return linear_probe(model, train, source, self.samples, limit=self.limit, progress=progress, **options)


def needs_training_images(settings: Factory) -> bool:
    """Whether a method is also handed labeled training images."""
    return _declares(settings, "needs_training_images")


def shares_images(settings: Factory) -> bool:
    """Whether several processes can share the images of a method."""
    return _declares(settings, "shares_images")


def _declares(settings: Factory, name: str) -> bool:
    return bool(getattr(find(settings.family, settings.kind).target, name, False))
