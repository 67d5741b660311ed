"""Images shared between processes: each does some of the tiles, and all learn what came of every one, in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, runtime_checkable

import torch

from tightbound.numerics import NOISE_IMAGE_TILE

T = TypeVar("T")

_PARTS = 16  # of all images, the most that a tile holds on a processor: so many processes can share them


@runtime_checkable
class Processes(Protocol):
    """Those that evaluate together, seen from one of them. ``training.Processes`` is one."""

    @property
    def rank(self) -> int:
        """Of this one."""
        ...

    @property
    def world_size(self) -> int:
        """How many there are."""
        ...

    def first(self, action: Callable[[], T]) -> T:
        """Has the first one do something and gives its result to all."""
        ...

    def gather(self, action: Callable[[], T]) -> list[T]:
        """Has each do something and gives all results to all, in order. Where some fail, all end."""
        ...


class Alone:
    """One process by itself."""

    rank, world_size = 0, 1

    def first(self, action: Callable[[], T]) -> T:
        """Does it."""
        return action()

    def gather(self, action: Callable[[], T]) -> list[T]:
        """Does it."""
        return [action()]


ALONE = Alone()


def in_order(
    processes: Processes, spans: Sequence[range], work: Callable[[range, int], T]
) -> Iterator[tuple[range, T]]:
    """What ``work(span, together)`` gives for every span, in order; as many at a time as there are processes.

    What is added up over spans in this order has the same bits in any number of processes, and nothing is kept.

    Args:
        processes: that share them.
        spans: of images.
        work: gives small things without tensors. ``together`` is how many images are being done by all at the time.
    """
    for first in range(0, len(spans), processes.world_size):
        turn = spans[first : first + processes.world_size]
        own = turn[processes.rank] if processes.rank < len(turn) else None
        together = sum(map(len, turn))
        found = processes.gather(lambda own=own, together=together: None if own is None else work(own, together))
        yield from zip(turn, found, strict=False)  # pyright: ignore[reportReturnType]


def longest_share(processes: Processes, spans: Sequence[range]) -> int:
    """How many images are done one after the other by ``in_order``, which waits for the largest span of each turn."""
    turns = range(0, len(spans), processes.world_size)
    return sum(max(map(len, spans[first : first + processes.world_size])) for first in turns)


def most_images(num_images: int, device: torch.device, processes: Processes) -> int:
    """How many images a tile may hold such that each of so many processes has one at most; a multiple of 32.

    Rounded up: rounded down, a few images would be left over for a turn of their own, in which the others wait. Of
    10,000 images 16 processes do 640 each; in tiles of 608, the longest share would be 608 + 272.

    On a processor it does not depend on how many there are, so that all numbers of processes round alike. On a GPU,
    whose tiles are large, it does.
    """
    parts = _PARTS if device.type == "cpu" else processes.world_size
    return max(1, -(-num_images // (parts * NOISE_IMAGE_TILE))) * NOISE_IMAGE_TILE
