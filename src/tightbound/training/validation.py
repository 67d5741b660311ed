"""The ELBO on held-out images: eval mode, averaged weights, full precision."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch

from tightbound.core import Model
from tightbound.numerics import evaluation_noise
from tightbound.training.averaging import MovingAverage
from tightbound.training.batches import Images
from tightbound.training.parallel import Parallel, Replicas, batch_statistics
from tightbound.training.precision import full_precision
from tightbound.training.processes import Processes

_CHUNK = 64  # images at a time: what fits of the largest images that the shipped networks take


@contextmanager
def evaluating(model: Model, average: MovingAverage | None, parallel: Parallel = Replicas()) -> Iterator[None]:
    """Inside, the model is what would be kept: eval mode, averaged weights if there are any, no autocast, no gradients.

    Training goes on after it as if it had not been there. Several processes, which enter it together, have the first
    one's batch statistics: each has moved its own by its shares of the batches.
    """
    was_training = model.training
    parallel.processes.copy(batch_statistics(model))
    model.eval()
    try:
        averaged = average.applied() if average else nullcontext()
        with torch.no_grad(), full_precision(model), averaged, parallel.whole():
            yield
    finally:
        model.train(was_training)


def mean_elbo(
    model: Model, split: Images, *, seed: int, dtype: torch.dtype, processes: Processes = Processes()
) -> dict[str, float | list[float]]:
    """Mean over a split of log p(x | z) − KL(q ‖ p), one z an image, the KL analytic where it can be; nats.

    Noise of pixels and posterior depends on (seed, image) alone, so every validation sees the same. Several processes
    share the images, in the same chunks and added in the same order as one does it.

    Returns:
        ``elbo``, ``log_likelihood``, ``kl`` and ``kl_groups`` (L numbers, top first).
    """
    starts = range(0, len(split), _CHUNK)
    sums = torch.zeros(len(starts), 1 + len(model.groups), dtype=torch.float64)
    for chunk in range(processes.rank, len(starts), processes.world_size):
        start = starts[chunk]
        stop = min(start + _CHUNK, len(split))
        x = split.fixed(start, stop, seed)
        noise = evaluation_noise(seed, range(start, stop), range(1), model.noise_size, device=x.device, dtype=dtype)
        draw = model.draw(x.to(dtype), 1, noise=noise)
        sums[chunk] = torch.stack([draw.log_likelihood.double().sum(), *(kl.double().sum() for kl in draw.kl)]).cpu()
    total = sum(processes.sum(sums), torch.zeros(sums.shape[1], dtype=torch.float64))
    log_likelihood, *groups = (total / len(split)).tolist()
    return {
        "elbo": log_likelihood - sum(groups),
        "log_likelihood": log_likelihood,
        "kl": sum(groups),
        "kl_groups": groups,
    }
