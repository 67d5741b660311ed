"""The arrays of a report that only the model and the data can give."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class RankedImages:
    """Images with what the evaluation says of each.

    Args:
        images: (n, C, H, W) in [0, 1], the very pixels that were evaluated.
        index: (n) index in the split.
        log_likelihood: (n) nats.
        standard_error: (n) nats, or None.
        pareto_k: (n), or None.
        label: (n), or None.
    """

    images: Array
    index: Array
    log_likelihood: Array
    standard_error: Array | None = None
    pareto_k: Array | None = None
    label: Array | None = None


@dataclass(frozen=True, eq=False)
class Pictures:
    """What ``collect_pictures`` hands to ``write_report``; whatever is None leaves out its part of the page.

    Args:
        samples: (n, C, H, W), pixels drawn from the model.
        sample_means: (n, C, H, W), the mean of the pixels for the same z.
        originals: (m, C, H, W) in [0, 1], held-out images.
        reconstructions: (m, C, H, W), the mean of the pixels at one posterior sample of each.
        uncertainty: (m, C, H, W), the standard deviation of the pixels there.
        best: the images of largest log p(x), best first.
        worst: the images of smallest log p(x), worst first.
        sample_distance: (a) distance of sample means to the nearest held-out image, see ``realism``.
        reconstruction_distance: (b) the same of reconstructions.
        split: name of the held-out split.
    """

    samples: Array
    sample_means: Array | None = None
    originals: Array | None = None
    reconstructions: Array | None = None
    uncertainty: Array | None = None
    best: RankedImages | None = None
    worst: RankedImages | None = None
    sample_distance: Array | None = None
    reconstruction_distance: Array | None = None
    split: str = "test"
