"""The timing core on a clock that only contenders move, so that every rate is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from benchmarks.bench.setting import Bench, race_row
from benchmarks.bench.timing import Contender, Middle, Race, race


class Clock:
    """Seconds that pass only when someone spends them; and who spent them."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contender(self, name: str, seconds: Iterator[float], items: float) -> Contender:
        """Each step takes the next of these seconds."""

        def run(steps: int) -> None:
            self.turns.append(name)
            self.now += sum(next(seconds) for _ in range(steps))

        return Contender(name, run, items)


def forever(*first: float, then: float) -> Iterator[float]:
    yield from first
    while True:
        yield then


def test_rates_steps_and_first_step() -> None:
    clock = Clock()
    slow = clock.contender("slow", forever(5.0, then=0.5), 10)
    fast = clock.contender("fast", forever(then=0.125), 10)
    found = race([slow, fast], seconds=1.0, rounds=3, clock=clock, progress=lambda text: None)
    assert found.first == {"slow": 5.0, "fast": 0.125}
    assert found.steps == {"slow": 2, "fast": 8}
    assert found.rates == {"slow": [20.0] * 3, "fast": [80.0] * 3}
    assert found.ratio("fast", "slow") == Middle(4.0, 4.0, 4.0)


def test_contenders_take_turns_and_the_first_changes() -> None:
    clock = Clock()
    contenders = [clock.contender(name, forever(then=1.0), 1) for name in "ab"]
    race(contenders, seconds=1.0, rounds=2, clock=clock, progress=lambda text: None)
    assert "".join(clock.turns) == "aabb" + "ab" + "ba" + "ab"  # first steps, a round that does not count, two that do


def test_surroundings_are_of_a_contenders_own_turns() -> None:
    """Each turn of both begins with a step that is not counted; the process is another's as soon as the turn ends."""
    clock, inside = Clock(), []

    @contextmanager
    def around() -> Iterator[None]:
        inside.append(len(clock.turns))
        yield
        inside.append(len(clock.turns))

    ours = replace(clock.contender("a", forever(then=0.5), 1), around=around)
    plain = clock.contender("b", forever(then=1.0), 1)
    found = race([ours, plain], seconds=1.0, rounds=2, clock=clock, progress=lambda text: None)
    turns = "aa" + "bb" + ("aa" + "bb") + ("bb" + "aa") + ("aa" + "bb")
    assert "".join(clock.turns) == turns
    assert inside == [0, 2, 4, 6, 10, 12, 12, 14]
    assert found.rates == {"a": [2.0, 2.0], "b": [1.0, 1.0]}


def test_a_slow_warm_up_step_does_not_shorten_the_rounds() -> None:
    clock = Clock()
    warming = clock.contender("warming", forever(9.0, 1.0, then=0.25), 1)  # the second step is slow too
    found = race([warming], seconds=1.0, rounds=2, clock=clock, progress=lambda text: None)
    assert found.steps == {"warming": 4}


def test_the_ratio_is_of_rounds_and_not_of_medians() -> None:
    found = Race({"ours": [10.0, 40.0, 60.0], "peer": [1.0, 10.0, 20.0]})
    assert found.rate("ours") == Middle(25.0, 40.0, 50.0)
    assert found.ratio("ours", "peer") == Middle(3.5, 4.0, 7.0)  # of 10, 4 and 3


@pytest.mark.parametrize(("least", "met"), [(3.9, True), (4.1, False), (None, None)])
def test_a_row_holds_the_median_ratio_against_its_target(least: float | None, met: bool | None) -> None:
    import torch

    bench = Bench(torch.device("cpu"), "bf16", limits={"product bf16": Middle(900.0, 1000.0, 1100.0)})
    found = Race({"ours": [10.0, 40.0, 60.0], "peer": [1.0, 10.0, 20.0]}, {"ours": 1.0, "peer": 1.0})
    row = race_row(bench, 1, "training", found, least=least, operations=5.0, limit="product bf16")
    assert row.met is met
    assert row.share == "20% of product bf16"  # 40 items a second of 5 operations each
    assert row.ours == "40.00 (25.00 to 50.00) images/s"
    assert row.ratio == "4.00 (3.50 to 7.00) × peer"


def test_without_the_peer_nothing_is_said_of_the_target() -> None:
    import torch

    found = Race({"ours": [10.0], "plain": [5.0]})
    row = race_row(Bench(torch.device("cpu"), "bf16"), 1, "training", found, beside="pythae", least=3.0)
    assert (row.ratio, row.met, row.share) == ("", None, "")
    assert row.peers == "plain 5.00 (5.00 to 5.00)"
