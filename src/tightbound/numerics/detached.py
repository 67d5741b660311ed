"""What a module says of its inputs, with nothing to learn from it for the module."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def call_detached(module: nn.Module, *inputs: Any) -> Any:
    """``module(*inputs)`` through detached weights: the same value, whose gradient reaches the inputs alone."""
    weights = {name: value.detach() for name, value in module.state_dict(keep_vars=True).items()}
    return torch.func.functional_call(module, weights, inputs)
