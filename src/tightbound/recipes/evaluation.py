"""The `evaluation:` section of a recipe: each method with its keys, and how it is called.

A new evaluator is one registered class here whose call returns an ``Estimate``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge

from tightbound.core import Model
from tightbound.evaluation import Estimate, Source, importance
from tightbound.registry import register

SplitName = Literal["test", "validation", "train"]
Checkpoint = Literal["auto", "last", "best"]
Progress = Callable[[int, int], None] | None


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
    """

    samples: Annotated[int, Ge(1)] = 1000
    split: SplitName = "test"
    limit: Annotated[int, Ge(1)] | None = None
    seed: Annotated[int, Ge(0)] = 0
    checkpoint: Checkpoint = "auto"

    def __call__(
        self, model: Model, source: Source, *, is_likelihood: bool = True, progress: Progress = None
    ) -> Estimate:
        """The estimate on ``source``; see ``evaluation.importance``."""
        return importance(
            model,
            source,
            self.samples,
            seed=self.seed,
            limit=self.limit,
            is_likelihood=is_likelihood,
            progress=progress,
        )
