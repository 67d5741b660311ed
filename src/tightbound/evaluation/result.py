"""What an evaluator returns: one row of numbers, the per-image numbers behind it, and a sentence on what it is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch

from tightbound.evaluation.diagnostics import interval_of_mean, intervals
from tightbound.evaluation.pareto import PARETO_K_LIMIT
from tightbound.evaluation.sentence import Measure, describe


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """log p(x) of a set of images, with its uncertainty. Nats, means over images, unless the name says otherwise.

    None stands where a method has no such number, or where the number is not known.

    Args:
        method: ``"importance"`` or another evaluator.
        images: n, how many images.
        samples: K, samples (or chains) an image.
        log_likelihood: the bound on the mean log p(x).
        measure: what p(x) is: ``"probability"`` of discrete pixels, ``"density"`` on [0, 1] pixels, or
            ``"not a likelihood"``.
        seed: of the evaluation noise and the pixels' own.
        dequantized: the density is of integers plus uniform noise, so that by Jensen's inequality the mean of
            ``bits_per_dim`` bounds the bits of the integers from above (Theis et al. 2016, section 3.1).
        elbo: mean log p(x|z) − KL, the KL analytic where it can be; equals −(distortion + rate). The mean log-weight of
            the same samples, which never exceeds ``log_likelihood``, is the first point of ``curve``.
        standard_error: √(Σ se²)/n, the Monte Carlo error of the mean over these very images.
        standard_error_images: spread over images / √n, the error that a new test set would have.
        interval: 95 % (low, high) of ``log_likelihood`` over Monte Carlo error; None if k̂ > 0.7 or unknown in any
            image.
        bits_per_dim: bits per pixel and channel, the volume of the data's pixel bins included.
        ess_median: median over images of the effective sample size.
        pareto_k_over_0_7: fraction of images with k̂ > 0.7; None if K is too small to fit it.
        images_k_over_0_7: the same as a count.
        exact: mean of the exact log p(x), where the model has it.
        curve: [K', bound] at K' = 1, 10, 100, …, K from the same draws.
        rate: mean KL.
        distortion: mean −log p(x|z).
        units: latent units of each layer, of a ladder the bottom first.
        active_units: units of each layer whose posterior mean varies over images by more than 0.01; None for a layer
            where that is unknown (one image, or one sample of a posterior without a closed mean).
        active_mask: which units these are, per layer, or None.
        activity: variance over images of the posterior mean of every unit, per layer, or None (Burda et al. 2016).
        kl_units: mean KL of every unit, per layer (one number for a layer whose KL does not split).
        reconstruction_rmse: root of the mean squared error of the likelihood's mean, in [0, 1] pixel units.
        reconstruction_mae: mean absolute error of the same.
        simulated_lower: of bidirectional evaluation, on images drawn from the model.
        simulated_upper: of bidirectional evaluation, on images drawn from the model.
        simulated_gap: upper − lower.
        simulated_gap_error: standard error of ``simulated_gap`` over the choice of simulated images.
        simulated: of bidirectional evaluation: how many ``images``, their ``lower`` and ``upper`` bounds one by one,
            and the standard errors of the means over the choice of images.
        annealing: of annealed and bidirectional evaluation: what was chosen (``start``, ``schedule``, ``temperatures``,
            ``leapfrog_steps``, ``refresh``, ``target_acceptance``), the mean ``acceptance``, and of the temperatures
            ``listed`` (by index, at most 101 of them) the ``temperature_values``, ``step_sizes``,
            ``acceptance_by_temperature`` and ``log_weight_variance`` (over chains, of the log-weight accumulated so
            far, mean over images).
        seconds: wall time.
        predicted_seconds: of annealed and bidirectional evaluation, what was predicted before it began.
        device: where it ran.
        threads: of the processors it ran on, of all processes together; filled in by the caller too.
        precision: of the network bodies where it was less than float32: ``"bf16"``; filled in by the caller too.
        split: of the data; the caller knows it, as it does ``checkpoint`` and ``protocol`` (``dataclasses.replace``).
        checkpoint: the weights used.
        protocol: how the pixels were made, in words.
        per_image: arrays of length n: ``index``, ``log_likelihood``, ``standard_error``, and what the method has of
            ``elbo``, ``rate``, ``distortion``, ``ess``, ``pareto_k`` (−inf: no tail, NaN: unknown),
            ``log_likelihood_exact``, ``rmse``, ``mae``, ``label``.
    """

    method: str
    images: int
    samples: int
    log_likelihood: float
    measure: Measure
    seed: int
    dequantized: bool = False
    elbo: float | None = None
    standard_error: float | None = None
    standard_error_images: float | None = None
    interval: tuple[float, float] | None = None
    bits_per_dim: float | None = None
    ess_median: float | None = None
    pareto_k_over_0_7: float | None = None
    images_k_over_0_7: int | None = None
    exact: float | None = None
    curve: list[tuple[int, float]] | None = None
    rate: float | None = None
    distortion: float | None = None
    units: list[int] | None = None
    active_units: list[int | None] | None = None
    active_mask: list[list[bool] | None] | None = None
    activity: list[list[float] | None] | None = None
    kl_units: list[list[float]] | None = None
    reconstruction_rmse: float | None = None
    reconstruction_mae: float | None = None
    simulated_lower: float | None = None
    simulated_upper: float | None = None
    simulated_gap: float | None = None
    simulated_gap_error: float | None = None
    simulated: Mapping[str, Any] | None = None
    annealing: Mapping[str, Any] | None = None
    seconds: float | None = None
    predicted_seconds: float | None = None
    device: str | None = None
    threads: int | None = None
    precision: str | None = None
    split: str | None = None
    checkpoint: str | None = None
    protocol: str | None = None
    per_image: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def is_likelihood(self) -> bool:
        """Whether the numbers are log-probabilities or log-densities of the data at all."""
        return self.measure != "not a likelihood"

    @property
    def images_per_second(self) -> float | None:
        """Images evaluated a second."""
        return self.images / self.seconds if self.seconds else None

    @property
    def sentence(self) -> str:
        """What ``log_likelihood`` is and how far to trust it, in plain words."""
        return describe(
            measure=self.measure,
            dequantized=self.dequantized,
            samples=self.samples,
            images=self.images,
            uneven=self.images_k_over_0_7,
            ess=self.ess_median,
            annealing=self.annealing,
            simulated=self._gap,
            impossible=int(np.isneginf(self.per_image.get("log_likelihood", np.zeros(0))).sum()),
        )

    @property
    def _gap(self) -> tuple[int, float, float | None] | None:
        if self.simulated is None or self.simulated_gap is None:
            return None
        return self.simulated["images"], self.simulated_gap, self.simulated_gap_error

    def intervals(self) -> np.ndarray:
        """(n, 2) 95 % interval of each image's log p(x), nats; NaN where k̂ is above 0.7 or unknown."""
        names = ("log_likelihood", "standard_error", "pareto_k")
        return intervals(*(torch.from_numpy(self.per_image[name]) for name in names), num_samples=self.samples).numpy()

    def to_row(self) -> dict[str, Any]:
        """The row of ``evaluation.json`` and ``--json``: JSON types only, null for None and for what is not finite."""
        row = {item.name: to_json(getattr(self, item.name)) for item in fields(self) if item.name != "per_image"}
        row["images_per_second"] = to_json(self.images_per_second)
        row["is_likelihood"] = self.is_likelihood
        row["sentence"] = self.sentence
        return row


def summarize(
    per_image: Mapping[str, np.ndarray],
    num_samples: int,
    *,
    num_pixels: int,
    log_volume: float = 0.0,
) -> dict[str, Any]:
    """The fields of an ``Estimate`` that follow from the per-image numbers alone, whatever the method.

    Args:
        per_image: as ``Estimate.per_image``.
        num_samples: K.
        num_pixels: D = C·H·W.
        log_volume: nats per pixel added to −log p(x), from a density on [0, 1] to the code length of the stored data.
    """
    log_p, error = per_image["log_likelihood"], per_image["standard_error"]
    n = len(log_p)
    spread = log_p.std(ddof=1) if n > 1 and np.isfinite(log_p).all() else math.nan
    summary: dict[str, Any] = {
        "images": n,
        "samples": num_samples,
        "log_likelihood": float(log_p.mean()),
        "standard_error": _known(np.sqrt(np.square(error).sum()) / n),
        "standard_error_images": _known(spread / math.sqrt(n)),
        "bits_per_dim": _known((log_volume - log_p.mean() / num_pixels) / math.log(2)),
        "per_image": per_image,
    }
    if "elbo" in per_image:
        summary["elbo"] = float(per_image["elbo"].mean())
    if "ess" in per_image:
        summary["ess_median"] = float(np.median(per_image["ess"]))
    if "log_likelihood_exact" in per_image:
        summary["exact"] = float(per_image["log_likelihood_exact"].mean())
    if "rmse" in per_image:
        summary["reconstruction_rmse"] = float(np.sqrt(np.square(per_image["rmse"]).mean()))
        summary["reconstruction_mae"] = float(per_image["mae"].mean())
    if "pareto_k" in per_image:
        summary |= _summarize_tails(log_p, error, per_image["pareto_k"], num_samples)
    return summary


def _summarize_tails(log_p: np.ndarray, error: np.ndarray, k: np.ndarray, num_samples: int) -> dict[str, Any]:
    if np.isnan(k).any():
        return {}
    uneven = int((k > PARETO_K_LIMIT).sum())
    return {
        "images_k_over_0_7": uneven,
        "pareto_k_over_0_7": uneven / len(k),
        "interval": interval_of_mean(*map(torch.from_numpy, (log_p, error, k)), num_samples=num_samples),
    }


def _known(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def to_json(value: Any) -> Any:
    """JSON types only; null for what is not finite."""
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if isinstance(value, float):
        return _known(value)
    return value
