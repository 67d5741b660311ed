"""Runs the model for the report's pictures. Beside this, only ``codes``, ``latents`` and ``walks`` know torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.models import Ladder
from tightbound.numerics import generator_for
from tightbound.report.codes import like, prior_latents
from tightbound.report.latents import (
    Chosen,
    ImageSource,
    along,
    as_array,
    between,
    carried_far,
    choose,
    encode_many,
    encoded_rows,
    generated_rows,
    group_sizes,
    one_of_each,
    spread_over,
)
from tightbound.report.layer_arrays import Layers
from tightbound.report.layers import collect_layers
from tightbound.report.pictures import Array, Pictures, RankedImages
from tightbound.report.ranking import units_by_use
from tightbound.report.realism import nearest_distance
from tightbound.report.run_folder import Evaluation, Row
from tightbound.report.warps import collect_warps

RECONSTRUCTED = 16
RANKED = 8
COMPARED = 64  # samples, and reconstructions, whose nearest held-out image is looked for
REFERENCES = 500
MOST_REFERENCE_PIXELS = 20_000_000  # large images: fewer references, not more memory
FEWEST_COMPARED = 16
PIPED = 5  # rows of the pipeline
CORNERS = 4
FLOWN = 3  # images whose posterior samples are shown before and after a flow
TRAVERSED = 10


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
        drawn = Pictures(as_array(samples), as_array(means))
        row = {} if evaluation is None else evaluation.row
        if split is None or len(split) == 0:
            walked = _walked(model, None, None, row, seed, split_name)
            generated = generated_rows(model, PIPED, seed, prior_latents(model, seed))
            return replace(drawn, generated=generated, layers=_layers(model, None, seed), **walked)
        if row.get("split") != split_name:
            evaluation = None  # its image indices are of another split
        pixel_seed = seed if evaluation is None else int(row.get("seed") or 0)
        shown = _shown(split, pixel_seed)
        reconstructions, uncertainty = _reconstruct(model, shown, seed)
        best, worst = _rank(split, evaluation, pixel_seed)
        sample_distance, reconstruction_distance = _distances(model, split, means, seed, pixel_seed)
        drawn = replace(drawn, **_latents(model, split, row, seed, pixel_seed, split_name))
        layered = _layers(model, split, seed, pixel_seed, split_name)
    return replace(
        drawn,
        originals=as_array(shown),
        reconstructions=as_array(reconstructions),
        uncertainty=as_array(uncertainty),
        best=best,
        worst=worst,
        sample_distance=sample_distance,
        reconstruction_distance=reconstruction_distance,
        split=split_name,
        layers=layered,
    )


def _layers(
    model: Model, split: ImageSource | None, seed: int, pixel_seed: int = 0, name: str = "test"
) -> Layers | None:
    """Of ladders of several layers; those of one have nothing to tell apart."""
    if not isinstance(model, Ladder) or model.num_layers == 1:
        return None
    return collect_layers(model, split, seed=seed, pixel_seed=pixel_seed, name=name)


def _latents(model: Model, split: ImageSource, row: Row, seed: int, pixel_seed: int, split_name: str) -> dict[str, Any]:
    """What ``Pictures`` has of the latents."""
    codes, correlations = encode_many(model, split, seed, pixel_seed)
    spread = codes.mean.var(0)
    chosen = choose(model, split, one_of_each(split, PIPED), seed, pixel_seed)
    corners = choose(model, split, one_of_each(split, CORNERS), seed, pixel_seed)
    flown = choose(model, split, one_of_each(split, FLOWN), seed, pixel_seed)
    apart = len(corners.index) == CORNERS and spread.max() > 0  # without an encoder all images are in one place
    walk = between(model, corners, _steps(model), split_name)[0] if apart else None
    prior = prior_latents(model, seed)
    return {
        "encoded": encoded_rows(model, chosen, prior, spread),
        "generated": generated_rows(model, PIPED, seed, prior, spread),
        "interpolation": walk,
        **_walked(model, chosen, choose(model, split, [0], seed, pixel_seed), row, seed, split_name),
        "codes": codes,
        "correlations": correlations,
        "carried": carried_far(model, flown, seed, split_name),
    }


def _walked(
    model: Model, chosen: Chosen | None, start: Chosen | None, row: Row, seed: int, split_name: str
) -> dict[str, Any]:
    """Walks along the units that are used most, from an image; of a decoder that warps, along each of its parts."""
    units, order = units_by_use(row, group_sizes(model))
    steps = _steps(model)
    warps = collect_warps(model, chosen, start, units, order, steps, seed, split_name)
    if warps is not None:
        return {"warps": warps}
    return {"traversal": along(model, start, units[:TRAVERSED], order, steps, seed, split_name)[0]}


def _steps(model: Model) -> int:
    """Images along a side: fewer where they are large, for the bytes of the page."""
    width = model.image_shape[-1]
    return 10 if width <= 32 else 8 if width <= 64 else 5


def _shown(split: ImageSource, pixel_seed: int) -> Tensor:
    """The first images; where they have no labels, and may be sorted, some spread over the split."""
    if split.labels is not None:
        return split.fixed(0, min(RECONSTRUCTED, len(split)), pixel_seed)
    return torch.cat([split.fixed(i, i + 1, pixel_seed) for i in spread_over(split, RECONSTRUCTED)])


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
    samples, epsilon = model.simulate(COMPARED, generator_for(seed, "report samples", device=like(model).device))
    return samples, model.likelihood.mean(model.params_at(epsilon))


def _reconstruct(model: Model, x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the pixels at one posterior sample of each image."""
    generator = generator_for(seed, "report reconstructions", device=like(model).device)
    params = model.draw(x.to(like(model)), 1, generator=generator).params[0]
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
        return RankedImages(as_array(images), arrays["index"][rows], arrays["log_likelihood"][rows], **chosen)

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
    others = as_array(split.fixed(compared, last, pixel_seed))
    reconstructions, _ = _reconstruct(model, split.fixed(0, compared, pixel_seed), seed)
    return nearest_distance(as_array(means), others), nearest_distance(as_array(reconstructions), others)
