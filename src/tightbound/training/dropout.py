"""Dropout whose masks are a function of (seed, step, rank), as all other noise of training is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn

from tightbound.numerics import generator_for

_DROPOUT = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)

Masks = Callable[[int], AbstractContextManager[None]]  # of a step, counted from 0; -1 is before the first


def masks_of(model: nn.Module, *, seed: int, rank: int, device: torch.device) -> Masks:
    """Inside ``masks(step)`` PyTorch's own generators, which dropout draws from, are those of the step.

    Afterwards they are as they were. Where nothing is dropped, nothing is done.
    """
    if not any(isinstance(module, _DROPOUT) and module.p > 0 for module in model.modules()):
        return lambda step: nullcontext()

    @contextmanager
    def masks(step: int) -> Iterator[None]:
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(generator_for(seed, "dropout", step, rank).initial_seed())
            yield

    return masks
