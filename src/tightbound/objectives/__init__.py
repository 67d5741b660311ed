"""Objectives: functions of a draw that training minimizes."""

from tightbound.objectives.elbo import ELBO, honest_parts
from tightbound.objectives.gradients import STL, DReG
from tightbound.objectives.importance import IWAE
from tightbound.objectives.warm_up import LinearWarmUp

__all__ = ["ELBO", "IWAE", "STL", "DReG", "LinearWarmUp", "honest_parts"]
