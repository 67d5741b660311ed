"""Data-dependent initialization: Salimans & Kingma 2016 (weight normalization), section 3."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tightbound.core import Model
from tightbound.networks.affine import AffineLayer, affine_layers, is_weight_normalized, output_axis, scale_outputs
from tightbound.networks.spatial import SpatialTransformer

# A standard deviation below this part of the size of a layer's outputs is rounding, no signal to be scaled up.
_ROUNDING = 1e-5


def initialize_from_data(
    model: Model, x: Tensor, noise: Tensor, only_weight_normalized: bool = False, *, target: float = 0.1
) -> None:
    """Scales the weights of affine layers such that its outputs on this batch are as large as they should be.

    One draw in training mode. With y the outputs of a channel at its layer's first call, m and v their mean and
    unbiased variance over all other axes, and b the bias so far:

        s = target / √v,   weight ← s · weight,   bias ← b + s · (b − m),

    so that the outputs become b + s · (y − m), which is what later layers see. Their mean is b, 0 in the library's own
    networks but where a layer is meant to start elsewhere, and their standard deviation is ``target``: 0.1 starts the
    posterior near N(0, I) and the likelihood near uniform. A layer without bias, as before a normalization or of a
    masked network's context, is scaled only and keeps a mean; a channel that is constant on the batch, as one that sees
    nothing or whose weights are zeros, is left alone. The weights are not drawn anew, as only their directions matter
    here. What a warp starts with says how far it moves pixels, and stays. Batch statistics are as before: the first
    training step, on the same batch, would count it a second time.

    Args:
        model: freshly built; changed in place.
        x: images (B, C, H, W), at least two.
        noise: (K, B, noise_size).
        only_weight_normalized: other layers are left alone. Adam's steps, whose size does not depend on the weights',
            are large beside weights scaled to such small outputs; where weights are normalized it does not matter.
        target: standard deviation of every affine output.
    """
    done: set[nn.Module] = set()

    def hook(layer: Any, _inputs: Any, outputs: Tensor) -> Tensor | None:
        if layer in done:
            return None
        done.add(layer)
        return _initialize(layer, outputs, target)

    warps = [part.to_warp for part in model.modules() if isinstance(part, SpatialTransformer)]
    layers = [layer for layer in affine_layers(model) if layer not in warps]
    if only_weight_normalized:
        layers = [layer for layer in layers if is_weight_normalized(layer)]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        with torch.no_grad(), _untouched(model):
            if "follows_target" in model.capabilities:
                _walk_potential(model, x, noise)
            model.draw(x, len(noise), noise=noise)
    finally:
        for handle in handles:
            handle.remove()


def _walk_potential(model: Model, x: Tensor, noise: Tensor) -> None:
    """Calls prior and decoder at samples of the posterior's base: in a draw, a Hamiltonian posterior calls them first,
    inside a gradient, where nothing may be changed.
    """
    encoding = model.encode(x)
    base, size = model.base(encoding), model.groups[-1].slice.stop
    epsilon = noise[..., :size] if base is None else base.sample(noise[..., :size])
    model.log_prior(epsilon, encoding)
    model.log_likelihood_at(x, epsilon)


def _initialize(layer: AffineLayer, outputs: Tensor, target: float) -> Tensor:
    """Changes the layer and returns what it would have returned."""
    axis = output_axis(layer)
    # In double precision where there is any: the mean of many values in bf16 is far off.
    precise = torch.float32 if outputs.device.type == "mps" else torch.float64
    channels = outputs.movedim(axis, -1).flatten(0, -2).to(precise)
    mean, variance = channels.mean(0), _variance(channels)
    scale = torch.where(variance > 0, target * variance.rsqrt(), 1.0)
    scale_outputs(layer, scale)
    outputs = outputs * _along(scale, axis, outputs)
    if layer.bias is None:
        return outputs
    bias = layer.bias.to(precise, copy=True)
    mean = torch.where(variance > 0, mean, bias)
    layer.bias.copy_(bias + scale * (bias - mean))
    return outputs + _along(bias - scale * mean, axis, outputs)


def _variance(channels: Tensor) -> Tensor:
    """(rows, channels) -> (channels), unbiased; 0 for those that are constant but for rounding."""
    if len(channels) < 2:
        return torch.zeros_like(channels[0])
    variance = channels.var(0, correction=1)
    size = channels.square().mean(0) + channels.square().mean()
    return torch.where(variance > _ROUNDING**2 * size, variance, 0.0)


def _along(values: Tensor, axis: int, outputs: Tensor) -> Tensor:
    """(channels) in a shape that multiplies outputs along their axis of channels."""
    shape = [1] * outputs.dim()
    shape[axis] = -1
    return values.to(outputs.dtype).reshape(shape)


@contextmanager
def _untouched(model: Model) -> Iterator[None]:
    """Inside, the model is in training mode; afterwards, mode and buffers are as they were."""
    training = model.training
    kept = [(buffer, buffer.clone()) for buffer in model.buffers()]
    model.train()
    try:
        yield
    finally:
        model.train(training)
        for buffer, values in kept:
            buffer.copy_(values)
