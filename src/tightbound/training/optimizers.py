"""Optimizers by name: the options a recipe may give, and PyTorch's fastest implementation of each.

Adding one: a frozen dataclass of options with a ``learning_rate`` and a ``make``, one ``@register`` line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import torch
from annotated_types import Ge, Gt, Lt
from torch import Tensor

from tightbound.registry import register

_FUSED_DEVICES = ("cpu", "cuda")

Rate = Annotated[float, Gt(0)]
Weight = Annotated[float, Ge(0)]
Decay = Annotated[float, Ge(0), Lt(1)]  # of a moving average


class OptimizerOptions(Protocol):
    """What the loop needs of a registered optimizer."""

    @property
    def learning_rate(self) -> float:
        """The rate that a schedule multiplies."""
        ...

    def make(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        ...


def can_fuse(parameters: Sequence[Tensor]) -> bool:
    """Whether one fused kernel can update all of them."""
    return all(p.is_floating_point() and p.device.type in _FUSED_DEVICES for p in parameters)


def _all_at_once(parameters: Sequence[Tensor]) -> bool:
    """Whether each operation takes all tensors. On a processor one tensor after the other stays in its caches."""
    return all(p.device.type != "cpu" for p in parameters)


@register("optimizer", "adam")
@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam (Kingma & Ba 2015), with L2 regularization where weight_decay > 0.

    Args:
        learning_rate: α.
        betas: decay of the first and second moments.
        epsilon: ε, outside the root.
        weight_decay: adds weight_decay·θ to the gradient.
        amsgrad: keeps the largest second moment (Reddi et al. 2018).
    """

    learning_rate: Rate = 1e-3
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Rate = 1e-8
    weight_decay: Weight = 0.0
    amsgrad: bool = False

    def make(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        return torch.optim.Adam(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            amsgrad=self.amsgrad,
            fused=can_fuse(parameters),
        )


@register("optimizer", "adamw")
@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): θ ← θ·(1 − learning_rate·weight_decay) at each step.

    Args:
        learning_rate: α.
        betas: decay of the first and second moments.
        epsilon: ε, outside the root.
        weight_decay: λ.
        amsgrad: keeps the largest second moment.
    """

    learning_rate: Rate = 1e-3
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Rate = 1e-8
    weight_decay: Weight = 0.01
    amsgrad: bool = False

    def make(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        return torch.optim.AdamW(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            amsgrad=self.amsgrad,
            fused=can_fuse(parameters),
        )


@register("optimizer", "adamax")
@dataclass(frozen=True, kw_only=True)
class Adamax:
    """Adam with the infinity norm as second moment (Kingma & Ba 2015, algorithm 2).

    Args:
        learning_rate: α.
        betas: decay of the first moment and of the norm.
        epsilon: ε.
        weight_decay: adds weight_decay·θ to the gradient.
    """

    learning_rate: Rate = 2e-3
    betas: tuple[Decay, Decay] = (0.9, 0.999)
    epsilon: Rate = 1e-8
    weight_decay: Weight = 0.0

    def make(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        return torch.optim.Adamax(
            parameters,
            lr=self.learning_rate,
            betas=self.betas,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            foreach=_all_at_once(parameters),
        )


@register("optimizer", "adadelta")
@dataclass(frozen=True, kw_only=True)
class Adadelta:
    """Adadelta (Zeiler 2012).

    Args:
        learning_rate: factor of the step; 1 in the paper.
        rho: decay of both averages of squares.
        epsilon: inside the roots.
        weight_decay: adds weight_decay·θ to the gradient.
    """

    learning_rate: Rate = 1.0
    rho: Decay = 0.9
    epsilon: Rate = 1e-6
    weight_decay: Weight = 0.0

    def make(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        return torch.optim.Adadelta(
            parameters,
            lr=self.learning_rate,
            rho=self.rho,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            foreach=_all_at_once(parameters),
        )


@register("optimizer", "rmsprop")
@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """RMSprop (Tieleman & Hinton 2012), ε outside the root as in PyTorch.

    Args:
        learning_rate: α.
        decay: of the average of squares.
        epsilon: ε.
        weight_decay: adds weight_decay·θ to the gradient.
        momentum: of the step.
        centered: divides by the standard deviation in place of the root mean square.
    """

    learning_rate: Rate = 1e-3
    decay: Decay = 0.99
    epsilon: Rate = 1e-8
    weight_decay: Weight = 0.0
    momentum: Decay = 0.0
    centered: bool = False

    def make(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        """The optimizer of these parameters."""
        return torch.optim.RMSprop(
            parameters,
            lr=self.learning_rate,
            alpha=self.decay,
            eps=self.epsilon,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            centered=self.centered,
            foreach=_all_at_once(parameters),
        )
