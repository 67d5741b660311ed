"""Ctrl-C and a polite kill: the step that runs is finished, then the loop is asked to stop."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from tightbound.errors import is_of_lost_process

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Context manager; inside, the first signal sets ``requested`` and the second one acts as it always does.

    An exception in the middle of an update would leave half of the weights updated. Outside the main thread, where
    Python takes no signals, nothing is changed.

    Args:
        launched: whether a launcher has started this process. It passes on a Ctrl-C that the terminal has sent to all
            already, so a second signal is no second wish: it does nothing. A launcher does not wait forever.

    Raises:
        KeyboardInterrupt: at the end, in place of an error that another process was lost, if Ctrl-C has come here too:
            it has ended one that was not inside yet. A launcher that ends the others of a failed one sends SIGTERM.
    """

    def __init__(self, launched: bool = False) -> None:
        self.requested = False
        self._ctrl_c = False
        self._launched = launched
        self._kept: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._kept = {number: signal.signal(number, self._request) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        if self._launched and self._ctrl_c and error is not None and is_of_lost_process(error):
            raise KeyboardInterrupt from error

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._ctrl_c |= number == signal.SIGINT
        if not self._launched:
            self._restore()

    def _restore(self) -> None:
        for number, handler in self._kept.items():
            signal.signal(number, handler)
        self._kept = {}
