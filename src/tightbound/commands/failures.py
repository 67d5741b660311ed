"""Failures as one line and a hint on stderr, and as an exit status."""

from __future__ import annotations

import json
import os
import re
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from tightbound.errors import TightboundError, is_of_lost_process

_INTERRUPTED = 130
_ERROR_FILE = "TORCHELASTIC_ERROR_FILE"
_SECTION_OF_FLAG = re.compile(r"(?:evaluation\.|training\.|)(\w+)(?=: got )")


@contextmanager
def one_line_failures(arguments: Sequence[str] = (), *, debug: bool = False) -> Iterator[None]:
    """Turns every exception inside into ``SystemExit`` with its status, after a line that says what went wrong.

    Usage errors and a closed pipe are left to typer.

    Args:
        arguments: of the command line, to call an option by the name that it was given with.
        debug: the traceback in place of the line; the status stays the same.
    """
    try:
        yield
    except KeyboardInterrupt:
        if os.environ.get("RANK", "0") == "0":  # of several processes, which all meet it, the first says so
            _say("stopped by Ctrl-C", "a training run goes on with the same command and --out RUN --resume")
        raise SystemExit(_INTERRUPTED) from None
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of typer, whose base class has moved between versions
            raise
        if debug:
            traceback.print_exception(error)
        else:
            _say(*_describe(error, arguments))
        raise SystemExit(getattr(error, "exit_status", 1)) from None


def _describe(error: Exception, arguments: Sequence[str]) -> tuple[str, str]:
    """The line and its hint."""
    if isinstance(error, TightboundError):
        return _with_flag(error.message, arguments), error.hint
    if _is_out_of_memory(error):
        return "out of memory", "use a smaller training.batch_size, or fewer images or samples at a time"
    if is_of_lost_process(error):
        return "another process of this run has ended, and this one cannot go on without it", "see what that one said"
    if isinstance(error, OSError):
        return str(error), ""
    message = " ".join(str(error).split())
    return f"unexpected {type(error).__name__}: {message}", "run again with --debug and report what it prints"


def _with_flag(message: str, arguments: Sequence[str]) -> str:
    """``evaluation.split: got ...`` as ``--split: got ...``, where that is how it was given."""
    found = _SECTION_OF_FLAG.match(message)
    flag = f"--{found[1]}" if found else ""
    given = flag and any(argument.partition("=")[0] == flag for argument in arguments)
    return flag + message[found.end() :] if found and given else message


def _is_out_of_memory(error: Exception) -> bool:
    # By name, for torch may not be loaded; its CPU allocator raises a plain RuntimeError.
    names = (type(error).__name__, str(error))
    return isinstance(error, MemoryError) or names[0] == "OutOfMemoryError" or "can't allocate memory" in names[1]


def _say(message: str, hint: str) -> None:
    text = f"error: {message}" + (f"\n  hint: {hint}" if hint else "")
    typer.echo(text, err=True)
    _tell_launcher(text)


def _tell_launcher(text: str) -> None:
    """torchrun ends with a report of forty lines, in which it has what a failed process left for it."""
    path = os.environ.get(_ERROR_FILE)
    if path is not None:
        reason = {"message": text, "extraInfo": {"py_callstack": text, "timestamp": str(int(time.time()))}}
        with suppress(OSError):
            Path(path).write_text(json.dumps({"message": reason}), encoding="utf-8")
