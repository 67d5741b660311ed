"""``--processes N``: the same command in N processes of this machine, by PyTorch's own launcher."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from tightbound.errors import RecipeError

_INTERRUPTED = 130
_BY_US = "TIGHTBOUND_PROCESSES"  # in the environment of the processes started here: how many


def refuse_nested() -> None:
    """Refuses processes that would start processes.

    Raises:
        RecipeError: this one was started by a launcher.
    """
    if "LOCAL_RANK" in os.environ and "WORLD_SIZE" in os.environ:
        raise RecipeError(
            f"--processes: a launcher such as torchrun has started this process, as one of {os.environ['WORLD_SIZE']}",
            hint="leave out --processes, or start the command by itself",
        )


def launched() -> int:
    """How many processes ``--processes`` has started, of which this is one; 0 if it was another launcher, or none."""
    return int(os.environ.get(_BY_US, "0"))


def launch(processes: int, arguments: Sequence[str]) -> None:
    """Runs ``tightbound`` with these arguments, less ``--processes``, in several processes, until all have ended.

    What they say is theirs to say. They share the machine's threads equally, unless OMP_NUM_THREADS is set.

    Args:
        processes: how many.
        arguments: of the command line, without the program's name.

    Raises:
        SystemExit: with the status of the first process that failed.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(max(_cores() // processes, 1)))
    os.environ[_BY_US] = str(processes)
    # The launcher's own account of a failure says less than the line which the process has printed.
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    options = ["--standalone", f"--nproc-per-node={processes}", "--no-python"]
    command = [sys.executable, "-P", "-m", "tightbound", *_without_processes(arguments)]  # -P: as the installed command
    try:
        run(parse_args([*options, *command]))
    except SignalException:
        raise SystemExit(_INTERRUPTED) from None
    except ChildFailedError as error:
        # Those that the launcher has ended thereupon have a negative one, of a signal.
        own = (failure for failure in error.failures.values() if failure.exitcode > 0)
        first = min(own, key=lambda failure: failure.timestamp, default=None)
        raise SystemExit(1 if first is None else first.exitcode) from None


def _without_processes(arguments: Sequence[str]) -> list[str]:
    left: list[str] = []
    items = iter(arguments)
    for item in items:
        if item == "--processes":
            next(items, None)
        elif not item.startswith("--processes="):
            left.append(item)
    return left


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
