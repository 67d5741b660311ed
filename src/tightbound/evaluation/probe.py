"""A linear probe: how well the labels of images can be read off their latents (Alain & Bengio 2016)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.errors import DataError, RecipeError
from tightbound.evaluation.checks import check_counts
from tightbound.evaluation.classifier import MOST_ITERATIONS, Score, classify, most_frequent
from tightbound.evaluation.codes import encode_images
from tightbound.evaluation.probed import Probed
from tightbound.evaluation.source import Images, Source, TensorSource
from tightbound.numerics import generator_for

TRAIN_LIMIT = 10_000
ALL = "all"
_MOST_BYTES = 4 * 2**30  # of the training features, float64


def linear_probe(
    model: Model,
    train: Tensor | Source,
    source: Tensor | Source,
    num_samples: int = 16,
    *,
    C: float = 1.0,
    train_limit: int | None = TRAIN_LIMIT,
    seed: int = 0,
    chunk: int | None = None,
    limit: int | None = None,
    progress: Callable[[float, int], None] | None = None,
) -> Probed:
    """Fits multinomial logistic regression to the posterior means of training images, and scores it on others.

    One fit for each latent layer and, of several layers, one more to all of them together, which is the headline.
    Means are in closed form where the model has one, else of K samples, as ``tightbound encode`` has them.

    Args:
        model: any ``core.Model``.
        train: labeled images that the probe is fitted to; the model may have been trained on them too.
        source: labeled images that it is scored on.
        num_samples: K of means that have no closed form.
        C: inverse strength of the L2 penalty, on features of variance 1.
        train_limit: of more training images, a random choice of so many, by the seed; None for all.
        seed: of that choice, of the samples, and of the pixels' own noise.
        chunk: (image, sample) pairs in one draw; None measures how many fit.
        limit: the first so many images of ``source`` only.
        progress: called with images encoded and images in all, training images included.

    Example:
        >>> probed = linear_probe(model, data.train, data.test)    # doctest: +SKIP
        >>> probed.accuracy, probed.accuracy_error                 # doctest: +SKIP
        (0.953, 0.012)

    Raises:
        RecipeError: an option is out of its range, or the training features would take more than 4 GiB.
        DataError: images without labels, of one class only, or of another shape than the model's.
    """
    check_counts(num_samples=num_samples, train_limit=train_limit, chunk=chunk, limit=limit)
    if C <= 0:
        raise RecipeError(f"C: got {C}; expected a number above 0")
    started = time.perf_counter()
    fitted, scored = Images(model, _Chosen(train, train_limit, seed), seed), Images(model, source, seed, limit)
    train_labels, labels = labels_of(fitted, "training images"), labels_of(scored, "images to evaluate")
    if len(np.unique(train_labels)) < 2:
        raise DataError(f"expected training images of two classes at least; all have the label {train_labels[0]}")
    check_size(sum(math.prod(group.shape) for group in model.groups), fitted.num_images)
    total = fitted.num_images + scored.num_images

    def encode(images: Images, purpose: str, before: int) -> tuple[tuple[Tensor, ...], int]:
        def show(done: int) -> None:
            if progress is not None:
                progress(before + done, total)

        options = {"mean_samples": num_samples, "seed": seed, "chunk": chunk, "progress": show}
        codes = encode_images(model, images, purpose=f"probe, {purpose}", **options)
        return codes.means, codes.mean_samples

    train_means, mean_samples = encode(fitted, "training", 0)
    means, _ = encode(scored, "scored", fitted.num_images)
    features = by_layer(train_means), by_layer(means)
    scores = {name: classify(features[0][name], train_labels, features[1][name], labels, C=C) for name in features[0]}
    headline = list(scores.values())[-1]
    return Probed(
        images=len(labels),
        samples=num_samples,
        accuracy=headline.accuracy,
        accuracy_error=headline.error,
        majority_accuracy=float((labels == most_frequent(train_labels)).mean()),
        layers=[_row(name, features[1][name].shape[1], score) for name, score in scores.items()],
        probe={
            "train_images": len(train_labels),
            "classes": len(np.unique(train_labels)),
            "features": sum(mean.shape[1] for mean in means),
            "mean_samples": mean_samples,
            "C": C,
            "train_limit": train_limit,
            "most_iterations": MOST_ITERATIONS,
        },
        seed=seed,
        device=str(scored.device),
        seconds=time.perf_counter() - started,
        per_image={"index": np.arange(len(labels)), "label": labels, "predicted": headline.predicted},
    )


def by_layer(means: tuple[Tensor, ...]) -> dict[int | str, np.ndarray]:
    """Features (N, D_l) by the number of the layer, the bottom is 1; of several layers, all of them at the end.

    Args:
        means: of each latent group, top first.
    """
    layers: dict[int | str, np.ndarray] = {i: mean.numpy() for i, mean in enumerate(reversed(means), start=1)}
    return layers if len(layers) == 1 else {**layers, ALL: np.concatenate(list(layers.values()), axis=1)}


def labels_of(images: Images, which: str) -> np.ndarray:
    """The labels (N).

    Raises:
        DataError: there are none.
    """
    if images.labels is None:
        raise DataError(
            f"expected a label for every image, as a probe reads labels off latents; the {which} have none",
            hint="use labeled data, such as digits or mnist; an .npz may hold labels as y_train and y_test",
        )
    return images.labels.numpy()


def check_size(features: int, train_images: int) -> None:
    """Refuses, before any image is encoded, features that would not fit.

    Raises:
        RecipeError: it says how many training images would.
    """
    needed = 8 * features * train_images
    if needed > _MOST_BYTES:
        raise RecipeError(
            f"train_limit: {train_images:,} training images of {features:,} features each take "
            f"{needed / 2**30:.1f} GiB; expected at most {_MOST_BYTES / 2**30:.0f}",
            hint=f"use train_limit={_MOST_BYTES // (8 * features)}",
        )


class _Chosen:
    """So many images of a source, at random by the seed and in the order of the source; each with its own noise."""

    def __init__(self, source: Tensor | Source, limit: int | None, seed: int) -> None:
        self._source = TensorSource(source) if isinstance(source, Tensor) else source
        order = torch.randperm(len(self._source), generator=generator_for(seed, "probe, choice of training images"))
        rows = order[:limit].sort().values
        labels = getattr(self._source, "labels", None)
        self.labels = None if labels is None else torch.as_tensor(labels).cpu()[rows]
        self._rows = rows.tolist()

    def __len__(self) -> int:
        return len(self._rows)

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """The chosen images [start, stop)."""
        rows = self._rows[start:stop]
        if rows and rows[-1] - rows[0] == len(rows) - 1:
            return self._source.fixed(rows[0], rows[-1] + 1, seed)
        return torch.cat([self._source.fixed(row, row + 1, seed) for row in rows])


def _row(name: int | str, features: int, score: Score) -> dict[str, int | str | float | bool]:
    return {
        "layer": name,
        "features": features,
        "accuracy": score.accuracy,
        "accuracy_error": score.error,
        "iterations": score.iterations,
        "converged": score.converged,
    }
