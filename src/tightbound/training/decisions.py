"""What every ``auto`` became. Decided once, written to the run folder, read from there on resume."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from tightbound.errors import DataError
from tightbound.training.compilation import resolve_compile, resolve_cuda_graph
from tightbound.training.precision import has_convolutions, resolve_device, resolve_precision
from tightbound.training.processes import was_launched
from tightbound.training.schedules import RunLength
from tightbound.training.settings import TrainingSettings

Layers = Literal["all", "weight_normalized"]


@dataclass(frozen=True, kw_only=True)
class Decisions:
    """How this run is carried out, nothing left open.

    Args:
        device: cpu, cuda or mps.
        precision: float32, bf16 or float64.
        compile: whether the step is compiled.
        compile_note: why, in one line.
        channels_last: whether the model is put in channels_last layout.
        batch_size: images a step; less than asked for only where the split has fewer.
        steps_per_epoch: full batches in the training split.
        total_steps: length of the run.
        initialize: which layers' weights are scaled by the first images, None for none; runs that do not say so are
            older than this.
        cuda_graph: whether the step is replayed as one CUDA graph.
    """

    device: str
    precision: str
    compile: bool
    compile_note: str
    channels_last: bool
    batch_size: int
    steps_per_epoch: int
    total_steps: int
    initialize: Layers | None = None
    cuda_graph: bool = False

    @property
    def length(self) -> RunLength:
        """What schedules see."""
        return RunLength(self.steps_per_epoch, self.total_steps)

    def to_dict(self) -> dict[str, Any]:
        """For ``resolved.json``; ``read_decisions`` reads it back."""
        return dataclasses.asdict(self)


def read_decisions(resolved: Mapping[str, Any]) -> Decisions | None:
    """The decisions kept in a mapping, which may hold other keys too; None if they are not all there."""
    fields = dataclasses.fields(Decisions)
    if any(field.name not in resolved for field in fields if field.default is dataclasses.MISSING):
        return None
    return Decisions(**{field.name: resolved[field.name] for field in fields if field.name in resolved})


def decide(settings: TrainingSettings, model: nn.Module, num_images: int) -> Decisions:
    """Resolves every ``auto`` for this machine, model and training split.

    Raises:
        DataError: the training split is empty.
        RecipeError: the device or precision is not to be had here.
    """
    if num_images == 0:
        raise DataError("the training split is empty", hint="check data.validation and data.train_limit")
    steps_per_epoch = max(num_images // settings.batch_size, 1)
    epochs = settings.epochs or 0.0
    total = settings.steps if settings.steps is not None else max(round(epochs * steps_per_epoch), 1)
    device = resolve_device(settings.device)
    cuda_graph = resolve_cuda_graph(settings.cuda_graph, device)
    replayed = cuda_graph and not was_launched()  # the steps of several processes are not
    compiled, note = resolve_compile(settings.compile, device, total, replayed=replayed)
    return Decisions(
        device=device,
        precision=resolve_precision(settings.precision, device),
        compile=compiled,
        compile_note=note,
        channels_last=settings.channels_last and has_convolutions(model),
        batch_size=min(settings.batch_size, num_images),
        steps_per_epoch=steps_per_epoch,
        total_steps=total,
        initialize=_layers_to_initialize(settings, model),
        cuda_graph=cuda_graph,
    )


def _layers_to_initialize(settings: TrainingSettings, model: nn.Module) -> Layers | None:
    match settings.initialize:
        case "none":
            return None
        case "data":
            return "all"
        case "auto":
            if "starts_by_data" in getattr(model, "capabilities", ()):
                return "all"
            return "weight_normalized" if _has_weight_norm(model) else None


def _has_weight_norm(model: nn.Module) -> bool:
    """Whether any layer has its weight as a direction and a length."""
    return any(name.endswith("parametrizations.weight.original1") for name, _ in model.named_parameters())
