"""Progress on stderr, results on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import typer

_SECONDS = 1.0  # between two states of the counter; where there is no terminal, ten times that


def say(text: str) -> None:
    """A sentence about what is going on, on stderr."""
    typer.echo(text, err=True)


def counter(what: str) -> Callable[[int, int], None]:
    """``progress(done, total)`` that tells how far a loop is, rewriting its line on a terminal."""
    terminal = sys.stderr.isatty()
    started = shown = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _SECONDS * (1 if terminal else 10):
            shown = now
            left = (now - started) * (total - done) / max(done, 1)
            typer.echo(f"{what}: {done:,} of {total:,} images, {left:.0f} s left ", err=True, nl=not terminal)
            if terminal:
                typer.echo("\r", err=True, nl=False)

    return show
