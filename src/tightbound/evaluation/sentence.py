"""The plain sentence that goes with every number."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Measure = Literal["probability", "density", "not a likelihood"]

_BOUND = "lower bound on log p(x), {how}"
_SCORE = "score under a density that does not fit these pixels (not a likelihood), {how}"
_STARTS = {"prior": "the prior", "base": "the posterior's base Gaussian", "posterior": "the posterior"}
_LABELS: dict[Measure, str] = {
    "probability": "",
    "density": "density on [0, 1] pixels, not a probability: ",
}
_DEQUANTIZED = "density of dequantized pixels, whose bits per dimension bound those of the integers: "
_TRUST = "the bound holds there, its stated error does not"


def describe(
    *,
    measure: Measure,
    samples: int,
    images: int,
    uneven: int | None,
    impossible: int = 0,
    dequantized: bool = False,
    ess: float | None = None,
    annealing: Mapping[str, Any] | None = None,
    simulated: tuple[int, float, float | None] | None = None,
) -> str:
    """What the number is and how far to trust it.

    Args:
        measure: what p(x) is; anything but a probability leads the sentence.
        samples: K.
        images: n.
        uneven: in how many images k̂ > 0.7; None if K is too small to tell.
        impossible: in how many images every weight is zero.
        dequantized: whether a density is of integers plus uniform noise.
        ess: median effective sample size.
        annealing: ``Estimate.annealing``, where the samples are annealed chains.
        simulated: on how many images drawn from the model which gap was left, and its standard error.
    """
    how = f"K = {samples}" if annealing is None else _chains(samples, annealing)
    parts = [_what(measure, dequantized).format(how=how)]
    if impossible:
        parts.append(f"in {_of(impossible, images)} every weight is zero, so the mean is −inf")
    if annealing is not None:
        parts += _of_chains(samples, ess, simulated)
        if annealing["start"] != "prior" and samples > 1 and uneven is None:
            start = _STARTS[annealing["start"]]
            parts.append(
                f"its error is what {samples:,} chains tell, and too small where {start} misses a part of the true "
                "posterior"
            )
    if uneven is None and annealing is None:
        parts.append("too few samples to judge whether the weights can be trusted (Pareto k needs K > 20)")
    elif uneven:
        parts.append(
            f"in {_of(uneven, images)} the weights are too uneven to trust (Pareto k > 0.7): "
            + ("the stated error does not hold there" if measure == "not a likelihood" else _TRUST)
        )
    elif uneven is not None:
        parts.append(f"the weights are even enough to trust in {_all(images)} (Pareto k ≤ 0.7)")
    return "; ".join(parts)


def _what(measure: Measure, dequantized: bool) -> str:
    if measure == "not a likelihood":
        return _SCORE
    return (_DEQUANTIZED if measure == "density" and dequantized else _LABELS[measure]) + _BOUND


def _chains(samples: int, annealing: Mapping[str, Any]) -> str:
    chains = "1 annealed chain" if samples == 1 else f"{samples:,} annealed chains"
    return f"{chains} of {annealing['temperatures']:,} temperatures from {_STARTS[annealing['start']]}"


def _of_chains(samples: int, ess: float | None, simulated: tuple[int, float, float | None] | None) -> list[str]:
    """What is true of chains: how evenly they count, and what of their error can be known."""
    parts = [] if samples == 1 or ess is None else [f"{ess:.3g} of them count effectively in the median image"]
    if simulated is None:
        return [
            *parts,
            "how far below log p(x) it lies is not known: method bidirectional measures it on images of the model",
        ]
    images, gap, error = simulated
    within = "" if error is None else f" ± {error:.2g}"
    drawn = "1 image" if images == 1 else f"{images:,} images"
    certified = (
        f"on {drawn} drawn from the model the same settings leave a gap of {gap:.3g}{within} nats between a lower"
    )
    return [*parts, f"{certified} and an upper bound; no upper bound exists for a real image"]


def _of(count: int, images: int) -> str:
    return f"{count:,} of {images:,} image{'s' if images != 1 else ''}"


def _all(images: int) -> str:
    return f"all {images:,} images" if images != 1 else "the one image"
