"""Runs the model for the report's pictures. The only file of the report that knows torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.numerics import generator_for
from tightbound.report.pictures import Array, Pictures, RankedImages
from tightbound.report.realism import nearest_distance
from tightbound.report.run_folder import Evaluation

RECONSTRUCTED = 16
RANKED = 8
COMPARED = 64  # samples, and reconstructions, whose nearest held-out image is looked for
REFERENCES = 500
MOST_REFERENCE_PIXELS = 20_000_000  # large images: fewer references, not more memory
FEWEST_COMPARED = 16


class ImageSource(Protocol):
    """What is needed of a ``data.Split``."""

    def __len__(self) -> int: ...

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """Images (stop − start, C, H, W) in [0, 1] whose pixel noise depends on (seed, image index) alone."""
        ...


@torch.no_grad()
def collect_pictures(
    model: Model,
    split: ImageSource | None,
    evaluation: Evaluation | None = None,
    *,
    seed: int = 0,
    split_name: str = "test",
) -> Pictures:
    """Samples, reconstructions with uncertainty, best and worst images: a function of the arguments alone.

    The model runs in eval mode, without gradients; afterwards every module is in the mode it was in.

    Args:
        model: a trained model.
        split: held-out images, or None if there are none.
        evaluation: an evaluation (``read_run(folder).main``); ranks the images by its log p(x) if it is of that
            split. Images are shown with the pixel noise of its seed: the very pixels that were evaluated.
        seed: of everything drawn here.
        split_name: name of the split, as in the evaluation's row.
    """
    with _evaluating(model):
        samples, means = _sample(model, seed)
        if split is None or len(split) == 0:
            return Pictures(_numpy(samples), _numpy(means))
        if evaluation is not None and evaluation.row.get("split") != split_name:
            evaluation = None  # its image indices are of another split
        pixel_seed = seed if evaluation is None else int(evaluation.row.get("seed") or 0)
        shown = split.fixed(0, min(RECONSTRUCTED, len(split)), pixel_seed)
        reconstructions, uncertainty = _reconstruct(model, shown, seed)
        best, worst = _rank(split, evaluation, pixel_seed)
        sample_distance, reconstruction_distance = _distances(model, split, means, seed, pixel_seed)
    return Pictures(
        _numpy(samples),
        _numpy(means),
        _numpy(shown),
        _numpy(reconstructions),
        _numpy(uncertainty),
        best,
        worst,
        sample_distance,
        reconstruction_distance,
        split_name,
    )


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def _sample(model: Model, seed: int) -> tuple[Tensor, Tensor]:
    """COMPARED samples and the mean of the pixels for the same z."""
    samples, epsilon = model.simulate(COMPARED, generator_for(seed, "report samples", device=_device(model)))
    return samples, model.likelihood.mean(model.params_at(epsilon))


def _reconstruct(model: Model, x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pixels at one posterior sample of each image."""
    generator = generator_for(seed, "report reconstructions", device=_device(model))
    params = model.draw(x.to(_like(model)), 1, generator=generator).params[0]
    return model.likelihood.mean(params), model.likelihood.std(params)


def _rank(
    split: ImageSource, evaluation: Evaluation | None, pixel_seed: int
) -> tuple[RankedImages | None, RankedImages | None]:
    arrays = {} if evaluation is None else evaluation.per_image or {}
    if "index" not in arrays or int(arrays["index"].max(initial=0)) >= len(split):
        return None, None
    values = np.nan_to_num(arrays["log_likelihood"], nan=-np.inf)
    order = np.argsort(values, kind="stable")
    count = min(RANKED, len(order) // 2)
    if count == 0:
        return None, None

    def pick(rows: Array) -> RankedImages:
        images = torch.cat([split.fixed(int(i), int(i) + 1, pixel_seed) for i in arrays["index"][rows]])
        chosen = {name: arrays[name][rows] for name in ("standard_error", "pareto_k", "label") if name in arrays}
        return RankedImages(_numpy(images), arrays["index"][rows], arrays["log_likelihood"][rows], **chosen)

    return pick(order[::-1][:count]), pick(order[:count])


def _distances(
    model: Model, split: ImageSource, means: Tensor, seed: int, pixel_seed: int
) -> tuple[Array | None, Array | None]:
    """Distances for ``realism``; the reconstructed images are not among the references."""
    compared = min(COMPARED, len(split) // 2)
    if compared < FEWEST_COMPARED:
        return None, None
    references = min(REFERENCES, max(FEWEST_COMPARED, MOST_REFERENCE_PIXELS // means[0].numel()))
    last = min(len(split), compared + references)
    others = _numpy(split.fixed(compared, last, pixel_seed))
    reconstructions, _ = _reconstruct(model, split.fixed(0, compared, pixel_seed), seed)
    return nearest_distance(_numpy(means), others), nearest_distance(_numpy(reconstructions), others)


def _device(model: Model) -> torch.device:
    return _like(model).device


def _like(model: Model) -> Tensor:
    """A tensor of the model's device and precision."""
    return next(model.parameters(), torch.empty(0))


def _numpy(images: Tensor) -> Array:
    return images.detach().to("cpu", torch.float32).numpy()
