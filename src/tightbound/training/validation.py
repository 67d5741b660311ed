"""The ELBO on held-out images: eval mode, averaged weights, full precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from tightbound.core import Model
from tightbound.numerics import evaluation_noise
from tightbound.training.averaging import MovingAverage
from tightbound.training.batches import Images
from tightbound.training.precision import full_precision

_CHUNK = 64  # images at a time: what fits of the largest images that the shipped networks take


@contextmanager
def evaluating(model: Model, average: MovingAverage | None) -> Iterator[None]:
    """Inside, the model is what would be kept: eval mode, averaged weights if there are any, no autocast, no gradients.

    Training goes on after it as if it had not been there.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), full_precision(model), average.applied() if average else nullcontext():
            yield
    finally:
        model.train(was_training)


def mean_elbo(model: Model, split: Images, *, seed: int, dtype: torch.dtype) -> dict[str, float | list[float]]:
    """Mean over a split of log p(x | z) − KL(q ‖ p), one z an image, the KL analytic where it can be; nats.

    Noise of pixels and posterior depends on (seed, image) alone, so every validation sees the same.

    Returns:
        ``elbo``, ``log_likelihood``, ``kl`` and ``kl_groups`` (L numbers, top first).
    """
    log_likelihood, kl_groups = 0.0, torch.zeros(len(model.groups), dtype=torch.float64)
    for start in range(0, len(split), _CHUNK):
        stop = min(start + _CHUNK, len(split))
        x = split.fixed(start, stop, seed)
        noise = evaluation_noise(seed, range(start, stop), range(1), model.noise_size, device=x.device, dtype=dtype)
        draw = model.draw(x.to(dtype), 1, noise=noise)
        log_likelihood += float(draw.log_likelihood.double().sum())
        kl_groups += torch.stack([kl.double().sum() for kl in draw.kl]).cpu()
    groups = (kl_groups / len(split)).tolist()
    log_likelihood /= len(split)
    return {
        "elbo": log_likelihood - sum(groups),
        "log_likelihood": log_likelihood,
        "kl": sum(groups),
        "kl_groups": groups,
    }
