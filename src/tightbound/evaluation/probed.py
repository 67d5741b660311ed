"""What a probe returns: how often it is right, layer by layer, and a sentence on what that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from tightbound.evaluation.result import Estimate, to_json


@dataclass(frozen=True, kw_only=True, eq=False)
class Probed:
    """The accuracy of a linear probe on a set of images. It says nothing of log p(x).

    Args:
        images: n, how many images it was scored on.
        samples: K of the posterior means, where they have no closed form.
        accuracy: fraction of images whose label it finds, from all latents together.
        accuracy_error: √(a (1 − a) / n), the binomial standard error: what another set of n images would change.
        majority_accuracy: the same of always guessing the class of most training images.
        layers: a row for each latent layer, the bottom (1) first, and of several layers one more, ``"all"``: its
            ``layer``, number of ``features``, ``accuracy``, ``accuracy_error``, ``iterations`` of the fit and whether
            it ``converged``.
        probe: ``train_images``, ``classes``, ``features`` (of all layers), ``mean_samples`` (0: means in closed form),
            and what was chosen: ``C`` and ``train_limit``; ``most_iterations`` of a fit.
        seed: of the samples, the pixels' own noise and the choice of training images.
        method: ``"probe"``.
        seconds: wall time.
        device: where the images were encoded; the fit is the processor's.
        threads: of the processor; filled in by the caller, as ``split``, ``checkpoint`` and ``protocol`` are.
        split: of the data.
        checkpoint: the weights used.
        protocol: how the pixels were made, in words.
        per_image: arrays of length n: ``index``, ``label``, ``predicted`` (from all latents together).
    """

    images: int
    samples: int
    accuracy: float
    accuracy_error: float
    majority_accuracy: float
    layers: list[Mapping[str, Any]]
    probe: Mapping[str, Any]
    seed: int
    method: str = "probe"
    seconds: float | None = None
    device: str | None = None
    threads: int | None = None
    split: str | None = None
    checkpoint: str | None = None
    protocol: str | None = None
    per_image: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def images_per_second(self) -> float | None:
        """Images evaluated a second; the time for the training images counts."""
        return self.images / self.seconds if self.seconds else None

    @property
    def sentence(self) -> str:
        """What ``accuracy`` is, in plain words."""
        count = self.probe["mean_samples"]
        means = f"means over {count:,} posterior samples" if count else "posterior means in closed form"
        several = f" of {len(self.layers) - 1} layers" if len(self.layers) > 1 else ""
        parts = [
            f"labels read off {self.probe['features']:,} latents{several} ({means}) by logistic regression, fitted to "
            f"{self.probe['train_images']:,} training images"
        ]
        unfinished = [str(row["layer"]) for row in self.layers if not row["converged"]]
        if unfinished:
            parts.append(
                f"the fit did not converge in {self.probe['most_iterations']:,} iterations (layer "
                f"{', '.join(unfinished)}): a smaller C would"
            )
        return "; ".join(parts)

    def to_row(self) -> dict[str, Any]:
        """The row of ``evaluation.json`` and ``--json``; the keys of log p(x) are there and null."""
        row: dict[str, Any] = {item.name: None for item in fields(Estimate) if item.name != "per_image"}
        row |= {item.name: to_json(getattr(self, item.name)) for item in fields(self) if item.name != "per_image"}
        row["images_per_second"] = to_json(self.images_per_second)
        row["is_likelihood"] = None
        row["sentence"] = self.sentence
        return row
