"""The timing core: contenders take turns, so that a busy machine disturbs all alike.

A round gives every contender as many steps as last about a second, in turn; the order turns too. The first step of
each (its compilation, its caches) is timed apart, and a warm-up round is not counted. Where the process is set up
otherwise for one of them, every turn begins with a step that is not counted. Reported are the median and the quartiles
of the rounds' rates; a ratio is that of the rates of one round, then the median over rounds.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

Clock = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """Something to be timed.

    Args:
        name: of its column.
        run: takes some steps; on a GPU it need not wait for them.
        items: of work done by one step: images, or pairs of image and sample.
        around: entered for each of its turns, and left for the others'.
    """

    name: str
    run: Callable[[int], object]
    items: float
    around: Callable[[], AbstractContextManager[None]] = nullcontext


@dataclass(frozen=True)
class Middle:
    """A median and the quartiles around it."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Middle:
        """Of one value or more."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0])
        return cls(*statistics.quantiles(values, n=4, method="inclusive"))


@dataclass
class Race:
    """What came of a race.

    Attributes:
        rates: items a second of every counted round, by contender.
        first: seconds of each contender's very first step.
        steps: of a round.
    """

    rates: dict[str, list[float]] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)

    def rate(self, name: str) -> Middle:
        """Items a second."""
        return Middle.of(self.rates[name])

    def ratio(self, ours: str, peer: str) -> Middle:
        """How many times the peer's rate ours is, round by round."""
        return Middle.of([a / b for a, b in zip(self.rates[ours], self.rates[peer], strict=True)])


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


def race(
    contenders: Sequence[Contender],
    *,
    seconds: float = 1.0,
    rounds: int = 10,
    wait: Callable[[], object] = lambda: None,
    clock: Clock = time.perf_counter,
    progress: Callable[[str], None] = say,
) -> Race:
    """Times contenders in turn.

    Args:
        contenders: of names that differ.
        seconds: that a contender's part of a round is to last, about; one step at least.
        rounds: that count, after one that does not.
        wait: until the device has done what it was told.
        clock: seconds.
        progress: told what came of each round.
    """
    found, uncounted = Race(), any(contender.around is not nullcontext for contender in contenders)
    for contender in contenders:
        with contender.around():
            found.first[contender.name] = first = _timed(contender, 1, wait, clock)
            step = _timed(contender, 1, wait, clock)
        found.steps[contender.name] = max(1, round(seconds / step))
        found.rates[contender.name] = []
        progress(f"  {contender.name}: first step {first:.2f} s, then {1e3 * step:.2f} ms")
    for number in range(-1, rounds):
        turn = (number + 1) % len(contenders)
        for contender in (*contenders[turn:], *contenders[:turn]):
            steps = found.steps[contender.name]
            with contender.around():
                if uncounted:
                    contender.run(1)
                taken = _timed(contender, steps, wait, clock)
            if number < 0:  # the first steps were few: now it is known better how many fit
                found.steps[contender.name] = max(1, round(steps * seconds / taken))
            else:
                found.rates[contender.name].append(contender.items * steps / taken)
        if number >= 0:
            latest = ", ".join(f"{name} {_short(rates[-1])}" for name, rates in found.rates.items())
            progress(f"  round {number + 1} of {rounds}: {latest} a second")
    return found


def summary(rates: Mapping[str, Sequence[float]]) -> dict[str, Middle]:
    """Medians and quartiles by contender."""
    return {name: Middle.of(values) for name, values in rates.items()}


def _timed(contender: Contender, steps: int, wait: Callable[[], object], clock: Clock) -> float:
    wait()
    started = clock()
    contender.run(steps)
    wait()
    return max(clock() - started, 1e-9)  # clocks tick


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
