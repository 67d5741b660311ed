"""Warm-up of the weight of the KL."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from tightbound.core import Step
from tightbound.errors import RecipeError
from tightbound.registry import register


@register("warm_up", "linear")
class LinearWarmUp:
    """weight = min(1, start + (1 − start)·t / length), t in epochs or steps.

    Args:
        epochs: length in epochs; or
        steps: length in optimizer steps. Exactly one of the two.
        start: the weight at the first step.
        staircase: hold the weight constant within an epoch; needs ``epochs``.
    """

    def __init__(
        self,
        *,
        epochs: Annotated[float, Gt(0)] | None = None,
        steps: Annotated[int, Gt(0)] | None = None,
        start: Annotated[float, Ge(0), Le(1)] = 0.0,
        staircase: bool = False,
    ) -> None:
        if (epochs is None) == (steps is None):
            raise RecipeError("warm_up: expected exactly one of epochs and steps", hint="such as warm_up: {epochs: 10}")
        if staircase and epochs is None:
            raise RecipeError("warm_up.staircase: stairs are epochs, so it needs warm_up.epochs")
        self.epochs, self.steps, self.start, self.staircase = epochs, steps, start, staircase

    def __call__(self, step: Step) -> Tensor:
        """The weight, a 0-d tensor."""
        if self.steps is not None:
            done = step.done / self.steps
        elif self.epochs is not None:
            done = (step.epoch.floor() if self.staircase else step.epoch) / self.epochs
        else:
            raise AssertionError("one of the two is set")
        return torch.clamp(self.start + (1 - self.start) * done, max=1.0)
