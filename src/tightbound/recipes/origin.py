"""Where a run is made: the commit of the source and the processor."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

_PACKAGE = Path(__file__).parents[1]
_SECONDS = 10.0


@functools.cache
def checkout() -> dict[str, Any] | None:
    """The commit that the package runs from, and whether any of its files differ from it, new ones included.

    None where the package is installed apart from its repository, or git is not there.
    """
    # An installed package may lie within another repository, whose commit says nothing of it: ask for one of its files.
    if _git("ls-files", "--error-unmatch", "--", str(Path(__file__))) is None:
        return None
    commit, changes = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", str(_PACKAGE))
    return None if commit is None or changes is None else {"commit": commit, "changed": bool(changes)}


@functools.cache
def processor() -> str:
    """The processor and its cores; a GPU too, where one is there: ``AMD EPYC, 2 cores``."""
    names = [f"{_processor_name()}, {os.cpu_count()} cores"]
    if torch.cuda.is_available():
        names.append(torch.cuda.get_device_name())
    return ", ".join(names)


def _git(*arguments: str) -> str | None:
    """What git prints of the package's repository; None where it fails."""
    # Variables such as GIT_DIR, set within a hook, would name another repository. Without the lock, nobody else's
    # command in the same checkout is disturbed.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(_PACKAGE), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _processor_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
