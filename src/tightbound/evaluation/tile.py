"""What is kept of the draws of a tile of images: their log-weights and a few sums, float64. All else is transient."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tightbound.core import Draw, LatentGroup, Likelihood
from tightbound.evaluation import diagnostics
from tightbound.evaluation.pareto import pareto_k
from tightbound.evaluation.units import TileUnits, keep
from tightbound.numerics import log_mean_exp

RECONSTRUCTION_SAMPLES = 16


class Tile:
    """The draws of T images, reduced as they come.

    The reconstruction is the likelihood's mean at each of the first min(K, 16) posterior samples; squared and absolute
    errors are averaged over them.

    Args:
        num_samples: K.
        x: (T, C, H, W), the images.
        likelihood: whose mean is the reconstruction.
        groups: L latent groups, top first.
    """

    def __init__(self, num_samples: int, x: Tensor, likelihood: Likelihood, groups: Sequence[LatentGroup]) -> None:
        self.num_samples = num_samples
        self.num_reconstructions = min(num_samples, RECONSTRUCTION_SAMPLES)
        self.units = [TileUnits(keep(x.new_empty(len(x), math.prod(group.shape)))) for group in groups]
        self._x, self._likelihood = x, likelihood
        zeros = keep(x.new_zeros(len(x)))
        self._log_weight = zeros.repeat(num_samples, 1)
        self._log_likelihood = zeros.clone()
        self._square_error = zeros.clone()
        self._absolute_error = zeros.clone()

    def add(self, draw: Draw, samples: range, rows: range) -> None:
        """Takes in the draw of some samples of some of the images."""
        at = slice(rows.start, rows.stop)
        self._log_weight[samples.start : samples.stop, at] = keep(draw.log_weight)
        self._log_likelihood[at] += keep(draw.log_likelihood).sum(0)
        for level, (units, kl) in enumerate(zip(self.units, draw.kl, strict=True)):
            units.add(draw, kl, level, at)
        wanted = min(samples.stop, self.num_reconstructions) - samples.start
        if wanted > 0:
            error = keep(self._likelihood.mean(draw.params[:wanted]) - self._x[at]).flatten(2)
            self._square_error[at] += error.square().mean(-1).sum(0)
            self._absolute_error[at] += error.abs().mean(-1).sum(0)

    def bad_images(self) -> list[int]:
        """Rows with a log-weight or a KL that is NaN, or on the impossible side of infinity.

        A log-weight of −inf is a weight of zero and legitimate.
        """
        bad = (self._log_weight.isnan() | (self._log_weight == torch.inf)).any(0)
        for group in self.units:
            kl = group.kl(self.num_samples)
            bad |= (kl.isnan() | (kl == -torch.inf)).any(-1)
        return bad.nonzero().squeeze(-1).tolist()

    def per_image(self) -> dict[str, Tensor]:
        """The numbers of every image, (T) each."""
        rate = torch.stack([group.kl(self.num_samples).sum(-1) for group in self.units]).sum(0)
        distortion = -self._log_likelihood / self.num_samples
        return {
            "elbo": -distortion - rate,
            "rate": rate,
            "distortion": distortion,
            "log_likelihood": log_mean_exp(self._log_weight, 0),
            "standard_error": diagnostics.jackknife_standard_error(self._log_weight),
            "ess": diagnostics.ess(self._log_weight),
            "pareto_k": pareto_k(self._log_weight),
            "rmse": (self._square_error / self.num_reconstructions).sqrt(),
            "mae": self._absolute_error / self.num_reconstructions,
        }

    def curve(self) -> Tensor:
        """(points) sum over the images of the bound at every K' of ``curve_samples``."""
        return diagnostics.bound_curve(self._log_weight).sum(-1)
