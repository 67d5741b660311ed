from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tightbound.errors import RecipeError
from tightbound.recipes.recipe import load_recipe
from tightbound.registry import Factory

# What PyTorch's own plain implementation is given for the same options.
CASES: list[tuple[Factory, Callable[[list[Tensor]], torch.optim.Optimizer]]] = [
    (
        Factory("optimizer", "adam", {"learning_rate": 0.01, "betas": (0.8, 0.9), "weight_decay": 0.1}),
        lambda p: torch.optim.Adam(p, 0.01, (0.8, 0.9), 1e-8, 0.1, foreach=False),
    ),
    (
        Factory("optimizer", "adamw", {"epsilon": 1e-4, "weight_decay": 0.2, "amsgrad": True}),
        lambda p: torch.optim.AdamW(p, 1e-3, (0.9, 0.999), 1e-4, 0.2, True, foreach=False),
    ),
    (
        Factory("optimizer", "adamax", {"weight_decay": 0.1}),
        lambda p: torch.optim.Adamax(p, 2e-3, weight_decay=0.1, foreach=False),
    ),
    (
        Factory("optimizer", "adadelta", {"rho": 0.8, "weight_decay": 0.1}),
        lambda p: torch.optim.Adadelta(p, 1.0, 0.8, 1e-6, 0.1, foreach=False),
    ),
    (
        Factory("optimizer", "rmsprop", {"decay": 0.9, "momentum": 0.5, "centered": True, "weight_decay": 0.1}),
        lambda p: torch.optim.RMSprop(p, 1e-3, 0.9, 1e-8, 0.1, 0.5, True, foreach=False),
    ),
]


@pytest.mark.parametrize(("factory", "reference"), CASES, ids=[case[0].kind for case in CASES])
def test_steps_equal_those_of_pytorch(factory: Factory, reference: Callable[..., torch.optim.Optimizer]) -> None:
    ours, theirs = ([torch.nn.Parameter(torch.arange(6.0).reshape(2, 3) - 2)] for _ in range(2))
    optimizers = factory().make(ours), reference(theirs)
    for _ in range(3):
        for parameters, optimizer in zip((ours, theirs), optimizers, strict=True):
            optimizer.zero_grad()
            (parameters[0] ** 4).sum().backward()
            optimizer.step()
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-12, atol=1e-12)
    assert not torch.equal(ours[0], torch.arange(6.0).reshape(2, 3) - 2)


def test_first_step_of_adam_is_the_learning_rate_against_the_sign() -> None:
    parameter = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = Factory("optimizer", "adam", {"learning_rate": 0.1, "epsilon": 1e-15})().make([parameter])
    (parameter * torch.tensor([5.0, -7.0])).sum().backward()
    optimizer.step()
    torch.testing.assert_close(parameter.detach(), torch.tensor([2.9, -1.9]))


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        *[(kind, "betas", [0.9, 1.5], "a list of 2: a number >= 0 and < 1") for kind in ("adam", "adamw", "adamax")],
        *[(kind, "betas", [-0.1, 0.9], "a list of 2: a number >= 0 and < 1") for kind in ("adam", "adamw", "adamax")],
        ("adadelta", "rho", 3, "a number >= 0 and < 1"),
        ("rmsprop", "decay", 1.0, "a number >= 0 and < 1"),
        ("rmsprop", "momentum", -0.5, "a number >= 0 and < 1"),
        ("adam", "weight_decay", -1, "a number >= 0"),
        ("adam", "epsilon", 0, "a number > 0"),
    ],
)
def test_an_option_out_of_range_is_refused(kind: str, key: str, value: object, expected: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(f"training.optimizer.{key}: got {value}; expected {expected}")):
        load_recipe("digits-vae", [{"training": {"optimizer": {"kind": kind, key: value}}}])
