"""Every likelihood in each of its modes, and decoder outputs that put them to the test."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tightbound.core import Likelihood
from tightbound.likelihoods import Bernoulli, Binomial, DiscretizedLogistic, DiscretizedLogisticMixture, Gaussian

Shape = tuple[int, int, int]

DISCRETE: dict[str, Callable[[Shape], Likelihood]] = {
    "bernoulli": Bernoulli,
    "binomial": lambda shape: Binomial(shape, levels=16),
    "logistic, binary": lambda shape: DiscretizedLogistic(shape, levels=1, scale=0.5),
    "logistic, 3 levels": lambda shape: DiscretizedLogistic(shape, levels=3, scale=0.5),
    "logistic, sigmoid": lambda shape: DiscretizedLogistic(shape, levels=16, mean_activation="sigmoid"),
    "logistic, 8 bits": lambda shape: DiscretizedLogistic(shape, scale=0.3),
    "mixture": lambda shape: DiscretizedLogisticMixture(shape, levels=6, components=3, scale=0.2, coupled=False),
}
CONTINUOUS: dict[str, Callable[[Shape], Likelihood]] = {
    "gaussian": lambda shape: Gaussian(shape, scale=0.3),
    "gaussian, fixed": lambda shape: Gaussian(shape, scale=0.3, learned=False),
    "gaussian, sigmoid": lambda shape: Gaussian(shape, scale=0.3, mean_activation="sigmoid"),
    "gaussian, imagewise": lambda shape: Gaussian(shape, noise="imagewise", scale=0.3),
    "gaussian, pixelwise": lambda shape: Gaussian(shape, noise="pixelwise", scale=0.3, mean_activation="sigmoid"),
}
LIKELIHOODS = {**DISCRETE, **CONTINUOUS}


def levels_of(likelihood: Likelihood) -> int:
    """The largest integer of a discrete likelihood."""
    return likelihood.levels or 1


def outputs(likelihood: Likelihood, *rows: int) -> Tensor:
    """Decoder outputs (*rows, P, H, W): locations inside, near and beyond both ends of [0, 1], scales of every size."""
    _, height, width = likelihood.image_shape
    return 0.3 + 0.5 * torch.randn(*rows, likelihood.out_channels, height, width)
