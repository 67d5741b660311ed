"""The exception types of Tightbound, each with the exit status of the command line.

A message is one line that says what was expected and what was given; the hint says what to do.
"""

from __future__ import annotations

_CLOSED = ("Connection closed by peer", "Connection reset by peer", "Broken pipe")


class TightboundError(Exception):
    """Base of every expected failure. Exit status 1.

    Args:
        message: one line: what was expected, what was found.
        hint: one line: what to do about it.
    """

    exit_status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n  hint: {hint}")
        self.message = message
        self.hint = hint


class RunError(TightboundError):
    """A run folder is missing, damaged, locked or belongs to another recipe. Exit status 1."""


class CheckpointError(RunError):
    """A checkpoint cannot be written, or is truncated, altered or made for other weights. Exit status 1."""


class TrainingError(TightboundError):
    """Training cannot go on, such as after too many non-finite steps in a row. Exit status 1."""


class RecipeError(TightboundError, ValueError):
    """A recipe, an override or a combination of components is wrong. Exit status 2."""

    exit_status = 2


class DataError(TightboundError, ValueError):
    """The data are missing, empty, corrupt, or of the wrong shape or range. Exit status 3."""

    exit_status = 3


def is_of_lost_process(error: BaseException) -> bool:
    """Whether it says that one of several processes has ended, and not what went wrong there."""
    # By name, for torch may not be loaded. gloo raises a plain RuntimeError; an OSError with these words is another.
    if type(error).__name__ in ("DistBackendError", "DistNetworkError"):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _CLOSED)
