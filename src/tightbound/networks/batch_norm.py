"""Batch normalization of maps, by sums that compile well, and its two numbers: one pair for all layers of a model."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.whole import in_compiled_code

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


class MapBatchNorm(nn.BatchNorm2d):
    """PyTorch's batch normalization; where a step is compiled for a processor, its sums are taken image by image.

    What PyTorch's compiler makes of its own adds a channel's values over the whole batch one after the other, in one
    pass for each sum, and keeps mean and scale for the backward pass in the maps' precision: in bfloat16, with 8 bits.
    An image's maps fit a core's cache, all its sums are taken in one pass, and images are what cores divide between
    them; mean and scale stay in float32.
    """

    def forward(self, input: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """(x − mean) / √(variance + eps) · weight + bias, over N, H and W in training.

        Raises:
            ValueError: in training, of a single value per channel.
        """
        values, momentum = input.numel() // self.num_features, self.momentum
        own = self.training and self.track_running_stats and values > 1 and input.shape[1:2] == (self.num_features,)
        if not own or momentum is None or not in_compiled_code(input):
            return super().forward(input)  # which refuses what has other channels, or a single value
        outputs, mean, variance = _Normalized.apply(input, self.weight, self.bias, self.eps)
        running_mean, running_variance, count = self.running_mean, self.running_var, self.num_batches_tracked
        assert running_mean is not None
        assert running_variance is not None
        assert count is not None
        with torch.no_grad():
            count.add_(1)
            running_mean.lerp_(mean.to(running_mean), momentum)
            running_variance.lerp_((variance * (values / (values - 1))).to(running_variance), momentum)
        return outputs


class _Normalized(torch.autograd.Function):
    """Maps normalized over the batch, and the mean and variance (divided by N·H·W) of each channel.

    With d = x − mean, M = N·H·W and s = 1 / √(variance + eps), the gradient of a loss with gradients g of the outputs
    is weight · s · (g − Σg / M − d · s² · Σ(g d) / M) for x, s · Σ(g d) for the weight and Σg for the bias
    (Ioffe & Szegedy 2015, section 3). It has no gradient of its own: mean and s are constants there.
    """

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, mean, variance."""
        precise = torch.promote_types(maps.dtype, torch.float32)
        of_images, means = torch.var_mean(maps.to(precise), (2, 3), correction=0)
        mean = means.mean(0)
        variance = of_images.mean(0) + (means - mean).square().mean(0)
        scale = (variance + eps).rsqrt()
        ctx.save_for_backward(maps, weight, mean, scale)
        factor = scale if weight is None else weight * scale
        shift = -mean * factor if bias is None else bias - mean * factor
        outputs = maps * _by_channel(factor) + _by_channel(shift)
        ctx.mark_non_differentiable(mean, variance)
        return outputs.to(maps.dtype), mean, variance

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        """The gradients of maps, weight and bias."""
        maps, weight, mean, scale = ctx.saved_tensors
        gradient = grad_outputs[0].to(mean.dtype)
        distance = maps - _by_channel(mean)
        total = gradient.sum((2, 3)).sum(0)
        moment = (gradient * distance).sum((2, 3)).sum(0)
        values = maps.numel() // maps.shape[1]
        factor = scale if weight is None else weight * scale
        slope = factor * scale.square() * moment / values
        of_maps = gradient * _by_channel(factor) - distance * _by_channel(slope) - _by_channel(factor * total / values)
        of_weight, of_bias = (None, None) if weight is None else (moment * scale, total)
        return of_maps.to(maps.dtype), of_weight, of_bias, None


def _by_channel(values: Tensor) -> Tensor:
    """(C) -> (C, 1, 1)."""
    return values[:, None, None]
