"""The two numbers of batch normalization: one pair for all layers of a model."""

from __future__ import annotations

from torch import nn

from tightbound.errors import RecipeError

# PyTorch's. TensorFlow 1's are a momentum of 0.001 (its decay of 0.999) and an eps of 1e-3.
BATCH_NORM_MOMENTUM = 0.1
BATCH_NORM_EPS = 1e-5


def set_batch_norm(model: nn.Module, momentum: float, eps: float) -> None:
    """Sets both numbers in every batch normalization of a model; PyTorch's own leave it as it is.

    Args:
        model: whatever its parts are.
        momentum: running ← (1 − momentum) · running + momentum · batch.
        eps: outputs are (x − mean) / √(variance + eps).

    Raises:
        RecipeError: other numbers than PyTorch's, and no batch normalization.
    """
    if (momentum, eps) == (BATCH_NORM_MOMENTUM, BATCH_NORM_EPS):
        return
    layers = [module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not layers:
        raise RecipeError(
            f"model.batch_norm_momentum={momentum:g} and model.batch_norm_eps={eps:g} have no effect: no layer of the "
            "model is batch-normalized",
            hint="use normalization: batch in a network or posterior, or leave them out",
        )
    for layer in layers:
        layer.momentum, layer.eps = momentum, eps
