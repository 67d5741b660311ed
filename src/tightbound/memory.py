"""Memory that a step on a processor gives back is kept for the next one, as PyTorch does on a GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

# Of mallopt, by glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_NEVER = -1
_LARGE, _LARGEST_OF_OLD = 2**30, 2**25  # glibc before 2.35 takes no larger threshold of blocks than the latter
_INSIDE: ContextVar[bool] = ContextVar("_INSIDE", default=False)
_BY_ITSELF = {_MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}  # where glibc's own rule ends as blocks come and go


@contextmanager
def memory_kept(device: str) -> Iterator[None]:
    """Inside, what is freed stays with the process; at the end, what is free by then goes back to the system.

    glibc returns large blocks, and the end of its heap, whenever they are freed. Each time they are asked for again the
    system gives them anew, 4 KiB by 4 KiB: 32,000 times in a compiled step of the ladder of three layers, and so often
    in an evaluation of warped images that it took two fifths of the time. Nothing is done on a GPU, with another C
    library, where the environment has its own settings, or inside of itself. Of threads it is the main one that gains:
    others have heaps of 64 MiB. Once set, glibc's thresholds adapt no more; they stay where they end.

    Args:
        device: cpu, cuda or mps.
    """
    library = _glibc() if device == "cpu" and not _INSIDE.get() else None
    if library is None:
        yield
        return
    inside = _INSIDE.set(True)
    if not library.mallopt(_MMAP_THRESHOLD, _LARGE):
        library.mallopt(_MMAP_THRESHOLD, _LARGEST_OF_OLD)
    library.mallopt(_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        _INSIDE.reset(inside)
        for parameter, value in _BY_ITSELF.items():
            library.mallopt(parameter, value)
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if any(name == "GLIBC_TUNABLES" or (name.startswith("MALLOC_") and name.endswith("_")) for name in os.environ):
        return None
    try:
        version = os.confstr("CS_GNU_LIBC_VERSION")
    except (AttributeError, ValueError, OSError):  # no such function, no such name, or musl, which has the name alone
        return None
    return ctypes.CDLL(None) if (version or "").startswith("glibc") else None
