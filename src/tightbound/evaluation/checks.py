"""What every evaluator does around its own work: checks of what it is given and of what it found, and the mode."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from tightbound.core import Model
from tightbound.errors import RecipeError, TightboundError
from tightbound.memory import memory_kept


def check_counts(**counts: int | None) -> None:
    """Refuses counts below 1.

    Raises:
        RecipeError: it names the count.
    """
    for name, value in counts.items():
        if value is not None and value < 1:
            raise RecipeError(f"expected {name} of at least 1; got {value}")


def refuse_bad_images(bad: Sequence[int]) -> None:
    """Refuses an evaluation in which images have a log-weight of NaN or +inf.

    Raises:
        TightboundError: it names up to ten of them.
    """
    if bad:
        named = ", ".join(str(index) for index in bad[:10]) + (", ..." if len(bad) > 10 else "")
        raise TightboundError(
            f"expected finite log-weights; got NaN or +inf in image{'s' if len(bad) > 1 else ''} {named}",
            hint="nothing was averaged; look at these images, or evaluate an earlier checkpoint",
        )


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Eval mode without gradients, float32 as it is, freed memory kept; afterwards all is as it was.

    PyTorch lets the float32 convolutions of a GPU round what they multiply to ten bits (TF32); here they do not.
    """
    device = next(model.parameters(), torch.empty(0)).device
    modes, tf32 = {module: module.training for module in model.modules()}, torch.backends.cudnn.allow_tf32
    model.eval()
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.no_grad(), memory_kept(device.type):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = tf32
        for module, training in modes.items():
            module.training = training
