"""Schedules of the learning rate: pure functions of the step, so there is nothing to save and nothing to resume.

``factor(step, run)`` multiplies the optimizer's learning rate; ``step`` counts the batches before this one, from 0.
Every schedule may begin with a warm-up of W steps, where the factor is multiplied by min(1, (step + 1) / W).
Adding one: a frozen dataclass of options that subclasses ``Schedule``, one ``@register`` line.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from annotated_types import Ge, Gt, Le

from tightbound.errors import RecipeError
from tightbound.registry import register


class RunLength(NamedTuple):
    """What a schedule may know of the run."""

    steps_per_epoch: int
    total_steps: int


@dataclass(frozen=True, kw_only=True)
class Schedule(ABC):
    """Base of all schedules.

    Args:
        warm_up_epochs: length of the warm-up in epochs; or
        warm_up_steps: in steps.
    """

    warm_up_epochs: Annotated[float, Ge(0)] = 0.0
    warm_up_steps: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        if self.warm_up_epochs and self.warm_up_steps:
            raise RecipeError("schedule: expected one of warm_up_epochs and warm_up_steps; got both")

    def factor(self, step: int, run: RunLength) -> float:
        """What the learning rate is multiplied by at this step."""
        warm_up = self._warm_up(run)
        ramp = min(1.0, (step + 1) / warm_up) if warm_up else 1.0
        return ramp * self.decay(step, run)

    @abstractmethod
    def decay(self, step: int, run: RunLength) -> float:
        """The factor without its warm-up."""

    def _warm_up(self, run: RunLength) -> int:
        return self.warm_up_steps or round(self.warm_up_epochs * run.steps_per_epoch)


@register("schedule", "constant")
@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The learning rate itself, after the warm-up.

    Args:
        warm_up_epochs: length of the warm-up in epochs; or
        warm_up_steps: in steps.
    """

    def decay(self, step: int, run: RunLength) -> float:
        """1."""
        return 1.0


@dataclass(frozen=True, kw_only=True)
class _Until(Schedule):
    """A decay from 1 to ``final`` between the end of the warm-up and a last step."""

    epochs: Annotated[float, Gt(0)] | None = None
    steps: Annotated[int, Gt(0)] | None = None
    final: Annotated[float, Ge(0), Le(1)] = 0.0
    staircase: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.epochs is not None and self.steps is not None:
            raise RecipeError("schedule: expected at most one of epochs and steps; got both")

    def decay(self, step: int, run: RunLength) -> float:
        """final + (1 − final)·shape(progress), progress in [0, 1]."""
        if self.staircase:
            step -= step % run.steps_per_epoch
        start, end = self._warm_up(run), self._end(run)
        progress = min(max((step - start) / max(end - start, 1), 0.0), 1.0)
        return self.final + (1 - self.final) * self.shape(progress)

    @abstractmethod
    def shape(self, progress: float) -> float:
        """From 1 at progress 0 to 0 at progress 1."""

    def _end(self, run: RunLength) -> int:
        if self.steps is not None:
            return self.steps
        return run.total_steps if self.epochs is None else round(self.epochs * run.steps_per_epoch)


@register("schedule", "cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine(_Until):
    """final + (1 − final)·(1 + cos(π·progress))/2 (Loshchilov & Hutter 2017, eq. 5, no restarts).

    Args:
        warm_up_epochs: length of the warm-up in epochs; or
        warm_up_steps: in steps.
        epochs: when the decay ends, in epochs from the first step; or
        steps: in steps. None of the two: at the end of the run.
        final: the factor that is reached, and kept from then on.
        staircase: hold the factor constant within an epoch, as at its first step.
    """

    def shape(self, progress: float) -> float:
        """(1 + cos(π·progress))/2."""
        return (1 + math.cos(math.pi * progress)) / 2


@register("schedule", "polynomial")
@dataclass(frozen=True, kw_only=True)
class Polynomial(_Until):
    """final + (1 − final)·(1 − progress)^power; linear at power 1.

    Args:
        warm_up_epochs: length of the warm-up in epochs; or
        warm_up_steps: in steps.
        epochs: when the decay ends, in epochs from the first step; or
        steps: in steps. None of the two: at the end of the run.
        final: the factor that is reached, and kept from then on.
        staircase: hold the factor constant within an epoch, as at its first step.
        power: the exponent.
    """

    power: Annotated[float, Gt(0)] = 1.0

    def shape(self, progress: float) -> float:
        """(1 − progress)^power."""
        return (1 - progress) ** self.power


@register("schedule", "staircase")
@dataclass(frozen=True, kw_only=True)
class Staircase(Schedule):
    """ratio^n, where n stairs have been passed: at given epochs or steps, or one every so many.

    ``{kind: staircase, ratio: 0.5, at_epochs: [800, 1600, 2400]}`` halves the rate three times.

    Args:
        warm_up_epochs: length of the warm-up in epochs; or
        warm_up_steps: in steps.
        ratio: what each stair multiplies the rate by.
        at_epochs: where the stairs are, in epochs; or
        at_steps: in steps; or
        every_epochs: the distance between stairs in epochs; or
        every_steps: in steps. Exactly one of the four.
    """

    ratio: Annotated[float, Gt(0)] = 0.5
    at_epochs: tuple[Annotated[float, Gt(0)], ...] = ()
    at_steps: tuple[Annotated[int, Gt(0)], ...] = ()
    every_epochs: Annotated[float, Gt(0)] | None = None
    every_steps: Annotated[int, Gt(0)] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given = [self.at_epochs, self.at_steps, self.every_epochs, self.every_steps]
        if sum(map(bool, given)) != 1:
            raise RecipeError(
                "schedule: a staircase needs exactly one of at_epochs, at_steps, every_epochs and every_steps",
                hint="such as at_epochs: [800, 1600, 2400]",
            )

    def decay(self, step: int, run: RunLength) -> float:
        """ratio^(stairs at or before this step)."""
        return self.ratio ** self._passed(step, run)

    def _passed(self, step: int, run: RunLength) -> int:
        if self.every_steps is not None:
            return step // self.every_steps
        if self.every_epochs is not None:
            return step // max(round(self.every_epochs * run.steps_per_epoch), 1)
        stairs = self.at_steps or tuple(round(epoch * run.steps_per_epoch) for epoch in self.at_epochs)
        return sum(stair <= step for stair in stairs)
