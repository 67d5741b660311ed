"""What training is handed to call: an importance bound on validation images, and pictures for TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.data import Split
from tightbound.evaluation import importance
from tightbound.numerics import generator_for
from tightbound.training import TrainingSettings

_PICTURES = 32


def validation_bound(settings: TrainingSettings) -> Callable[[Model, Any, int], Mapping[str, Any]] | None:
    """``validate`` for ``training.train``: the importance bound that the recipe asks for, or None.

    Its noise depends on the seed and the image alone, so that the checkpoints are compared on the same numbers.
    """
    if not settings.validation_samples:
        return None

    def validate(model: Model, split: Any, step: int) -> Mapping[str, Any]:
        estimate = importance(
            model, split, settings.validation_samples, seed=settings.seed, limit=settings.validation_images, exact=False
        )
        return {"bound": estimate.log_likelihood, "bound_samples": settings.validation_samples}

    return validate


def pictures(split: Split) -> Callable[[Model, float, int, Any], None]:
    """``on_epoch`` for ``training.train``: samples and reconstructions, always of the same noise and images."""
    originals = split.fixed(0, _PICTURES, seed=0)

    def show(model: Model, epoch: float, step: int, writer: Any) -> None:
        if writer is None:
            return
        like = next(model.parameters())
        x = originals.to(like)
        epsilon = model.sample_prior(_PICTURES, generator_for(0, "training samples", device=like.device))
        generator = generator_for(0, "training reconstructions", device=like.device)
        params = model.draw(x, 1, generator=generator).params[0]
        writer.add_images("samples", _pixels(model.likelihood.mean(model.params_at(epsilon))), step)
        writer.add_images("reconstructions", _pixels(torch.cat([x, model.likelihood.mean(params)])), step)

    return show


def _pixels(images: Tensor) -> Tensor:
    """(N, C, H, W) as TensorBoard shows it: one or three channels in [0, 1]."""
    images = images.detach().float().cpu().clamp(0, 1)
    return images if images.shape[1] in (1, 3) else images.mean(1, keepdim=True)
