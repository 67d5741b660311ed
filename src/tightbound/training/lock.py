"""One run folder, one run: an exclusive ``flock`` on ``run.lock`` that dies with the process."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tightbound.errors import RunError

LOCK_NAME = "run.lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Holds the folder's lock; the file stays behind, the lock does not, whatever ends the process.

    Raises:
        RunError: another process is training into this folder; it is named.
    """
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = path.read_text(encoding="ascii", errors="replace").strip() or "unknown"
            raise RunError(
                f"{folder} is in use: process {owner} is training into it",
                hint="wait for it or stop it, or give another folder with --out",
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)
