"""Which latent units a model uses most, by what an evaluation has found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tightbound.report.run_folder import Row

_WORDS = {
    "kl_units": "sorted by KL, largest first",
    "activity": "sorted by how much their posterior mean varies over the images, most first",
}


def units_by_use(row: Row, sizes: Sequence[int]) -> tuple[list[int], str]:
    """Flat indices of all latent units, the most used first, and in words what they are sorted by.

    By KL where it is known of every unit, else by the variance of the posterior mean over the images, else in order.

    Args:
        row: of evaluation.json, or empty.
        sizes: units of each latent group, top first.
    """
    for key, words in _WORDS.items():
        layers = [np.array(layer, dtype=float).ravel() for layer in row.get(key) or [] if layer is not None]
        groups = layers[::-1]  # flat coordinates have the top first
        if [len(group) for group in groups] == list(sizes):
            values = np.concatenate(groups)
            if np.isfinite(values).all():
                return np.argsort(-values, kind="stable").tolist(), words
    return list(range(sum(sizes))), "in order"
