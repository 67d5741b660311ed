"""The one place where a gradient with respect to a latent is taken."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def gradient(function: Callable[[Tensor], Tensor], z: Tensor) -> tuple[Tensor, Tensor]:
    """The value of a row-separable function and its gradient with respect to z.

    ``function`` maps (*rows, *event) to (*rows): each row depends on its own z alone, so the gradient of the sum is the
    gradient of every row. ``torch.func.grad`` works compiled, under no_grad and inference_mode, and to second order;
    ``autograd.grad(create_graph=True)`` does not.

    Returns:
        value (*rows) and gradient, of the shape of z.
    """

    def total(point: Tensor) -> tuple[Tensor, Tensor]:
        value = function(point)
        return value.sum(), value

    slope, value = torch.func.grad(total, has_aux=True)(z)
    return value, slope
