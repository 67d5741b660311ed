"""Whether two estimators have the same mean gradient: paired differences against their standard errors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from tightbound.core import Model, Objective, Step
from tightbound.models import Ladder

START = Step(torch.tensor(0.0), torch.tensor(0.0))
Estimator = Callable[[Model, Tensor, Tensor], Tensor]  # model, images, noise -> the loss whose gradient is taken


def estimator_of(objective: Objective) -> Estimator:
    """The loss of an objective, at a draw as it asks for."""

    def loss(model: Model, x: Tensor, noise: Tensor) -> Tensor:
        return objective(model.draw(x, len(noise), noise=noise, stop_density=objective.stop_density), START).value

    return loss


def coupled_ladder(merge: str, skip: bool = True) -> Ladder:
    """Two layers of one latent each, whose upper one moves p(z_1 | z_2) and q(z_1 | z_2, x) by much of their scale."""
    torch.manual_seed(0)
    options = {"channels": 2, "blocks": 1, "activation": "tanh", "normalization": "none", "gated": False}
    model = Ladder((1, 2, 2), latent_channels=(1, 1), downsample=(0, 0), merge=merge, skip=skip, **options)  # pyright: ignore
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
        for network in [*model.inference, *model.generation]:
            network.convolution.weight[1:] *= 0.3  # pyright: ignore
        model.output.convolution.weight *= 2
        if merge == "precision":  # q sees z_2 through p alone
            model.generation[0].convolution.weight[:1] *= 4  # pyright: ignore
            model.inference[0].convolution.bias[1:] += 1  # pyright: ignore
    return model.double()


def gradient(estimator: Estimator, model: Model, x: Tensor, noise: Tensor) -> list[Tensor]:
    """Of every parameter of the model; zeros of one that the loss does not depend on."""
    parameters = list(model.parameters())
    found = torch.autograd.grad(estimator(model, x, noise), parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def scores(
    one: Estimator, other: Estimator, model: Model, x: Tensor, *, batches: int = 30, rows: int = 200
) -> tuple[Tensor, Tensor]:
    """Mean difference over its standard error: of each entry of the gradient, and of a random sum over each tensor.

    K = 5; batches × rows repeats for one image (1, C, H, W), with the same noise for both estimators. The entries are
    many, but hardly more of them are independent than q has parameters: all of the difference passes through these.
    What both estimators have alike differs by nothing or by rounding, and counts as 0.
    """
    generator = torch.Generator().manual_seed(1)
    images = x.expand(rows, -1, -1, -1)
    differences = []
    for _ in range(batches):
        noise = torch.randn(5, rows, model.noise_size, generator=generator)
        pair = zip(gradient(one, model, images, noise), gradient(other, model, images, noise), strict=True)
        differences.append([a - b for a, b in pair])
    entries, sums = [], []
    for tensors in zip(*differences, strict=True):
        samples = torch.stack(tensors).flatten(1)
        entries.append(_score(samples))
        sums.append(_score(samples @ torch.randn(samples.shape[1], generator=generator)))
    return torch.cat(entries), torch.stack(sums)


def _score(samples: Tensor) -> Tensor:
    """Of samples (n, ...)."""
    mean, error = samples.mean(0), samples.std(0) / len(samples) ** 0.5
    return torch.where(mean.abs() > 1e-12, mean / error, 0.0)
