from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import Tensor

from tests.training.toy import ToySplit, run
from tightbound.training import checkpoint as files
from tightbound.training import saver
from tightbound.training.saver import Clock

BATCH_SECONDS = 40.0


class FakeTime:
    """The clock of checkpoints and rates; goes on only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(saver, "time", SimpleNamespace(monotonic=lambda: self.now))


class TimedSplit(ToySplit):
    """Each batch takes 40 seconds."""

    def __init__(self, time: FakeTime) -> None:
        super().__init__()
        self.time = time

    def batch(self, indices: Tensor, generator: Any) -> Tensor:
        self.time.now += BATCH_SECONDS
        return super().batch(indices, generator)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    return FakeTime(monkeypatch)


@pytest.mark.parametrize(("minutes", "steps"), [(2.0, [3, 6, 9, 10]), (0.5, list(range(1, 11))), (60.0, [10])])
def test_checkpoint_minutes_are_minutes(minutes: float, steps: list[int], tmp_path: Path, time: FakeTime) -> None:
    run(tmp_path, split=TimedSplit(time), checkpoint_minutes=minutes, keep_checkpoints=99)
    assert files.saved_steps(tmp_path) == steps


def test_images_per_second_leave_out_what_is_paused_and_seconds_do_not(time: FakeTime) -> None:
    clock = Clock(7.0)
    clock.images, time.now = 20, time.now + 4
    with clock.paused():
        time.now += 100
    time.now += 1
    assert clock.read() == {"images_per_second": 4.0, "seconds": 112.0}
    clock.images, time.now = 6, time.now + 2
    assert clock.read() == {"images_per_second": 3.0, "seconds": 114.0}


def test_a_pause_ends_at_an_error_too(time: FakeTime) -> None:
    clock = Clock(0.0)

    def fail_inside() -> None:
        with clock.paused():
            time.now += 100
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    clock.images, time.now = 20, time.now + 5
    assert clock.read() == {"images_per_second": 4.0, "seconds": 105.0}


def test_validation_and_pictures_do_not_slow_the_logged_rate(tmp_path: Path, time: FakeTime) -> None:
    def validate(model: Any, split: Any, step: int) -> dict[str, float]:
        time.now += 1000
        return {"elbo": -1.0}

    def draw(model: Any, epoch: float, step: int, writer: Any) -> None:
        time.now += 500

    split = TimedSplit(time)
    run(tmp_path, split=split, validation=ToySplit(9, 1), validate=validate, on_epoch=draw, picture_every=1.0)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    training = [row for row in rows if row["split"] == "train"]
    assert [row["step"] for row in training] == [3, 6, 9, 10]
    assert [row["images_per_second"] for row in training] == [8 / BATCH_SECONDS] * 4
    assert [row["seconds"] for row in training] == [120.0, 1740.0, 1860.0, 1900.0]  # after step 5: 1000 + 500
