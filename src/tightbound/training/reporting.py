"""What a run says while it trains: ``log.txt``, TensorBoard, and progress on stderr."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from torch.utils.tensorboard import SummaryWriter

_LOG = "log.txt"
_PLAIN_SECONDS = 10.0  # between lines where there is no terminal
_REFRESH_SECONDS = 0.2


class Reporter:
    """Sends lines and rows where they belong. Nothing here has an effect on training.

    Args:
        folder: the run folder; None for a process that is not the one to speak: nothing goes anywhere.
        total_steps: length of the run.
        first_step: where this session begins.
        tensorboard: whether events are written.
        console: a rich console for progress; None writes to stderr.
        quiet: nothing on the console; the files are written all the same.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        total_steps: int,
        first_step: int = 0,
        tensorboard: bool = True,
        console: Console | None = None,
        quiet: bool = False,
    ) -> None:
        self._folder, self._total, self._first = folder, total_steps, first_step
        self._wants_tensorboard = tensorboard and folder is not None
        self._quiet, self._console = quiet or folder is None, console
        self._stack = ExitStack()
        self._started = self._shown = time.monotonic()
        self._bar: Any = None
        self.writer: SummaryWriter | None = None

    def __enter__(self) -> Reporter:
        log = os.devnull if self._folder is None else self._folder / _LOG
        self._log = self._stack.enter_context(open(log, "a", encoding="utf-8"))
        if self._wants_tensorboard:
            assert self._folder is not None
            from torch.utils.tensorboard import SummaryWriter

            # What an earlier session wrote after its last checkpoint comes again.
            self.writer = SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._first + 1)
            self._stack.callback(self.writer.close)
        if not self._quiet:
            self._open_console()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def line(self, text: str) -> None:
        """One line for the log and the console."""
        self.note(text)
        if not self._quiet:
            assert self._console is not None
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def note(self, text: str) -> None:
        """One line for the log alone."""
        self._log.write(_stamped(text))
        self._log.flush()

    def warn(self, text: str) -> None:
        """The same, marked as a warning."""
        self.line(f"warning: {text}")

    def row(self, row: Mapping[str, Any]) -> None:
        """One row of metrics."""
        if self.writer is not None:
            _write_events(self.writer, row)
        if row["split"] == "validation":
            bound = f", bound {row['bound']:.2f}" if row.get("bound") is not None else ""
            elbo = f"{row['elbo']:.2f}" if row.get("elbo") is not None else "not finite"
            self.line(f"epoch {_short(row['epoch'])}: validation ELBO {elbo} nats{bound}")
        elif self._bar is not None:
            self._bar.update(self._task, completed=row["step"], status=_status(row))
        elif not self._quiet and time.monotonic() - self._shown >= _PLAIN_SECONDS:
            self._shown = time.monotonic()
            self.line(f"step {row['step']}/{self._total}: {_status(row)}, {self._time_left(row['step'])} left")

    def advance(self, step: int) -> None:
        """Moves the bar, a few times a second at most."""
        if self._bar is not None and time.monotonic() - self._shown >= _REFRESH_SECONDS:
            self._shown = time.monotonic()
            self._bar.update(self._task, completed=step)

    def _open_console(self) -> None:
        from rich.console import Console

        self._console = self._console or Console(stderr=True)
        if not self._console.is_terminal:
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}"), TimeRemainingColumn())
        self._bar = self._stack.enter_context(Progress(*columns, console=self._console))
        self._task = self._bar.add_task("training", total=self._total, completed=self._first, status="")

    def _time_left(self, step: int) -> datetime.timedelta:
        elapsed = time.monotonic() - self._started
        return datetime.timedelta(seconds=round(elapsed * (self._total - step) / max(step - self._first, 1)))


def append_to_log(folder: Path, lines: Iterable[str]) -> None:
    """Adds lines to the log of a run that is not training, such as the numbers of an evaluation."""
    with open(folder / _LOG, "a", encoding="utf-8") as file:
        file.writelines(map(_stamped, lines))


def _stamped(text: str) -> str:
    return f"{datetime.datetime.now().astimezone().isoformat(timespec='seconds')} {text}\n"


def _short(epoch: float) -> str:
    return f"{epoch:.2f}".removesuffix(".00")


def _status(row: Mapping[str, Any]) -> str:
    if "elbo" not in row:
        return "every step was skipped"
    return f"ELBO {row['elbo']:.2f} nats, {row['images_per_second']:,.0f} images/s"


def _write_events(writer: SummaryWriter, row: Mapping[str, Any]) -> None:
    for key, value in row.items():
        if key in ("step", "split", "mode"):
            continue
        values = {f"{key}/{i}": item for i, item in enumerate(value, 1)} if isinstance(value, list) else {key: value}
        for name, number in values.items():
            if isinstance(number, int | float):
                writer.add_scalar(f"{row['split']}/{name}", number, row["step"])
