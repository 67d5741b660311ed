"""Training: the step, the loop around it, and everything that lets a run stop and go on bit for bit."""

from tightbound.training import optimizers, schedules
from tightbound.training.checkpoint import Checkpoint, load_weights
from tightbound.training.decisions import Decisions, decide, read_decisions
from tightbound.training.lock import run_lock
from tightbound.training.loop import InterruptedTrainingError, TrainingResult, train
from tightbound.training.precision import autocast, dtype_of, full_precision, place, resolve_device
from tightbound.training.processes import ALONE, Processes, join, leave, was_launched
from tightbound.training.settings import TrainingSettings
from tightbound.training.step import TrainingStep

__all__ = [
    "ALONE",
    "Checkpoint",
    "Decisions",
    "InterruptedTrainingError",
    "Processes",
    "TrainingResult",
    "TrainingSettings",
    "TrainingStep",
    "autocast",
    "decide",
    "dtype_of",
    "full_precision",
    "join",
    "leave",
    "load_weights",
    "optimizers",
    "place",
    "read_decisions",
    "resolve_device",
    "run_lock",
    "schedules",
    "train",
    "was_launched",
]
