"""Importance sampling: log p(x) ≥ E[log (1/K) Σ_k w_k] (Burda et al. 2016, IWAE), and how far to trust it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.evaluation.checks import check_counts, evaluating, refuse_bad_images
from tightbound.evaluation.chunks import Plan, make_plan, probe_chunk, spans
from tightbound.evaluation.diagnostics import curve_samples
from tightbound.evaluation.meter import Meter
from tightbound.evaluation.result import Estimate, summarize
from tightbound.evaluation.shares import ALONE, Processes, in_order, most_images
from tightbound.evaluation.source import Images, Source, measure_of
from tightbound.evaluation.tile import Tile
from tightbound.evaluation.units import GroupTotals
from tightbound.numerics import NOISE_SAMPLE_BLOCK, EvaluationNoise


def importance(
    model: Model,
    source: Tensor | Source,
    num_samples: int,
    *,
    seed: int = 0,
    chunk: int | None = None,
    limit: int | None = None,
    exact: bool = True,
    is_likelihood: bool = True,
    log_volume: float | None = None,
    progress: Callable[[float, int], None] | None = None,
    processes: Processes = ALONE,
) -> Estimate:
    """The importance-weighted bound on log p(x) of every image, with exactly K samples each, in eval mode.

    Each image is encoded once. Log-weights of a tile of images are held in float64 and reduced to per-image numbers;
    all else is transient: memory does not grow with K beyond 8 bytes a pair of one tile. ``chunk`` changes no result.

    Args:
        model: any ``core.Model``.
        source: images (N, C, H, W) in [0, 1], or any object with ``len()`` and ``fixed(start, stop, seed)``.
        num_samples: K. At least 21 for the weights to be judged.
        seed: of the samples, and of the pixels' own noise (dynamic binarization, dequantization).
        chunk: (image, sample) pairs in one draw; None measures how many fit (``chunks.probe_chunk``).
        limit: evaluate the first ``limit`` images only.
        exact: also give log p(x) in closed form, where the model has it.
        is_likelihood: False labels every number "not a likelihood", for published protocols that put a density of
            binary pixels on gray ones. That case is also found out here.
        log_volume: nats a pixel that turn a density on [0, 1] into the code length of the stored data; None asks the
            source (0 for a tensor). Not used for probabilities.
        progress: called with images done (a fraction while it goes on) and images in all.
        processes: that share the images, each with the same model, images and options. All get the whole estimate, on
            processors the same to the bit whatever their number.

    Example:
        >>> estimate = importance(model, x, num_samples=5000)      # doctest: +SKIP
        >>> estimate.log_likelihood, estimate.standard_error       # doctest: +SKIP
        (-92.41, 0.003)
        >>> estimate.sentence                                      # doctest: +SKIP
        'lower bound on log p(x), K = 5000; the weights are even enough to trust in all 300 images (Pareto k ≤ 0.7)'

    Raises:
        RecipeError: if K, ``chunk`` or ``limit`` is below 1.
        DataError: if there is no image, or images have another shape than the model's.
        TightboundError: if a log-weight is NaN or +inf; the message names the images.
    """
    check_counts(num_samples=num_samples, chunk=chunk, limit=limit)
    started = time.perf_counter()
    images = Images(model, source, seed, limit)
    with evaluating(model):
        chunk = chunk or processes.first(lambda: probe_chunk(model, images.read(range(1))))
        most = most_images(images.num_images, images.device, processes)
        plan = make_plan(chunk, images.num_images, num_samples, most)
        totals = _Totals(num_samples, len(model.groups))
        meter = Meter(progress, images.num_images, images.num_images * num_samples)

        def work(span: range, together: int) -> _Part:
            x = images.read(span)
            # What this process draws stands for what all of them draw meanwhile.
            tile = _draw_tile(model, x, span, num_samples, seed, plan, lambda n: meter.add(n * together / len(span)))
            return _reduce(tile, span, model.log_evidence(x) if exact else None, images.gray)

        for _, part in in_order(processes, list(spans(0, images.num_images, plan.images_per_tile)), work):
            totals.add(part)
            images.gray |= part.gray
        meter.finish()
    per_image = totals.per_image() | ({} if images.labels is None else {"label": images.labels.numpy()})
    measure = measure_of(model, images.gray or not is_likelihood)
    volume = images.log_volume if log_volume is None else log_volume
    return Estimate(
        method="importance",
        measure=measure,
        dequantized=images.dequantized and measure == "density" and volume > 0,
        seed=seed,
        device=str(images.device),
        seconds=time.perf_counter() - started,
        **summarize(
            per_image,
            num_samples,
            num_pixels=int(np.prod(model.image_shape)),
            log_volume=volume if model.likelihood.data_kind == "continuous" else 0.0,
        ),
        **totals.over_images(),
    )


def _draw_tile(
    model: Model, x: Tensor, span: range, num_samples: int, seed: int, plan: Plan, drawn: Callable[[int], None]
) -> Tile:
    """All K draws of one tile of images; ``drawn`` is called with the pairs of each call."""
    tile = Tile(num_samples, x, model.likelihood, model.groups)
    calls = [(rows, x[rows.start : rows.stop]) for rows in spans(0, len(x), plan.images_per_call)]
    encodings = [model.encode(images) for _, images in calls]
    for block in spans(0, num_samples, NOISE_SAMPLE_BLOCK):
        number = block.start // NOISE_SAMPLE_BLOCK
        noise = EvaluationNoise(seed, span, number, model.noise_size, device=x.device, dtype=x.dtype)
        for samples in spans(block.start, block.stop, plan.samples_per_call):
            taken = noise.take(len(samples))
            for (rows, images), encoding in zip(calls, encodings, strict=True):
                part = taken[:, rows.start : rows.stop].contiguous()
                # No name for the draw: it would be held while the next one is made.
                tile.add(model.draw(images, len(samples), encoding=encoding, noise=part), samples, rows)
                drawn(len(samples) * len(rows))
    return tile


class _Part(NamedTuple):
    """What is kept of one tile, on the CPU.

    Attributes:
        bad: images with a log-weight that is none.
        arrays: numbers of every image.
        curve: sums over the images at every K' of ``curve_samples``.
        units: ``TileUnits.totals`` of each latent group.
        gray: whether a model of binary pixels met gray ones.
    """

    bad: list[int]
    arrays: dict[str, np.ndarray]
    curve: np.ndarray
    units: list[tuple[np.ndarray, ...]]
    gray: bool


def _reduce(tile: Tile, span: range, log_evidence: Tensor | None, gray: bool) -> _Part:
    numbers = tile.per_image() | ({} if log_evidence is None else {"log_likelihood_exact": log_evidence})
    arrays = {name: value.cpu().double().numpy() for name, value in numbers.items()}
    return _Part(
        bad=[span.start + row for row in tile.bad_images()],
        arrays={"index": np.arange(span.start, span.stop)} | arrays,
        curve=tile.curve().cpu().numpy(),
        units=[group.totals(tile.num_samples) for group in tile.units],
        gray=gray,
    )


class _Totals:
    """What is kept of all tiles: a few numbers an image, a few a latent unit."""

    def __init__(self, num_samples: int, num_groups: int) -> None:
        self._num_samples = num_samples
        self._groups = [GroupTotals() for _ in range(num_groups)]
        self._images: list[dict[str, np.ndarray]] = []
        self._curve = torch.zeros(len(curve_samples(num_samples)), dtype=torch.float64)

    def add(self, part: _Part) -> None:
        refuse_bad_images(part.bad)
        self._images.append(part.arrays)
        self._curve += torch.from_numpy(part.curve)
        for group, totals in zip(self._groups, part.units, strict=True):
            group.add(totals, len(part.arrays["index"]))

    def per_image(self) -> dict[str, np.ndarray]:
        return {name: np.concatenate([part[name] for part in self._images]) for name in self._images[0]}

    def over_images(self) -> dict[str, Any]:
        arrays, layers = self.per_image(), self._groups[::-1]
        bounds = (self._curve / len(arrays["index"])).tolist()
        return {
            "rate": float(arrays["rate"].mean()),
            "distortion": float(arrays["distortion"].mean()),
            "curve": list(zip(curve_samples(self._num_samples), bounds, strict=True)),
            "units": [group.units for group in layers],
            "active_units": [group.active_units for group in layers],
            "active_mask": [group.active_mask for group in layers],
            "activity": [group.activity for group in layers],
            "kl_units": [group.kl_units for group in layers],
        }
