"""Bidirectional Monte Carlo: the error of annealed evaluation, bounded from both sides on images of the model itself.

Grosse, Ghahramani & Adams 2015 ("Sandwiching the marginal likelihood using bidirectional Monte Carlo"); for decoders
Wu et al. 2017. Of an image that the model simulated the exact latent is known, a perfect posterior sample. Chains that
run backward from it have E[1/w] = 1/p(x), so that −log mean 1/w bounds log p(x) from above in expectation. The gap to
the forward bound certifies the settings. No upper bound exists for a real image, whose exact latent nobody knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.evaluation.annealed import (
    anneal_images,
    bad_rows,
    describe_annealing,
    fields_of,
    prepare,
    tell,
    work_of,
)
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings, walk
from tightbound.evaluation.checks import check_counts, evaluating, refuse_bad_images
from tightbound.evaluation.chunks import probe_chunk, tiles
from tightbound.evaluation.forecast import MOST_HOURS, foresee
from tightbound.evaluation.meter import Meter
from tightbound.evaluation.pilot import PAIR_TRANSITIONS, Annealing
from tightbound.evaluation.result import Estimate
from tightbound.evaluation.shares import ALONE, Processes, in_order, most_images
from tightbound.evaluation.source import Images, Source
from tightbound.numerics import NOISE_IMAGE_TILE, generator_for, log_mean_exp

MOST_SIMULATED = 100  # unless asked for


def bidirectional(
    model: Model,
    source: Tensor | Source,
    num_samples: int = 16,
    annealing: Annealing | None = None,
    *,
    simulated: int | None = None,
    seed: int = 0,
    chunk: int | None = None,
    limit: int | None = None,
    most_hours: float | None = MOST_HOURS,
    exact: bool = True,
    is_likelihood: bool = True,
    log_volume: float | None = None,
    progress: Callable[[float, int], None] | None = None,
    say: Callable[[str], None] | None = None,
    processes: Processes = ALONE,
) -> Estimate:
    """``annealed``, and the gap that the very same settings leave on images drawn from the model.

    Args:
        model: see ``annealed``.
        source: see ``annealed``.
        num_samples: K, chains an image and direction.
        annealing: see ``annealed``; the start ``posterior`` is refused.
        simulated: how many images are drawn from the model; None for as many as are evaluated, at most 100.
        seed: see ``annealed``, and of the simulated images.
        chunk: see ``annealed``.
        limit: see ``annealed``.
        most_hours: see ``annealed``.
        exact: see ``annealed``.
        is_likelihood: see ``annealed``.
        log_volume: see ``annealed``.
        progress: see ``annealed``; the simulated images' work counts too.
        say: see ``annealed``.
        processes: see ``annealed``; they share the simulated images too.

    Raises:
        RecipeError, DataError, TightboundError: see ``annealed``.
    """
    check_counts(num_samples=num_samples, chunk=chunk, limit=limit, simulated=simulated)
    annealing = Annealing() if annealing is None else annealing
    if annealing.start == "posterior":
        raise RecipeError(
            "start: got 'posterior'; a bidirectional evaluation begins at the exact ε of an image, which would have to "
            "be carried back into the posterior's noise",
            hint="use start=prior or start=base, or method annealed",
        )
    started = time.perf_counter()
    images = Images(model, source, seed, limit)
    count = min(images.num_images, MOST_SIMULATED) if simulated is None else simulated
    work = work_of(images.num_images + 2 * count, num_samples, annealing) + PAIR_TRANSITIONS
    meter = Meter(progress, images.num_images, work)
    with evaluating(model):
        chunk = chunk or processes.first(lambda: probe_chunk(model, images.read(range(1)), gradient=True))
        cut = {"seed": seed, "chunk": chunk, "processes": processes}
        forecast = foresee(model, images, num_samples, annealing, simulated=count, **cut)
        tell(forecast, most_hours, say)
        settings = processes.first(lambda: prepare(model, annealing, seed, chunk, meter))
        per_image, trace = anneal_images(model, images, num_samples, settings, meter=meter, exact=exact, **cut)
        lower, upper = sandwich(model, count, num_samples, settings, meter=meter, **cut)
    meter.finish()
    return Estimate(
        method="bidirectional",
        seconds=time.perf_counter() - started,
        predicted_seconds=forecast.seconds,
        annealing=describe_annealing(annealing, settings, trace),
        **_simulated_fields(lower, upper),
        **fields_of(model, images, per_image, num_samples, seed, is_likelihood, log_volume),
    )


def sandwich(
    model: Model,
    count: int,
    num_samples: int,
    settings: Settings,
    seed: int,
    chunk: int,
    meter: Meter | None = None,
    processes: Processes = ALONE,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Lower and upper bound on log p(x) of n images drawn from the model, stochastic ones: each holds in expectation.

    The K reverse chains of an image all begin at its exact ε, so the upper bound is no tighter than that one point
    allows: p(x) E[1/w] = 1 over images' ε, and the mean over chains only takes out the chains' own noise.
    """
    meter = Meter(None, count, 1) if meter is None else meter

    def work(span: range, together: int) -> tuple[list[int], np.ndarray, np.ndarray]:
        x, epsilon = simulated_images(model, span, seed)
        tick = meter.tick(num_samples * together)
        chains = Chains(model, x, settings.start, num_samples, chunk)
        noise = ChainNoise(seed, "simulated, forward", span, num_samples, x)
        chains.begin(noise)
        forward = walk(chains, settings, noise, tick=tick)
        noise = ChainNoise(seed, "simulated, reverse", span, num_samples, x)
        chains.begin_at(epsilon.expand(num_samples, -1, -1), noise)
        reverse = walk(chains, settings, noise, reverse=True, tick=tick)
        bad = [span.start + row for row in sorted({*bad_rows(forward), *bad_rows(-reverse)})]
        return bad, log_mean_exp(forward, 0).cpu().numpy(), -log_mean_exp(-reverse, 0).cpu().numpy()

    lower, upper = [], []
    most = most_images(count, next(model.parameters(), torch.empty(0)).device, processes)
    for _, (bad, low, high) in in_order(processes, tiles(count, num_samples, chunk, most), work):
        refuse_bad_images(bad)
        lower.append(low)
        upper.append(high)
    return torch.from_numpy(np.concatenate(lower)), torch.from_numpy(np.concatenate(upper))


