"""What the report shows of a decoder that warps, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

from tightbound.report.pictures import Array, Traversal


@dataclass(frozen=True, eq=False)
class Warps:
    """Images before and after the warp of a spatial transformer, and walks along each part of its latents.

    Args:
        before: (n, C, H, W), the mean of the pixels that z_what alone gives.
        after: (n, C, H, W), the mean of the pixels.
        places: (n, H, W, 2), where each pixel is read: (x, y), from −1 to 1 between the outermost pixels' centers.
        where: along the units of z_where.
        what: along the units of z_what.
        originals: (n, C, H, W), the images whose posterior means are decoded; None for samples of the prior.
        split: what the images are of.
    """

    before: Array
    after: Array
    places: Array
    where: Traversal
    what: Traversal
    originals: Array | None = None
    split: str = "test"
