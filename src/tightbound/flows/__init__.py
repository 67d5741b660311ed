"""Invertible maps with log-determinants, registered under their recipe kinds: parts of posteriors and priors."""

from tightbound.flows.autoregressive import AutoregressiveStep, InverseAutoregressive
from tightbound.flows.identity import Identity
from tightbound.flows.planar import Planar, invertible_direction
from tightbound.flows.steps import Steps
from tightbound.flows.sylvester import Sylvester
from tightbound.flows.zuko import Zuko

__all__ = [
    "AutoregressiveStep",
    "Identity",
    "InverseAutoregressive",
    "Planar",
    "Steps",
    "Sylvester",
    "Zuko",
    "invertible_direction",
]
