from __future__ import annotations

import pytest
import torch
from torch import nn

from tightbound.training.averaging import MovingAverage
from tightbound.training.optimizers import Adam, Adamax
from tightbound.training.update import Update


def _loss(model: nn.Module, value: float = 1.0) -> torch.Tensor:
    loss = model(value * (torch.arange(12.0).reshape(4, 3) - 5).sin()).square().sum()
    loss.backward()
    return loss


def _state(model: nn.Module, optimizer: torch.optim.Optimizer, average: MovingAverage) -> list[torch.Tensor]:
    held = [v for state in optimizer.state.values() for v in state.values()]
    return [t.detach().clone() for t in [*model.state_dict().values(), *held, *average.values]]


@pytest.mark.parametrize(("options", "wait"), [(Adam(), True), (Adam(), False), (Adamax(), True)])
def test_a_step_that_is_not_finite_changes_nothing(options: Adam | Adamax, wait: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1))
    optimizer = options.make(list(model.parameters()))
    average = MovingAverage(list(model.parameters()), 0.9)
    update = Update(model, optimizer, average=average, clip_norm=1.0, wait=wait)
    update(_loss(model, 0.5), 0.1)
    before = _state(model, optimizer, average)
    outcome = update(_loss(model, float("nan")), 0.1)
    assert not outcome.finite
    assert all(torch.equal(a, b) for a, b in zip(before, _state(model, optimizer, average), strict=True))
    assert update.counters() == {"done": 1, "skipped_in_a_row": 1, "worst_row": 1}
    update(_loss(model, 0.25), 0.1)
    assert update.counters() == {"done": 2, "skipped_in_a_row": 0, "worst_row": 1}
    changed = [not torch.equal(a, b) for a, b in zip(before, _state(model, optimizer, average), strict=True)]
    assert sum(changed) >= len(changed) - 4  # the bias under a batch norm has no gradient


def test_both_ways_of_skipping_give_the_same_weights() -> None:
    results = []
    for wait in (True, False):
        torch.manual_seed(1)
        model = nn.Linear(3, 2)
        average = MovingAverage(list(model.parameters()), 0.9)
        update = Update(model, Adam().make(list(model.parameters())), average=average, wait=wait)
        for value in (1.0, float("inf"), 0.5, float("nan"), 2.0):
            update(_loss(model, value), 0.1)
        results.append([*model.parameters(), *average.values])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


@pytest.mark.parametrize("wait", [True, False])
def test_the_average_takes_in_the_weights_after_the_step(wait: bool) -> None:
    linear = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(linear.weight)
    average = MovingAverage([linear.weight], 0.9)
    optimizer = torch.optim.SGD(linear.parameters(), lr=1.0, fused=True)
    update = Update(linear, optimizer, average=average, wait=wait)
    # The weight goes 0, −1, −2; d = 1/10, then 2/11: 0.9·(−1), then −0.9 + 9/11·(−2 + 0.9).
    for expected in (-0.9, -1.8):
        loss = linear.weight.sum()
        loss.backward()
        update(loss, 1.0)
        assert average.values[0].item() == pytest.approx(expected, rel=1e-14)


def test_an_infinite_gradient_of_a_finite_loss_is_skipped() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.zero_()
    update = Update(model, Adam().make(list(model.parameters())))
    loss = model(torch.ones(1, 1)).abs().sqrt().sum()
    loss.backward()
    assert not update(loss, 0.1).finite
    assert model.weight.item() == 0


def test_clipping_scales_the_gradient_to_the_norm() -> None:
    weight = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        weight.weight.zero_()
    optimizer = torch.optim.SGD(weight.parameters(), lr=1.0)
    loss = (weight.weight * torch.tensor([[3.0, 4.0]])).sum()  # gradient (3, 4), norm 5
    loss.backward()
    outcome = Update(weight, optimizer, clip_norm=2.0)(loss, 1.0)
    assert outcome.gradient_norm.item() == pytest.approx(5.0)
    torch.testing.assert_close(weight.weight.detach(), torch.tensor([[-1.2, -1.6]]), rtol=1e-6, atol=0)


def test_short_gradients_are_not_clipped() -> None:
    linear = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        linear.weight.zero_()
    loss = (linear.weight * torch.tensor([[0.3, 0.4]])).sum()
    loss.backward()
    Update(linear, torch.optim.SGD(linear.parameters(), lr=1.0), clip_norm=2.0)(loss, 1.0)
    torch.testing.assert_close(linear.weight.detach(), torch.tensor([[-0.3, -0.4]]))
