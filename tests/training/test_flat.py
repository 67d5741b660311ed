from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tightbound.registry import Factory
from tightbound.training import flat
from tightbound.training.averaging import MovingAverage
from tightbound.training.checkpoint import Checkpoint
from tightbound.training.flat import Flat, pays
from tightbound.training.metrics import Meter
from tightbound.training.parallel import Replicas
from tightbound.training.processes import ALONE
from tightbound.training.snapshot import Counters, Live, restore, take
from tightbound.training.update import Update

DECAYED = {"model.unreached", "average.unreached"}  # with a gradient of 0; with none they are left alone
KINDS = ["adam", "adamw", "adamax", "adadelta", "rmsprop"]


class Net(nn.Module):
    """Weights of many shapes and two memory layouts, a scalar, and one that nothing reaches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Conv2d(2, 5, 3, bias=False)  # a bias would have a gradient of rounding, enlarged by some
        self.norm = nn.BatchNorm2d(5)
        self.transposed = nn.ConvTranspose2d(5, 3, 2)
        self.scale = nn.Parameter(torch.tensor(0.7))
        self.unreached = nn.Parameter(torch.ones(3, 2).t())
        self.last = nn.Linear(3, 4)
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.transposed(self.norm(self.first(x)).sigmoid()).mean((2, 3)) * self.scale)


def _live(kind: str, make: Callable[[list[nn.Parameter]], Replicas]) -> Live:
    model = Net()
    parallel = make(list(model.parameters()))
    optimizer = Factory("optimizer", kind)().make(parallel.parameters)
    average = MovingAverage(parallel.parameters, 0.9)
    update = Update(model, optimizer, average=average, clip_norm=0.5, parallel=parallel)
    return Live(model, optimizer, update, average, Meter("cpu"), Counters(), parallel)  # pyright: ignore[reportArgumentType]


def _flat(weights: list[nn.Parameter]) -> Flat:
    return Flat(ALONE, weights)


def _apart(weights: list[nn.Parameter]) -> Replicas:
    return Replicas(ALONE, weights)


def _step(live: Live, seed: int, scale: float = 1.0) -> Tensor:
    x = scale * torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(seed))
    loss = live.model(x.to(memory_format=torch.channels_last)).square().sum()
    loss.backward()
    return live.update(loss, 0.03).gradient_norm


@pytest.fixture(params=[flat.PIECE, 32], ids=["one piece", "many pieces"])
def _pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "PIECE", request.param)


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("kind", KINDS)
def test_weights_moments_and_averages_are_those_of_weights_apart(kind: str) -> None:
    one, apart = _live(kind, _flat), _live(kind, _apart)
    assert one.model.first.weight.stride() == (18, 1, 6, 2)  # pyright: ignore  (channels last, as it was)
    start = {name: value.clone() for name, value in take(apart, {}).tensors.items()}
    for seed in range(6):
        torch.testing.assert_close(_step(one, seed), _step(apart, seed), rtol=1e-12, atol=0)
    ours, theirs = take(one, {}).tensors, take(apart, {}).tensors
    unknown = {name for name in ours if name.startswith(f"optimizer.{_index('unreached')}.")}
    assert unknown  # PyTorch keeps nothing of a weight that has never had a gradient
    assert ours.keys() - unknown == theirs.keys()
    for name in theirs.keys() - (DECAYED if kind == "adamw" else set()):
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-10, atol=1e-14, msg=name)
    moved = {name for name in start if name.startswith("model.") and not torch.equal(start[name], ours[name])}
    assert moved == {name for name in start if name.startswith("model.")} - (DECAYED if kind != "adamw" else set())


def _index(name: str) -> int:
    return [n for n, _ in Net().named_parameters()].index(name)


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("begun_by", [_flat, _apart])
def test_a_run_goes_on_from_a_checkpoint_of_either_kind(
    begun_by: Callable[[list[nn.Parameter]], Replicas], kind: str
) -> None:
    straight, begun, resumed = _live(kind, _flat), _live(kind, begun_by), _live(kind, _flat)
    for seed in range(3):
        _step(straight, seed)
        _step(begun, seed)
    kept = take(begun, {})
    copied = Checkpoint(kept.kind, {name: value.clone() for name, value in kept.tensors.items()}, kept.state)
    restore(resumed, copied, "a checkpoint")
    for seed in range(3, 6):
        _step(straight, seed)
        _step(resumed, seed)
    first, second = take(straight, {}), take(resumed, {})
    assert first.tensors.keys() == second.tensors.keys()
    for name, value in first.tensors.items():
        if begun_by is _flat:
            assert torch.equal(value, second.tensors[name]), name
        else:
            if kind != "adamw" or name not in DECAYED:
                torch.testing.assert_close(second.tensors[name], value, rtol=1e-10, atol=1e-14, msg=name)


@pytest.mark.usefixtures("_pieces")
def test_a_weight_that_loses_its_gradient_has_one_of_zero() -> None:
    live = _live("adam", _flat)
    parallel = live.parallel
    for weight in live.model.parameters():
        weight.grad = torch.ones_like(weight)
    parallel.collect()
    assert all(weight.grad is None for weight in live.model.parameters())
    count = sum(weight.numel() for weight in live.model.parameters())
    assert sum(p.grad.sum().item() for p in parallel.parameters if p.grad is not None) == count
    live.model.scale.grad = torch.tensor(2.0)  # pyright: ignore[reportAttributeAccessIssue]
    parallel.collect()
    assert sum(p.grad.sum().item() for p in parallel.parameters if p.grad is not None) == 2


@pytest.mark.usefixtures("_pieces")
def test_clipped_steps_go_on_after_one_that_is_not_finite() -> None:
    one, apart = _live("adamax", _flat), _live("adamax", _apart)
    for seed, scale in enumerate([1.0, float("nan"), 1.0, 1.0]):
        norms = _step(one, seed, scale), _step(apart, seed, scale)
        torch.testing.assert_close(*norms, rtol=1e-12, atol=0, equal_nan=True)
    assert one.update.counters() == apart.update.counters() == {"done": 3, "skipped_in_a_row": 0, "worst_row": 1}


def test_weights_without_any_gradient_have_one_of_length_zero() -> None:
    live = _live("adam", _flat)
    assert live.update(torch.tensor(1.0), 0.1).gradient_norm.item() == 0


def test_what_is_kept_of_scalars_is_told_from_the_number_of_updates() -> None:
    weights = [nn.Parameter(torch.tensor(value)) for value in (0.5, -1.5)]
    parallel = Flat(ALONE, weights)
    moments = parallel.cut({0: torch.tensor(3.0), 1: torch.tensor(4.0)})
    assert {index: value.item() for index, value in parallel.gather(moments).items()} == {0: 3, 1: 4}
    # Weights apart have numbers of their own: PyTorch does not count where there is no gradient.
    counts = parallel.cut({0: torch.tensor(2.0), 1: torch.tensor(7.0)}, counts=True)
    assert {index: value.item() for index, value in parallel.gather(counts, counts=True).items()} == {0: 7, 1: 7}


@pytest.mark.usefixtures("_pieces")
def test_the_average_is_applied_to_the_model_and_taken_back() -> None:
    live = _live("adam", _flat)
    _step(live, 0)
    now, average = live.model.scale.item(), take(live, {}).tensors["average.scale"].item()  # pyright: ignore
    assert now != average
    assert live.average is not None
    with live.average.applied():
        assert live.model.scale.item() == average  # pyright: ignore[reportCallIssue]
    assert live.model.scale.item() == now  # pyright: ignore[reportCallIssue]


def test_released_weights_are_as_they_were_and_alone() -> None:
    live = _live("adam", _flat)
    _step(live, 0)
    before = [(p.detach().clone(), p.stride()) for p in live.model.parameters()]
    live.parallel.release()
    for piece in live.parallel.parameters:
        piece.data.zero_()
    weights = list(live.model.parameters())
    for (value, stride), weight in zip(before, weights, strict=True):
        assert torch.equal(value, weight)
        assert weight.stride() == stride
        assert weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()


def test_it_pays_where_weights_are_small_of_one_kind_and_on_a_processor() -> None:
    small, large = torch.zeros(1000), torch.zeros(2**16)
    assert pays([small, small.clone()])
    assert pays([large, small, small.clone()])
    assert not pays([large, small])
    assert not pays([small, small.float()])
    assert not pays([small.to("meta")])
    assert not pays([small, small.view_as(small)])
    assert not pays([])
