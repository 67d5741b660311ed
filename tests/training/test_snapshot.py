from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from tightbound.registry import Factory
from tightbound.training.averaging import MovingAverage
from tightbound.training.checkpoint import Checkpoint, load, save
from tightbound.training.metrics import Meter
from tightbound.training.snapshot import Counters, Live, restore, take
from tightbound.training.update import Update


def _live(kind: str, *, weight: float) -> Live:
    """A convolution in channels_last, whose gradient differs from element to element."""
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        model.weight.mul_(weight)
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    parameters = list(model.parameters())
    optimizer = Factory("optimizer", kind)().make(parameters)
    average = MovingAverage(parameters, 0.9)
    update = Update(model, optimizer, average=average)
    return Live(model, optimizer, update, average, Meter("cpu"), Counters())  # pyright: ignore[reportArgumentType]


def _step(live: Live, seed: int) -> None:
    x = torch.randn(2, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    loss = live.model(x.to(memory_format=torch.channels_last)).square().sum()
    loss.backward()
    outcome = live.update(loss, 0.01)
    live.meter.add({"loss": loss}, outcome.finite)
    live.counters.step += 1


@pytest.mark.parametrize("kind", ["adam", "adamw", "adamax", "adadelta", "rmsprop"])
def test_a_restored_run_goes_on_bit_for_bit_in_channels_last(kind: str, tmp_path: Path) -> None:
    straight = _live(kind, weight=1.0)
    for seed in range(3):
        _step(straight, seed)
    path = tmp_path / "step-3.safetensors"
    save(path, take(straight, {}))

    resumed = _live(kind, weight=-2.0)
    restore(resumed, load(path), path)
    state = resumed.optimizer.state[resumed.model.weight]
    moments = [value for value in state.values() if value.dim() == 4]
    assert moments
    assert all(value.is_contiguous(memory_format=torch.channels_last) for value in moments)
    for seed in range(3, 6):
        _step(straight, seed)
        _step(resumed, seed)
    first, second = take(straight, {}), take(resumed, {})
    assert first.state == second.state
    assert first.tensors.keys() == second.tensors.keys()
    for name, value in first.tensors.items():
        assert torch.equal(value, second.tensors[name]), name


def test_a_checkpoint_is_tensors_and_json(tmp_path: Path) -> None:
    live = _live("adam", weight=1.0)
    _step(live, 0)
    kept = take(live, {"compiled": False})
    assert isinstance(kept, Checkpoint)
    prefixes = {name.split(".")[0] for name in kept.tensors}
    assert prefixes == {"model", "optimizer", "average", "meter"}
    assert kept.state["counters"]["step"] == 1
    assert kept.state["update"] == {"done": 1, "skipped_in_a_row": 0, "worst_row": 0}
