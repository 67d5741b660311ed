"""Do samples look like the data as much as reconstructions do?

Samples and reconstructions come out of the same decoder; they differ only in where z comes from: p(z), or q(z | x) of
held-out images. If the prior matches the posteriors, averaged over images, the two sets have one distribution, and one
is as close to other held-out images as the other. So take each decoded mean's distance to the nearest of a set of
reference images that neither has seen, and count in how many (sample, reconstruction) pairs the sample is farther off.
The expected fraction is one half when the prior fits and tends to one when samples look like nothing in the data; its
standard error under "no difference" is √((a + b + 1) / 12ab), 0.05 for 64 of each. It is a check of gross failure in
pixel space, not a score.
"""

from __future__ import annotations

import numpy as np

from tightbound.report.pictures import Array


def nearest_distance(images: Array, references: Array) -> Array:
    """Root-mean-square pixel distance of each image to the nearest reference: (n, C, H, W), (r, C, H, W) -> (n)."""
    flat = images.reshape(len(images), -1).astype(np.float64)
    others = references.reshape(len(references), -1).astype(np.float64)
    squared = (flat**2).sum(1)[:, None] + (others**2).sum(1) - 2 * flat @ others.T
    return np.sqrt(np.maximum(squared.min(1), 0) / flat.shape[1])


def fraction_farther(samples: Array, reconstructions: Array) -> float:
    """Fraction of pairs in which the sample's distance is the larger; ties count half (Mann–Whitney U / ab)."""
    difference = samples[:, None] - reconstructions[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())
