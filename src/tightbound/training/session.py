"""Assembles a run from its parts: at the beginning, or where a checkpoint left it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tightbound.core import Model, Objective, Step
from tightbound.errors import CheckpointError, RunError
from tightbound.training import checkpoint as files
from tightbound.training.averaging import MovingAverage
from tightbound.training.batches import Batches, Images
from tightbound.training.compilation import ForwardBackward
from tightbound.training.decisions import Decisions, Layers
from tightbound.training.dropout import Masks, masks_of
from tightbound.training.flat import replicas
from tightbound.training.metrics import Meter
from tightbound.training.optimizers import OptimizerOptions
from tightbound.training.parallel import MeanInLoss, Replicas, Shards, apart, has_unreached
from tightbound.training.precision import dtype_of, full_precision, place
from tightbound.training.processes import Processes
from tightbound.training.schedules import Schedule
from tightbound.training.settings import TrainingSettings
from tightbound.training.snapshot import Counters, Live, restore
from tightbound.training.step import TrainingStep
from tightbound.training.update import Update

Initialize = Callable[[Model, Tensor, Tensor, bool], None]

_FEWEST = 16  # images to initialize by, however small a batch is: a single one, which may be empty, has no spread


@dataclass(frozen=True)
class Session:
    """A run, ready for its next step.

    Args:
        live: all that has state.
        batches: what each step is fed.
        forward_backward: loss and gradients of a batch.
        learning_rate: as a function of the step.
        device: where it runs.
        dtype: of parameters, images and noise.
        processes: all that train.
        fixed: settings that must be the same on resume for the data to go on where they were.
        initialized: which layers' weights were just scaled by the first images; None for none.
        masks: what dropout draws from at a step.
    """

    live: Live
    batches: Batches
    forward_backward: ForwardBackward
    learning_rate: Callable[[int], float]
    device: torch.device
    dtype: torch.dtype
    processes: Processes
    fixed: Mapping[str, Any]
    initialized: Layers | None
    masks: Masks

    def context(self) -> dict[str, Any]:
        """What a checkpoint's header says beside the counters."""
        return {
            "fixed": dict(self.fixed),
            "environment": environment(self.device, self.processes.world_size),
            "compiled": self.forward_backward.compiled,
        }


