"""When a checkpoint is due, what is the best one, and when there has been no better one for too long."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tightbound.training import checkpoint as files
from tightbound.training.metrics import MetricsFile
from tightbound.training.session import Session
from tightbound.training.settings import TrainingSettings
from tightbound.training.snapshot import take


class Clock:
    """Seconds trained over all sessions, and images a second since the last reading.

    Args:
        seconds: of the sessions before this one.
    """

    def __init__(self, seconds: float) -> None:
        self.images = 0
        self._before, self._start = seconds, time.monotonic()
        self._read = self._start

    @property
    def seconds(self) -> float:
        """Trained so far."""
        return self._before + time.monotonic() - self._start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside (validation, pictures, saving) does not count against images a second."""
        start = time.monotonic()
        try:
            yield
        finally:
            self._read += time.monotonic() - start

    def read(self) -> dict[str, float]:
        """``images_per_second`` and ``seconds``, for a row of metrics."""
        now = time.monotonic()
        rate = self.images / max(now - self._read, 1e-9)
        self.images, self._read = 0, now
        return {"images_per_second": rate, "seconds": self.seconds}


class Saver:
    """Writes checkpoints. Saving changes nothing in the run, so neither does the clock that asks for it.

    Args:
        folder: the run folder.
        session: what is saved.
        settings: intervals, how many are kept, patience.
        metrics: its length goes into each checkpoint.
        clock: its seconds too.
    """

    def __init__(
        self, folder: Path, session: Session, settings: TrainingSettings, metrics: MetricsFile, clock: Clock
    ) -> None:
        self._folder, self._session, self._settings = folder, session, settings
        self._metrics, self._clock = metrics, clock
        self._saved_at = time.monotonic()
        self._saved_step: int | None = None

    def is_due_by_steps(self) -> bool:
        """Whether a checkpoint is due after the present step, whatever the time."""
        every = self._settings.checkpoint_every
        return every is not None and self._session.live.counters.step % every == 0

    def is_due_by_time(self) -> bool:
        """Whether a checkpoint is due by this process's clock."""
        minutes = self._settings.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved_at >= 60 * minutes

    def save(self) -> None:
        """Writes the checkpoint of the present step, once, then lets older ones go: all processes together."""
        counters = self._session.live.counters
        if counters.step == self._saved_step:
            return
        with self._clock.paused():
            counters.metrics_bytes = self._metrics.sync()
            counters.seconds = self._clock.seconds
            snapshot = take(self._session.live, self._session.context())
            self._session.processes.first(lambda: self._write(snapshot))
        self._saved_at, self._saved_step = time.monotonic(), counters.step

    def _write(self, snapshot: files.Checkpoint) -> None:
        files.save(files.checkpoint_path(self._folder, self._session.live.counters.step), snapshot)
        files.prune(self._folder, self._settings.keep_checkpoints)

    def judge(self, values: Mapping[str, Any]) -> None:
        """Counts a validation, keeps the weights if it is the best so far, and ends a run that has waited too long.

        The importance bound selects where there is one, else the ELBO; a value that is not finite is never the best.
        """
        counters, patience = self._session.live.counters, self._settings.early_stopping
        value = values["bound"] if "bound" in values else values["elbo"]
        if value is not None and (counters.best is None or value > counters.best):
            counters.best, counters.best_step, counters.waited = value, counters.step, 0
            self.save_weights(self._folder / files.FOLDER / files.BEST)
        else:
            counters.waited += 1
        counters.stopped_early = patience is not None and counters.waited >= patience

    def save_weights(self, path: Path) -> None:
        """Writes the weights as the model now holds them, whole, names as in its state dict: all processes together."""
        live, counters = self._session.live, self._session.live.counters
        state = {
            "step": counters.step,
            "best": counters.best,
            "best_step": counters.best_step,
            "averaged": live.average is not None,
        }
        weights = files.Checkpoint("weights", live.parallel.weights(live.model), state)
        self._session.processes.first(lambda: files.save(path, weights))
