"""From a run in memory to a checkpoint and back, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.training.averaging import MovingAverage
from tightbound.training.checkpoint import Checkpoint, check_fit, part
from tightbound.training.metrics import Meter
from tightbound.training.parallel import Parallel, Replicas
from tightbound.training.update import Update

_COUNT = "step"  # what PyTorch's optimizers call the number of updates of a parameter


@dataclass
class Counters:
    """Where a run stands, on the host.

    Args:
        step: batches seen, skipped ones included.
        best: the best value of validation so far.
        best_step: where it was reached.
        waited: validations since.
        stopped_early: whether early stopping has ended the run.
        metrics_bytes: length of metrics.jsonl.
        seconds: trained so far, over all sessions.
    """

    step: int = 0
    best: float | None = None
    best_step: int | None = None
    waited: int = 0
    stopped_early: bool = False
    metrics_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Live:
    """All that has state in a run. Noise, order and schedules have none: they are functions of the step."""

    model: Model
    optimizer: torch.optim.Optimizer
    update: Update
    average: MovingAverage | None
    meter: Meter
    counters: Counters
    parallel: Parallel = field(default_factory=Replicas)


def take(live: Live, context: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint of a run; ``context`` (settings that must not change, environment) goes into its header.

    It is the same however the weights lie in several processes, which take it together.
    """
    tensors = {f"model.{name}": value for name, value in live.parallel.weights(live.model).items()}
    tensors |= {f"optimizer.{name}": value for name, value in _optimizer_tensors(live).items()}
    tensors |= {f"meter.{name}": value for name, value in live.meter.tensors().items()}
    if live.average is not None:
        values = live.parallel.gather(dict(enumerate(live.average.values)))
        tensors |= {f"average.{n}": v for n, v in zip(trained_names(live.model), values.values(), strict=True)}
    state = {
        "counters": asdict(live.counters),
        "update": live.update.counters(),
        "meter": live.meter.names(),
        **context,
    }
    return Checkpoint("training", tensors, state)


def restore(live: Live, checkpoint: Checkpoint, path: Path | str) -> None:
    """Puts a checkpoint into a run that was assembled from the same recipe, its model already in its memory layout.

    Raises:
        CheckpointError: it was made for another model.
    """
    tensors, state = checkpoint.tensors, checkpoint.state
    check_fit(live.model, part(tensors, "model"), path)
    live.parallel.load(live.model, part(tensors, "model"))
    _restore_optimizer(live, part(tensors, "optimizer"))
    if live.average is not None:
        kept = part(tensors, "average")
        values = live.parallel.cut({index: kept[name] for index, name in enumerate(trained_names(live.model))})
        for value, part_of_it in zip(live.average.values, values.values(), strict=True):
            value.copy_(part_of_it)
    live.meter.restore(part(tensors, "meter"), state["meter"])
    live.update.restore(state["update"])
    for name, value in state["counters"].items():
        setattr(live.counters, name, value)


def trained_names(model: torch.nn.Module) -> list[str]:
    """Names of the parameters that are trained, in the optimizer's order."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _optimizer_tensors(live: Live) -> dict[str, Tensor]:
    kept: dict[str, dict[int, Tensor]] = {}
    for index, state in live.optimizer.state_dict()["state"].items():
        for key, value in state.items():
            kept.setdefault(key, {})[index] = value
    gathered = {key: live.parallel.gather(values, counts=key == _COUNT) for key, values in kept.items()}
    return {f"{index}.{key}": value for key, values in gathered.items() for index, value in values.items()}


def _restore_optimizer(live: Live, tensors: Mapping[str, Tensor]) -> None:
    optimizer, kept = live.optimizer, dict[str, dict[int, Tensor]]()
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        kept.setdefault(key, {})[int(index)] = value
    states: dict[int, dict[str, Tensor]] = {}
    for key, values in kept.items():
        for index, value in live.parallel.cut(values, counts=key == _COUNT).items():
            states.setdefault(index, {})[key] = value
    optimizer.load_state_dict({"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            state = optimizer.state[parameter]
            for key, value in state.items():
                if key != _COUNT:
                    assert value.shape == parameter.shape
                    # Fused kernels walk memory, not indices: state in another layout than its parameter is paired with
                    # the wrong elements, and nothing says so.
                    state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
