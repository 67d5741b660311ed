"""Progress on stderr, results on stdout."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable

import typer

_FIRST = 2.0  # seconds until the counter first shows; what is done before then needs none
_LEAST = 0.003  # of the work, before which the time left is not known
_TERMINAL, _PLAIN = 1.0, 10.0  # seconds between two states of it, from then on


def say(text: str) -> None:
    """A sentence about what is going on, on stderr."""
    typer.echo(text, err=True)


def counter(what: str) -> Callable[[float, int], None]:
    """``progress(done, total)`` that tells how far a loop is, rewriting its line on a terminal."""
    terminal = sys.stderr.isatty()
    started = time.monotonic()
    due = started + _FIRST

    def show(done: float, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due and _LEAST * total <= done < total:
            due = now + (_TERMINAL if terminal else _PLAIN)
            left = (now - started) * (total - done) / done
            typer.echo(
                f"{what}: {math.floor(done):,} of {total:,} images, {left:.0f} s left ", err=True, nl=not terminal
            )
            if terminal:
                typer.echo("\r", err=True, nl=False)

    return show
