"""What one training step costs: time and memory, measured on random images."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tightbound.core import Step
from tightbound.recipes.build import Built
from tightbound.training import ALONE, Decisions, TrainingStep, place
from tightbound.training.flat import replicas
from tightbound.training.precision import dtype_of

_SECONDS = 5.0
_WARM_UP, _TIMED = 3, 20


@dataclass(frozen=True)
class StepCost:
    """One step.

    Args:
        seconds: forward, backward and update, without compilation.
        weights: bytes of the parameters.
        gradients: bytes.
        optimizer: bytes of its state.
        activations: bytes: on a GPU, measured at the peak of a step; else what the forward pass keeps for the backward,
            None where that is unknown: gradients inside a forward pass allow no look at what is kept.
    """

    seconds: float
    weights: int
    gradients: int
    optimizer: int
    activations: int | None


def measure_step(built: Built, decisions: Decisions) -> StepCost:
    """Takes a few steps; the model is not the same after that."""
    model, device = built.model, decisions.device
    place(model, device=device, precision=decisions.precision, channels_last=decisions.channels_last)
    layout = replicas(ALONE, [p for p in model.parameters() if p.requires_grad])
    parameters = layout.parameters
    optimizer = built.recipe.training.optimizer().make(parameters)
    loss = _loss(built, decisions)

    def step() -> None:
        optimizer.zero_grad()
        loss().backward()
        layout.collect()
        optimizer.step()

    activations = None if "follows_target" in model.capabilities else _kept(model, loss)
    seconds = time_step(step, torch.cuda.synchronize if device == "cuda" else _no_wait)
    weights, gradients = _bytes(parameters), _bytes(p.grad for p in parameters if p.grad is not None)
    state = _bytes(v for values in optimizer.state.values() for v in values.values() if isinstance(v, Tensor))
    if device == "cuda":
        activations = max(torch.cuda.max_memory_allocated() - weights - gradients - state, 0)
    return StepCost(seconds, weights, gradients, state, activations)


def _kept(model: nn.Module, loss: Callable[[], Tensor]) -> int:
    with saved_storages(model) as saved:
        loss()
    return sum(saved.values())


def time_step(step: Callable[[], object], wait: Callable[[], object]) -> float:
    """Seconds of a step: the mean of as many as fit into a few seconds, after at least one to warm up.

    Args:
        step: takes one.
        wait: until the device has done what it was told.
    """

    def seconds(count: int) -> float:
        wait()
        started = time.perf_counter()
        for _ in range(count):
            step()
        wait()
        return (time.perf_counter() - started) / count

    once = seconds(1)
    if once * _WARM_UP < _SECONDS:
        once = seconds(_WARM_UP)
    return seconds(min(max(int(_SECONDS / max(once, 1e-9)), 1), _TIMED))


@contextmanager
def saved_storages(module: nn.Module) -> Iterator[dict[int, int]]:
    """Bytes, by address, of each storage that a forward pass inside keeps for its backward pass, parameters apart.

    What is kept lives as long as the graph does, so no address comes twice while the loss is held.
    """
    known = {p.untyped_storage().data_ptr() for p in module.parameters()}
    sizes: dict[int, int] = {}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor.detach())
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield sizes


def _loss(built: Built, decisions: Decisions) -> Callable[[], Tensor]:
    """The loss of a batch of random images, as a function of nothing."""
    model, objective, batch = built.model, built.objective, decisions.batch_size
    dtype, device = dtype_of(decisions.precision), decisions.device
    module = TrainingStep(model, objective).train()
    x = torch.rand(batch, *built.facts.image_shape).to(device, dtype)
    x = (x > 0.5).to(dtype) if built.facts.kind == "binary" else x
    noise = torch.randn(objective.num_samples, batch, model.noise_size).to(device, dtype)
    position = Step(torch.zeros((), device=device), torch.zeros((), device=device, dtype=dtype))
    return lambda: module(x, noise, position).value


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _no_wait() -> None:
    """The CPU does what it is told before it returns."""