def simulated_images(model: Model, span: range, seed: int) -> tuple[Tensor, Tensor]:
    """Images of the model and the exact ε behind each; an image's number alone determines it."""
    device = next(model.parameters(), torch.empty(0)).device
    numbers = range(span.start // NOISE_IMAGE_TILE, -(-span.stop // NOISE_IMAGE_TILE))
    drawn = [
        model.simulate(NOISE_IMAGE_TILE, generator_for(seed, "simulated images", tile, device=device))
        for tile in numbers
    ]
    x, epsilon = (torch.cat(parts)[: len(span)] for parts in zip(*drawn, strict=True))
    return x, epsilon


def _simulated_fields(lower: Tensor, upper: Tensor) -> dict[str, Any]:
    gap = upper - lower
    error = {name: _error(values) for name, values in (("lower", lower), ("upper", upper), ("gap", gap))}
    return {
        "simulated_lower": float(lower.mean()),
        "simulated_upper": float(upper.mean()),
        "simulated_gap": float(gap.mean()),
        "simulated_gap_error": error["gap"],
        "simulated": {
            "images": len(gap),
            "lower": lower.tolist(),
            "upper": upper.tolist(),
            "lower_error": error["lower"],
            "upper_error": error["upper"],
            "gap_error": error["gap"],
        },
    }


def _error(values: Tensor) -> float | None:
    """Standard error of the mean over the choice of images."""
    return float(values.std() / np.sqrt(len(values))) if len(values) > 1 else None
