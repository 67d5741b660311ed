from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.toy import ToySplit, run, settings, toy_model
from tightbound.errors import TrainingError
from tightbound.objectives import ELBO
from tightbound.training import TrainingResult, train
from tightbound.training.reporting import _short, append_to_log


def _train(folder: Path, console: Console, **options) -> TrainingResult:
    chosen = settings(tensorboard=True, log_every=5)
    return train(toy_model(), ELBO(), ToySplit(), ToySplit(9, 1), chosen, folder=folder, console=console, **options)


def _logged(folder: Path) -> list[str]:
    """The lines of log.txt without their times."""
    return [line.split(" ", 1)[1] for line in (folder / "log.txt").read_text().splitlines()]


def test_plain_lines_without_a_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    result = _train(tmp_path, Console(file=out, force_terminal=False))
    assert result.validation is not None
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("training for 10 steps; device: cpu, precision: float64; compile: off")
    assert lines[-1] == f"epoch 2: validation ELBO {result.validation['elbo']:.2f} nats"
    assert _logged(tmp_path) == lines


def test_whole_epochs_have_no_decimals() -> None:
    assert [_short(epoch) for epoch in (10, 10.0, 2.5, 99.999, 0.125)] == ["10", "10", "2.50", "100", "0.12"]


def test_notes_begin_the_log_and_are_not_said_again(tmp_path: Path) -> None:
    out = io.StringIO()
    notes = ("3 unreadable files skipped", "likelihood: bernoulli")
    _train(tmp_path, Console(file=out, force_terminal=False), notes=notes)
    assert tuple(_logged(tmp_path)[:2]) == notes
    assert "bernoulli" not in out.getvalue()
    _train(tmp_path, Console(file=out, force_terminal=False), notes=notes, resume=True)
    append_to_log(tmp_path, ["test: 12 images", "  log p(x)"])
    log = _logged(tmp_path)
    assert log.count(notes[0]) == 1
    assert log[-2:] == ["test: 12 images", "  log p(x)"]


def test_a_terminal_shows_elbo_rate_and_time_left(tmp_path: Path) -> None:
    out = io.StringIO()
    _train(tmp_path, Console(file=out, force_terminal=True, width=120))
    assert "10/10" in out.getvalue()
    assert "nats" in out.getvalue()
    assert "images/s" in out.getvalue()


def test_quiet_says_nothing(tmp_path: Path, capsys) -> None:
    out = io.StringIO()
    _train(tmp_path, Console(file=out), quiet=True)
    assert out.getvalue() == ""
    assert capsys.readouterr() == ("", "")
    assert "validation ELBO" in (tmp_path / "log.txt").read_text()


def test_tensorboard_holds_the_numbers_of_the_metrics(tmp_path: Path) -> None:
    result = _train(tmp_path, Console(file=io.StringIO()))
    assert result.validation is not None
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    wanted = {"elbo", "log_likelihood", "kl", "kl_layers/1", "beta", "learning_rate", "gradient_norm", "parameter_norm"}
    assert {f"train/{name}" for name in wanted | {"images_per_second", "skipped_steps"}} <= tags
    last = events.Scalars("validation/elbo")[-1]
    assert last.step == 10
    assert abs(last.value - result.validation["elbo"]) < 1e-4


def test_a_resumed_run_shows_every_step_once(tmp_path: Path) -> None:
    split = ToySplit()
    split.bad_batches = (7,)
    options = {"tensorboard": True, "log_every": 1, "checkpoint_every": 5}
    with pytest.raises(TrainingError, match="stopped at step 8: in 1 steps in a row"):
        run(tmp_path, split=split, max_nonfinite=1, **options)
    time.sleep(1.1)  # TensorBoard takes files in the order of their names, which have the second first
    run(tmp_path, resume=True, **options)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("train/elbo")] == list(range(1, 11))
