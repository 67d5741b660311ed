"""Where a step's time is said to go: operations by name, and the optimizer's by who calls them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from benchmarks.profile import COLUMNS, OPTIMIZER, REST, kind_of, shares


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::addmm", "products, convolutions"),
        ("aten::convolution_backward", "products, convolutions"),
        ("aten::mkldnn_convolution", "products, convolutions"),
        ("aten::elu_backward", "activations"),
        ("aten::native_batch_norm", "normalization"),
        ("aten::grid_sampler_2d_backward", "reading of warped maps"),
        ("aten::random_", "random numbers"),
        ("## Call CompiledFxGraph fabc ##", "compiled code"),
        ("aten::add_", "sums, products, copies"),
        ("aten::upsample_nearest2d", "sums, products, copies"),
        ("aten::empty", REST),
        ("autograd::engine::evaluate_function: MulBackward0", REST),
    ],
)
def test_an_operation_has_one_kind(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_all_that_an_optimizer_calls_is_its_own() -> None:
    layer = nn.Linear(50, 50)
    layer.weight.grad, layer.bias.grad = torch.ones(50, 50), torch.ones(50)
    optimizer = torch.optim.Adam(layer.parameters())

    def step(steps: int) -> None:
        for _ in range(steps):
            optimizer.step()

    found = shares(step, 3)
    assert found[OPTIMIZER] == pytest.approx(1, abs=1e-12)


def test_shares_are_of_the_whole() -> None:
    a = torch.randn(300, 300)
    found = shares(lambda steps: [(a @ a).exp() for _ in range(steps)] and None, 5)
    assert set(found) == set(COLUMNS)
    assert sum(found.values()) == pytest.approx(1, abs=1e-12)
    assert found["products, convolutions"] > 0
    assert found["activations"] == found[OPTIMIZER] == 0
