"""Progress of slow reading, as sentences."""

from __future__ import annotations

import time
from collections.abc import Callable

Progress = Callable[[str], None] | None

_PATIENCE = 2.0  # seconds of silence, at first and between two sentences


class Ticker:
    """Says how far a loop is, but only if it takes more than two seconds.

    Args:
        what: what is counted, such as ``"images"``.
        total: how many there will be, or None.
        progress: who is told; None for nobody.
    """

    def __init__(self, what: str, total: int | None, progress: Progress) -> None:
        self.what = what
        self.total = total
        self.progress = progress
        self.last = time.monotonic()

    def done(self, count: int) -> None:
        """``count`` of them are done."""
        if self.progress is None or time.monotonic() - self.last < _PATIENCE:
            return
        self.last = time.monotonic()
        self.progress(f"{count:,} {self.what}" if self.total is None else f"{count:,} of {self.total:,} {self.what}")
