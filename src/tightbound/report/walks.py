"""Walks through the latent space, in the flat coordinates ε of ``core.Model``: between images, and along one unit.

In ε the prior is standard normal wherever it can be whitened, so a step is as long in one unit as in another, and a
model of several latent groups is walked through as one of a single group.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from tightbound.core import Model

REACH = 3.0  # prior standard deviations, to both sides
_ROWS = 256  # decoded at once


def interpolation(corners: Tensor, steps: int) -> Tensor:
    """Points between images, bilinear in ε.

    Args:
        corners: (4, E), the points of the top left, top right, bottom left and bottom right image; or (2, E), of the
            left and the right one.
        steps: S, points along a side, both ends included.

    Returns:
        (S, S, E), or (1, S, E) between two.
    """
    if len(corners) not in (2, 4):
        raise ValueError(f"expected 2 or 4 corners; got {len(corners)}")
    t = torch.linspace(0, 1, steps, dtype=corners.dtype, device=corners.device).unsqueeze(-1)
    across = [torch.lerp(left, right, t) for left, right in zip(corners[::2], corners[1::2], strict=True)]
    if len(across) == 1:
        return across[0].unsqueeze(0)
    return torch.lerp(across[0].unsqueeze(0), across[1].unsqueeze(0), t.unsqueeze(-1))


def traversal(start: Tensor, units: Sequence[int], mean: Tensor, std: Tensor, steps: int) -> Tensor:
    """One unit at a time from −3 to 3 standard deviations of the prior, the others where they are.

    Args:
        start: (E), the point whose other coordinates are kept.
        units: n indices into ε.
        mean: (E), of the prior.
        std: (E), of the prior.
        steps: S.

    Returns:
        (n, S, E): row i differs from ``start`` in coordinate units[i] alone.
    """
    points = start.expand(len(units), steps, -1).clone()
    scores = torch.linspace(-REACH, REACH, steps, dtype=start.dtype, device=start.device)
    for row, unit in enumerate(units):
        points[row, :, unit] = mean[unit] + std[unit] * scores
    return points


def decoded(model: Model, epsilon: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of every pixel, (*rows, C, H, W) each, at flat coordinates (*rows, E)."""
    parts = [model.params_at(part) for part in epsilon.flatten(0, -2).split(_ROWS)]
    likelihood = model.likelihood
    maps = (torch.cat([of(part) for part in parts]) for of in (likelihood.mean, likelihood.std))
    mean, std = (values.unflatten(0, epsilon.shape[:-1]) for values in maps)
    return mean, std
