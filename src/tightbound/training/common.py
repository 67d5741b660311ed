"""Means over the processes of one machine, through memory that all of them see."""

from __future__ import annotations

import mmap
import os
import secrets
import sys

import torch
import torch.distributed as dist
from torch import Tensor

from tightbound.training.processes import Processes

_PIECE = 2**18  # elements: what is added stays in a core's caches until it is written back
_TOKEN = 16  # bytes


class CommonVectors:
    """One vector for each process, where all of them read and write it.

    Args:
        processes: all of one machine.
        rows: (world_size, elements), the same memory in all of them.

    Attributes:
        own: (elements,), this process's.
    """

    def __init__(self, processes: Processes, rows: Tensor) -> None:
        size, world = rows.shape[1], processes.world_size
        share = slice(size * processes.rank // world, size * (processes.rank + 1) // world)
        self.own = rows[processes.rank]
        self._pieces = rows[:, share].split(_PIECE, dim=1)

    @torch.no_grad()
    def average(self) -> None:
        """Gives every vector the mean of all, to the same bits: all processes together, each for a share of it.

        Raises:
            RuntimeError: another process has ended.
        """
        dist.barrier()  # all have written theirs
        for piece in self._pieces:
            piece.copy_(piece.mean(0).expand_as(piece))
        dist.barrier()  # all shares are there


def common_vectors(processes: Processes, elements: int, dtype: torch.dtype) -> CommonVectors | None:
    """Vectors of zeros; None where the processes have no memory in common: on several machines, or not on Linux.

    The memory is in no folder, and is gone when the last process has ended, however it does.

    Args:
        processes: several, that all ask for them.
        elements: of one vector.
        dtype: of them.
    """
    shape = (processes.world_size, elements)
    size = shape[0] * shape[1] * dtype.itemsize
    token = processes.agreed(secrets.token_bytes(_TOKEN))  # on another machine the same place may be something else
    descriptor = _made(size, token) if processes.is_first else None
    place = processes.agreed(None if descriptor is None else f"/proc/{os.getpid()}/fd/{descriptor}")
    memory = None if place is None else _mapped(place, size, token)
    everywhere = all(processes.gather(lambda: memory is not None))
    if descriptor is not None:
        os.close(descriptor)
    if memory is None or not everywhere:
        return None
    return CommonVectors(processes, torch.frombuffer(memory, dtype=dtype, count=shape[0] * shape[1]).view(shape))


def _made(size: int, token: bytes) -> int | None:
    """The descriptor of memory of so many bytes, and a token behind them."""
    if sys.platform != "linux" or not hasattr(os, "memfd_create"):  # nor has every Python on Linux
        return None
    try:
        descriptor = os.memfd_create("tightbound")
    except OSError:
        return None
    try:
        os.ftruncate(descriptor, size + len(token))
        os.pwrite(descriptor, token, size)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _mapped(place: str, size: int, token: bytes) -> mmap.mmap | None:
    """The memory that another process has made, if it is that and may be opened."""
    try:
        descriptor = os.open(place, os.O_RDWR)
    except OSError:
        return None
    try:
        memory = mmap.mmap(descriptor, size + len(token))
    except (OSError, ValueError):  # ValueError: something else, that is shorter
        return None
    finally:
        os.close(descriptor)
    return memory if memory[size:] == token else None