def environment(device: torch.device, world_size: int) -> dict[str, Any]:
    """What a bit-for-bit resume depends on."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "torch": torch.__version__,
        "device": f"{device.type} {name}",
        "threads": torch.get_num_threads(),
        "processes": world_size,
    }


def find_checkpoint(folder: Path, resume: bool) -> files.Checkpoint | None:
    """Where to go on from; None for the beginning.

    Raises:
        RunError: not asked to resume, and the folder holds a run already.
        CheckpointError: the newest checkpoint is damaged.
    """
    if resume:
        return files.load_latest(folder)
    if files.saved_steps(folder):
        raise RunError(
            f"{folder} holds a run already", hint="go on with it by --resume, or give another folder with --out"
        )
    return None


def assemble(
    model: Model,
    objective: Objective,
    split: Images,
    settings: TrainingSettings,
    decisions: Decisions,
    found: files.Checkpoint | None,
    *,
    folder: Path,
    processes: Processes,
    device: torch.device,
    initialize: Initialize | None,
    warn: Callable[[str], None],
) -> Session:
    """Builds every part and restores the checkpoint into them.

    At the beginning of a run that is to be initialized by data, ``initialize`` gets the model and the images and noise
    of the first step, those of all processes together, before anything copies the weights; where these are few images,
    16 of the split's, with fewer samples of each. It is done in the first process, whose weights all then have.

    Raises:
        RecipeError: the processes cannot share a batch equally, or the weights.
        CheckpointError: the checkpoint is of another model, or of a run with other data, seed or batch size.
    """
    processes.check_shares(decisions.batch_size)
    sharded = _is_sharded(settings, processes, warn)
    layout = decisions.channels_last and not sharded  # of the weights; parts of tensors are rows
    place(model, device=str(device), precision=decisions.precision, channels_last=layout)
    model.train()
    batches = partial(
        Batches,
        split.to(device),
        seed=settings.seed,
        batch_size=decisions.batch_size,
        steps_per_epoch=decisions.steps_per_epoch,
        noise_shape=(objective.num_samples, model.noise_size),
        dtype=dtype_of(decisions.precision),
        device=device,
        channels_last=decisions.channels_last,
    )
    layers = decisions.initialize if found is None and initialize is not None else None
    masks = masks_of(model, seed=settings.seed, rank=processes.rank, device=device)
    if initialize is not None and layers is not None and processes.is_first:
        with full_precision(model), masks(-1):
            x, noise = batches(batch_size=max(decisions.batch_size, min(_FEWEST, len(split))))(0)
            # No more pairs than a step has, which may fill the memory, but for one of each image.
            samples = max(objective.num_samples * decisions.batch_size // len(x), 1)
            initialize(model, x, noise[:samples].clone(), layers == "weight_normalized")
    processes.copy([*model.parameters(), *model.buffers()])

    step = TrainingStep(model, objective)
    weights = [p for p in model.parameters() if p.requires_grad]
    parallel = Shards(processes, step, device) if sharded else replicas(processes, weights)
    parameters = parallel.parameters
    options: OptimizerOptions = settings.optimizer()
    schedule: Schedule | None = settings.schedule() if settings.schedule else None
    optimizer = options.make(parameters)
    average = MovingAverage(parameters, settings.ema) if settings.ema is not None else None
    update = Update(model, optimizer, average=average, clip_norm=settings.clip_norm, parallel=parallel)
    live = Live(model, optimizer, update, average, Meter(device, processes.mean), Counters(), parallel)
    fixed = {"seed": settings.seed, "batch_size": decisions.batch_size, "images": len(split)}
    compiled = decisions.compile
    if found is not None:
        _check_fixed(fixed, found.state["fixed"])
        _compare_environment(environment(device, processes.world_size), found.state["environment"], warn)
        restore(live, found, files.checkpoint_path(folder, found.state["counters"]["step"]))
        compiled = compiled and found.state["compiled"]

    def learning_rate(step: int) -> float:
        factor = schedule.factor(step, decisions.length) if schedule else 1.0
        return options.learning_rate * factor

    if isinstance(parallel, Replicas) and processes.are_several:
        unreached = partial(_has_unreached, step, split, settings.seed, device)
        wrapped = parallel.wrap(step, device, unreached=unreached)
    else:
        wrapped = step
    means = MeanInLoss(processes) if processes.are_several else None
    if means is not None:
        objective.over_processes = means

    @contextmanager
    def by_itself() -> Iterator[None]:
        with means.apart() if means is not None else nullcontext(), apart(wrapped):
            yield

    return Session(
        live=live,
        batches=batches(rank=processes.rank, world_size=processes.world_size),
        forward_backward=ForwardBackward(
            wrapped,
            compiled=compiled,
            cuda_graph=decisions.cuda_graph,
            warn=warn,
            processes=processes,
            by_itself=by_itself,
        ),
        learning_rate=learning_rate,
        device=device,
        dtype=dtype_of(decisions.precision),
        processes=processes,
        fixed=fixed,
        initialized=layers,
        masks=masks,
    )


def _is_sharded(settings: TrainingSettings, processes: Processes, warn: Callable[[str], None]) -> bool:
    if settings.sharding == "none":
        return False
    if not processes.are_several:
        warn("training.sharding has no effect in one process")
    return processes.are_several


def _has_unreached(step: TrainingStep, split: Images, seed: int, device: torch.device) -> bool:
    dtype = next(step.parameters()).dtype
    x = split.fixed(0, 1, seed).to(device, dtype)
    noise = torch.zeros(step.objective.num_samples, 1, step.model.noise_size, dtype=dtype, device=device)
    done = torch.zeros((), dtype=torch.long, device=device)
    with full_precision(step.model):
        return has_unreached(step, x, noise, Step(done, done.to(dtype)))


def _check_fixed(here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
    for name, value in here.items():
        if there.get(name) != value:
            raise CheckpointError(
                f"cannot resume: the run was begun with {name} = {there.get(name)}; got {value}",
                hint="resume with the run's own recipe and data",
            )


def _compare_environment(here: Mapping[str, Any], there: Mapping[str, Any], warn: Callable[[str], None]) -> None:
    there = {"processes": 1, **there}  # older checkpoints do not say so
    changed = [f"{name} {there.get(name)} -> {value}" for name, value in here.items() if there.get(name) != value]
    if changed:
        warn(f"resuming elsewhere ({', '.join(changed)}): the rest of the run may differ in the last bits")
