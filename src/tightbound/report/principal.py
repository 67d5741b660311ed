"""Principal components of posterior means."""

from __future__ import annotations

import numpy as np

from tightbound.report.pictures import Array


def principal_components(codes: Array) -> tuple[Array, Array] | None:
    """Coordinates along the two directions of largest variance, and each one's share of the variance.

    With the centered codes U S Vᵀ the coordinates are U S. The sign of a direction is free; here the entry of V that is
    largest in size is positive.

    Args:
        codes: (n, D).

    Returns:
        (n, 2) and (2); None where there are no two directions: fewer than three codes, one unit, or no spread.
    """
    if min(len(codes) - 1, codes.shape[1]) < 2:
        return None
    centered = codes.astype(np.float64) - codes.mean(0, dtype=np.float64)
    _, sizes, directions = np.linalg.svd(centered, full_matrices=False)
    if not sizes[1] > 1e-9 * max(1.0, float(np.abs(codes).max())):
        return None
    largest = np.abs(directions[:2]).argmax(1)
    signs = np.sign(directions[[0, 1], largest])
    return centered @ (directions[:2] * signs[:, None]).T, sizes[:2] ** 2 / (sizes**2).sum()
