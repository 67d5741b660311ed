"""The data of the Gaussian location study: one truth for each dimension, one latent vector for each data set."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.models.gaussian_location import maximum_likelihood, statistics
from tightbound.numerics import generator_for

ROWS = 10_000  # N
BATCH = 256  # rows of a published mini-batch: 39 of these, and one of 16
SEED = 12345


@dataclass(frozen=True, eq=False)
class DataSets:
    """S data sets of one dimension D, as their statistics: F = 1 + 2 D.

    Args:
        shift: the true Δ (D).
        scale: the true σ (D).
        latent: the z behind each (S, D).
        whole: of all rows (S, 1, F).
        batches: of each mini-batch of rows (S, 40, F).
        best_shift: the Δ of maximum likelihood (S, D), which is x̄.
        best_scale: the σ of maximum likelihood (S, D).
    """

    shift: Tensor
    scale: Tensor
    latent: Tensor
    whole: Tensor
    batches: Tensor
    best_shift: Tensor
    best_scale: Tensor

    def __len__(self) -> int:
        return len(self.latent)


def truth(dimension: int) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Δ_j = r_j/5 and σ_j = 36 r_j²/(10 (D − 1)²) + 0.1 with r_j = −(D − 1)/2 … (D − 1)/2: σ is 1 at both ends."""
    r = torch.arange(dimension, dtype=torch.float64) - (dimension - 1) / 2
    return r / 5, 36 * r.square() / (10 * (dimension - 1) ** 2) + 0.1


def make_data_sets(dimension: int, count: int, *, rows: int = ROWS) -> DataSets:
    """The first ``count`` data sets of a dimension: the same for every method, on every machine of one PyTorch.

    z ~ N(0, I) once for each data set, x_i ~ N(z + Δ, diag σ²) for N rows. The rows themselves are not kept.
    """
    shift, scale = truth(dimension)
    parts = []
    for index in range(count):
        generator = generator_for(SEED, "gaussian location", dimension, index)
        latent = torch.randn(dimension, generator=generator, dtype=torch.float64)
        noise = torch.randn(rows, dimension, generator=generator, dtype=torch.float64)
        x = (latent + shift + scale * noise)[None, None]
        batches = torch.cat([statistics(batch) for batch in x.split(BATCH, dim=2)])
        parts.append((latent, statistics(x), batches, *(found[0] for found in maximum_likelihood(x))))
    return DataSets(shift, scale, *(torch.stack(column) for column in zip(*parts, strict=True)))
