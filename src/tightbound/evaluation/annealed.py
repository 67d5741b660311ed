"""Annealed importance sampling: log p(x) from chains that go from a density that can be sampled to the posterior.

Neal 2001 ("Annealed importance sampling"); with Hamiltonian transitions Sohl-Dickstein & Culpepper 2012; for decoders
Wu et al. 2017. exp(log w) of a chain is unbiased for p(x), whatever the temperatures, the step sizes and the mixing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.evaluation import diagnostics
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings, Trace, walk
from tightbound.evaluation.checks import check_counts, evaluating, refuse_bad_images
from tightbound.evaluation.chunks import probe_chunk, tiles
from tightbound.evaluation.forecast import MOST_HOURS, Forecast, foresee
from tightbound.evaluation.meter import Meter
from tightbound.evaluation.pareto import pareto_k
from tightbound.evaluation.pilot import CHAINS, IMAGES, PAIR_TRANSITIONS, Annealing, tune
from tightbound.evaluation.result import Estimate, summarize
from tightbound.evaluation.shares import ALONE, Processes, in_order, most_images
from tightbound.evaluation.source import Images, Source, measure_of
from tightbound.numerics import log_mean_exp

_LISTED = 101  # temperatures at most, of which a row lists what happened


def annealed(
    model: Model,
    source: Tensor | Source,
    num_samples: int = 16,
    annealing: Annealing | None = None,
    *,
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
    """The annealed bound on log p(x) of every image, in eval mode: log-mean-exp over its chains.

    All chains of all images move together, a budget of pairs at a time; log-weights are float64. A transition of L
    leapfrog steps costs L decoder gradients and the weights cost none. ``chunk`` and ``limit`` change no image's
    number, but for rounding, by which a float32 chain may once in a while accept where it would have refused.

    Args:
        model: any ``core.Model``.
        source: images (N, C, H, W) in [0, 1], or any object with ``len()`` and ``fixed(start, stop, seed)``.
        num_samples: K, chains an image.
        annealing: temperatures, schedule, start and so on; None is the default.
        seed: of the chains, of the pilot, and of the pixels' own noise.
        chunk: (image, chain) pairs in one evaluation; None measures how many fit.
        limit: evaluate the first ``limit`` images only.
        most_hours: what one timed transition predicts to take longer is refused before it begins; None refuses nothing.
        exact: also give log p(x) in closed form, where the model has it.
        is_likelihood: see ``importance``.
        log_volume: see ``importance``.
        progress: called after every transition with images' worth of work done and images in all.
        say: told in one sentence, before it begins, about how long it will take.
        processes: see ``importance``. The first runs the pilot.

    Example:
        >>> estimate = annealed(model, x, num_samples=16)          # doctest: +SKIP
        >>> estimate.log_likelihood, estimate.standard_error       # doctest: +SKIP
        (-91.87, 0.05)

    Raises:
        RecipeError: an option is out of its range, the model cannot start there, or it would take too long.
        DataError: there is no image, or images have another shape than the model's.
        TightboundError: a log-weight is NaN or +inf; the message names the images.
    """
    check_counts(num_samples=num_samples, chunk=chunk, limit=limit)
    annealing = Annealing() if annealing is None else annealing
    started = time.perf_counter()
    images = Images(model, source, seed, limit)
    meter = Meter(progress, images.num_images, work_of(images.num_images, num_samples, annealing) + PAIR_TRANSITIONS)
    with evaluating(model):
        chunk = chunk or processes.first(lambda: probe_chunk(model, images.read(range(1)), gradient=True))
        forecast = foresee(model, images, num_samples, annealing, seed=seed, chunk=chunk, processes=processes)
        tell(forecast, most_hours, say)
        settings = processes.first(lambda: prepare(model, annealing, seed, chunk, meter))
        options = {"exact": exact, "processes": processes}
        per_image, trace = anneal_images(model, images, num_samples, settings, seed, chunk, meter, **options)
    meter.finish()
    return Estimate(
        method="annealed",
        seconds=time.perf_counter() - started,
        predicted_seconds=forecast.seconds,
        annealing=describe_annealing(annealing, settings, trace),
        **fields_of(model, images, per_image, num_samples, seed, is_likelihood, log_volume),
    )


def tell(forecast: Forecast, most_hours: float | None, say: Callable[[str], None] | None) -> None:
    """Says about how long it will take, unless that is refused."""
    forecast.check(most_hours)
    if say is not None:
        say(forecast.sentence)


def work_of(num_images: int, num_samples: int, annealing: Annealing) -> int:
    """Pairs times temperatures: what ``Meter`` counts."""
    return num_images * num_samples * (annealing.temperatures - 1)


def prepare(model: Model, annealing: Annealing, seed: int, chunk: int, meter: Meter) -> Settings:
    """The pilot, with its progress."""
    return tune(model, annealing, seed=seed, chunk=chunk, tick=meter.tick(IMAGES * CHAINS))


def anneal_images(
    model: Model,
    images: Images,
    num_samples: int,
    settings: Settings,
    seed: int,
    chunk: int,
    meter: Meter,
    *,
    exact: bool,
    processes: Processes = ALONE,
) -> tuple[dict[str, np.ndarray], Trace]:
    """Per-image numbers of all images, and what happened at each temperature."""

    def work(span: range, together: int) -> tuple[list[int], dict[str, np.ndarray], Trace, bool]:
        x, trace = images.read(span), Trace(len(settings.temperatures))
        chains = Chains(model, x, settings.start, num_samples, chunk)
        noise = ChainNoise(seed, "annealing", span, num_samples, x)
        chains.begin(noise)
        log_weights = walk(chains, settings, noise, trace=trace, tick=meter.tick(num_samples * together))
        evidence = model.log_evidence(x) if exact else None
        numbers = _numbers(log_weights) | ({} if evidence is None else {"log_likelihood_exact": evidence})
        arrays = {name: value.cpu().double().numpy() for name, value in numbers.items()}
        bad = [span.start + row for row in bad_rows(log_weights)]
        return bad, {"index": np.arange(span.start, span.stop), **arrays}, trace, images.gray

    whole, parts = Trace(len(settings.temperatures)), []
    most = most_images(images.num_images, images.device, processes)
    for _, (bad, arrays, trace, gray) in in_order(processes, tiles(images.num_images, num_samples, chunk, most), work):
        refuse_bad_images(bad)
        parts.append(arrays)
        whole.add(trace)
        images.gray |= gray
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined | ({} if images.labels is None else {"label": images.labels.numpy()}), whole


def bad_rows(log_weights: Tensor) -> list[int]:
    """Images with a log-weight that is NaN or +inf; −inf is a weight of zero and legitimate."""
    return (log_weights.isnan() | (log_weights == torch.inf)).any(0).nonzero().squeeze(-1).tolist()


def _numbers(log_weights: Tensor) -> dict[str, Tensor]:
    return {
        "log_likelihood": log_mean_exp(log_weights, 0),
        "standard_error": diagnostics.jackknife_standard_error(log_weights),
        "ess": diagnostics.ess(log_weights),
        "pareto_k": pareto_k(log_weights),
    }


def fields_of(
    model: Model,
    images: Images,
    per_image: dict[str, np.ndarray],
    num_samples: int,
    seed: int,
    is_likelihood: bool,
    log_volume: float | None,
) -> dict[str, Any]:
    """The fields of an estimate that do not depend on how the chains went."""
    measure = measure_of(model, images.gray or not is_likelihood)
    volume = images.log_volume if log_volume is None else log_volume
    return {
        "measure": measure,
        "dequantized": images.dequantized and measure == "density" and volume > 0,
        "seed": seed,
        "device": str(images.device),
        **summarize(
            per_image,
            num_samples,
            num_pixels=int(np.prod(model.image_shape)),
            log_volume=volume if model.likelihood.data_kind == "continuous" else 0.0,
        ),
    }


def describe_annealing(annealing: Annealing, settings: Settings, trace: Trace) -> dict[str, Any]:
    """``Estimate.annealing``: what was chosen, and at up to 101 of the temperatures what it came to."""
    acceptance, variance = trace.means()
    t, last = settings.temperatures, len(settings.temperatures) - 1
    listed = np.unique(np.linspace(0, last, min(last + 1, _LISTED)).round().astype(int))
    moved = [0 < index < last for index in listed]
    return {
        "start": annealing.start,
        "schedule": annealing.schedule,
        "temperatures": annealing.temperatures,
        "leapfrog_steps": annealing.leapfrog_steps,
        "refresh": annealing.refresh,
        "target_acceptance": annealing.target_acceptance,
        "acceptance": float(acceptance[1:last].mean()) if last > 1 else None,
        "listed": listed.tolist(),
        "temperature_values": t[listed].tolist(),
        "step_sizes": _where(moved, settings.step_sizes[listed]),
        "acceptance_by_temperature": _where(moved, acceptance[listed]),
        "log_weight_variance": _where(listed > 0, variance[listed]),
    }


def _where(known: Any, values: np.ndarray) -> list[float | None]:
    return [float(value) if there else None for there, value in zip(known, values, strict=True)]
