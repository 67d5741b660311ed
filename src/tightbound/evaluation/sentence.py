"""The plain sentence that goes with every number."""

from __future__ import annotations

from typing import Literal

Measure = Literal["probability", "density", "not a likelihood"]

_HEADLINES = {"importance": "lower bound on log p(x), K = {samples}"}
_SCORE = "score under a density that does not fit these pixels (not a likelihood), K = {samples}"
_LABELS: dict[Measure, str] = {
    "probability": "",
    "density": "density on [0, 1] pixels, not a probability: ",
}
_DEQUANTIZED = "density of dequantized pixels, whose bits per dimension bound those of the integers: "
_TRUST = "the bound holds there, its stated error does not"


def describe(
    *,
    method: str,
    measure: Measure,
    samples: int,
    images: int,
    uneven: int | None,
    impossible: int = 0,
    dequantized: bool = False,
) -> str:
    """What the number is and how far to trust it.

    Args:
        method: the evaluator.
        measure: what p(x) is; anything but a probability leads the sentence.
        samples: K.
        images: n.
        uneven: in how many images k̂ > 0.7; None if K is too small to tell.
        impossible: in how many images every weight is zero.
        dequantized: whether a density is of integers plus uniform noise.
    """
    parts = [_what(method, measure, dequantized).format(samples=samples)]
    if impossible:
        parts.append(f"in {_of(impossible, images)} every weight is zero, so the mean is −inf")
    if uneven is None:
        parts.append("too few samples to judge whether the weights can be trusted (Pareto k needs K > 20)")
    elif uneven:
        parts.append(
            f"in {_of(uneven, images)} the weights are too uneven to trust (Pareto k > 0.7): "
            + ("the stated error does not hold there" if measure == "not a likelihood" else _TRUST)
        )
    else:
        parts.append(f"the weights are even enough to trust in {_all(images)} (Pareto k ≤ 0.7)")
    return "; ".join(parts)


def _what(method: str, measure: Measure, dequantized: bool) -> str:
    if measure == "not a likelihood":
        return _SCORE
    return (_DEQUANTIZED if measure == "density" and dequantized else _LABELS[measure]) + _HEADLINES[method]


def _of(count: int, images: int) -> str:
    return f"{count:,} of {images:,} image{'s' if images != 1 else ''}"


def _all(images: int) -> str:
    return f"all {images:,} images" if images != 1 else "the one image"
