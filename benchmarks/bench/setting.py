"""What every case gets: device, rounds, the machine's limits; and what it gives back, a row of the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from benchmarks.bench.timing import Clock, Contender, Middle, Race, race


@dataclass
class Bench:
    """How this run measures.

    Args:
        device: where.
        precision: of our network bodies where a case leaves it open.
        compile: whether our step is compiled; ``auto`` leaves it to the case.
        cuda_graph: whether a GPU replays our step as one graph; ``auto`` is the library's choice.
        seconds: a contender's part of a round lasts about this.
        rounds: that count.
        clock: seconds; those of this process alone, where the machine has other work, are fair on one thread only.
        limits: operations a second of products and convolutions, by name; empty if not measured.
    """

    device: torch.device
    precision: str
    compile: Literal["auto", "on", "off"] = "auto"
    cuda_graph: Literal["auto", "off"] = "auto"
    seconds: float = 1.0
    rounds: int = 10
    clock: Clock = time.perf_counter
    limits: dict[str, Middle] = field(default_factory=dict)

    @property
    def on_gpu(self) -> bool:
        """Whether the device runs behind the host."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Until the device has done what it was told."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def race(self, contenders: Sequence[Contender], seconds: float | None = None) -> Race:
        """Times contenders in turn."""
        return race(contenders, seconds=seconds or self.seconds, rounds=self.rounds, wait=self.wait, clock=self.clock)

    def training(self, compile: bool, *more: str) -> list[str]:
        """Overrides of a recipe for this run.

        Args:
            compile: what ``auto`` means for the case.
            more: overrides of the case itself.
        """
        compiled = {"auto": compile, "on": True, "off": False}[self.compile]
        graph = {"auto": "auto", "off": "false"}[self.cuda_graph]
        chosen = {"device": self.device.type, "precision": self.precision, "cuda_graph": graph}
        chosen["compile"] = str(compiled).lower()
        return [*(f"training.{key}={value}" for key, value in chosen.items()), *more]


@dataclass(frozen=True)
class Row:
    """A line of the table.

    Args:
        case: its number.
        what: is measured.
        ours: our number, as text.
        peers: theirs.
        ratio: of ours to the peer of the target, with its quartiles.
        target: what is asked for; empty for none.
        met: whether it is; None where there is no target or no peer.
        share: of the machine's limit.
        notes: sentences below the table.
        facts: every round, for the JSON file.
    """

    case: int
    what: str
    ours: str
    peers: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None
    share: str = ""
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


Case = Callable[[Bench], Iterator[Row]]


def race_row(
    bench: Bench,
    case: int,
    what: str,
    found: Race,
    *,
    unit: str = "images/s",
    beside: str | None = None,
    least: float | None = None,
    operations: float | None = None,
    limit: str | None = None,
    notes: Sequence[str] = (),
) -> Row:
    """The row of a race in which the first contender is ours.

    Args:
        bench: for its limits.
        case: its number.
        what: is measured.
        found: the race.
        unit: of the rates.
        beside: the peer of the target; None for the second contender.
        least: the ratio asked for.
        operations: of one item, forward and backward.
        limit: the name of the limit that they are held against.
        notes: sentences below the table.
    """
    ours, *peers = found.rates
    rate = found.rate(ours)
    beside = beside or (peers[0] if peers else None)
    ratio = found.ratio(ours, beside) if beside in found.rates else None
    peak = bench.limits.get(limit or "")
    share = f"{100 * operations * rate.median / peak.median:.2g}% of {limit}" if operations and peak else ""
    facts = {"unit": unit, "rates": found.rates, "first_step_seconds": found.first, "steps_a_round": found.steps}
    facts |= {"operations_an_item": operations, "limit": limit, "ratio": None if ratio is None else ratio.median}
    return Row(
        case,
        what,
        f"{spread(rate)} {unit}",
        "; ".join(f"{name} {spread(found.rate(name))}" for name in peers),
        "" if ratio is None else f"{spread(ratio, 2)} × {beside}",
        "" if least is None else f"≥ {least:g} × {beside}",
        None if ratio is None or least is None else ratio.median >= least,
        share,
        tuple(notes),
        facts,
    )


def spread(middle: Middle, digits: int | None = None) -> str:
    """A median with its quartiles."""
    if digits is None:
        digits = 0 if middle.median >= 100 else 2
    low, median, high = (f"{value:,.{digits}f}" for value in (middle.low, middle.median, middle.high))
    return f"{median} ({low} to {high})"
