"""Many files at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tightbound.data.progress import Ticker

_AT_ONCE = 1024  # files decoded together, so that few wait in memory

T = TypeVar("T")


def in_threads(function: Callable[[Path], T], files: Sequence[Path], ticker: Ticker) -> Iterator[T]:
    """``map`` in threads (Pillow works outside the interpreter lock), in order."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for start in range(0, len(files), _AT_ONCE):
            yield from pool.map(function, files[start : start + _AT_ONCE])
            ticker.done(min(start + _AT_ONCE, len(files)))
