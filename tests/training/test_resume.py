"""A run that stops and goes on ends with the same bits as one that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.toy import IMAGE_SHAPE, ToySplit, equal, run, toy_model, weights
from tightbound.core import Model
from tightbound.errors import CheckpointError
from tightbound.models import Ladder
from tightbound.registry import Factory
from tightbound.training import checkpoint as files
from tightbound.training import session
from tightbound.training.dropout import masks_of

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "everything": {
        "ema": 0.9,
        "schedule": Factory("schedule", "cosine", {"warm_up_steps": 3}),
        "optimizer": Factory("optimizer", "adamax", {"learning_rate": 0.05}),
        "clip_norm": 3.0,
        "early_stopping": 2,
        "precision": "float32",
        "max_nonfinite": 5,
    },
    "channels_last": {"kind": "convolutional", "precision": "float32"},
    "initialized": {"kind": "convolutional", "normalization": "weight", "precision": "float32", "ema": 0.9},
    "hamiltonian": {
        "kind": "convolutional",
        "normalization": "weight",
        "precision": "float32",
        "posterior": Factory("posterior", "hamiltonian", {"steps": 2, "tempering": "free"}),
    },
    "batch_norm": {"kind": "convolutional", "normalization": "batch", "optimizer": Factory("optimizer", "adamw")},
}


class _StoppedError(Exception):
    """Stands for a power cut."""


class _Failing(ToySplit):
    """Cuts the power at one batch of this session."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self._last = batches

    def batch(self, indices, generator):
        if self.num_batches == self._last:
            raise _StoppedError
        return super().batch(indices, generator)


def _run(folder: Path, case: dict[str, Any], **options: Any):
    case = dict(case)
    model = toy_model(case.pop("kind", "mlp"), **{k: case.pop(k) for k in ("normalization", "posterior") if k in case})
    result = run(folder, model, validation=ToySplit(11, 1), epochs=6.0, checkpoint_every=4, **case, **options)
    return result, weights(model)


def _rows(folder: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without what a clock has written."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


@pytest.mark.parametrize("case", CASES)
def test_weights_and_metrics_are_those_of_the_straight_run(case: str, tmp_path: Path) -> None:
    straight_result, straight = _run(tmp_path / "straight", CASES[case])
    folder, resume = tmp_path / "stopped", False
    for batches in (6, 3, 9):  # stops mid-epoch, between checkpoints, and before the session's first
        with pytest.raises(_StoppedError):
            _run(folder, CASES[case], split=_Failing(batches), resume=resume)
        resume = True
    result, resumed = _run(folder, CASES[case], resume=True)
    assert equal(resumed, straight)
    assert _rows(folder) == _rows(tmp_path / "straight")
    for name in ("model.safetensors", "checkpoints/best.safetensors"):
        assert equal(files.load(folder / name).tensors, files.load(tmp_path / "straight" / name).tensors)
    fields = ("step", "best", "best_step", "stopped_early", "skipped_steps", "validation")
    assert all(getattr(result, f) == getattr(straight_result, f) for f in fields)


def test_early_stopping_did_end_the_run_above(tmp_path: Path) -> None:
    result, _ = _run(tmp_path, CASES["everything"])
    assert result.stopped_early
    again, _ = _run(tmp_path, CASES["everything"], resume=True)
    assert (again.step, again.stopped_early, again.best) == (result.step, True, result.best)


def test_skipped_steps_are_remembered(tmp_path: Path) -> None:
    first = _Failing(7)
    first.bad_batches = (1, 3, 4)  # the last checkpoint before the stop is that of step 4, in the middle of two
    with pytest.raises(_StoppedError):
        _run(tmp_path / "stopped", {}, split=first)
    second = ToySplit()
    second.bad_batches = (0,)
    result, resumed = _run(tmp_path / "stopped", {}, split=second, resume=True)
    whole = ToySplit()
    whole.bad_batches = (1, 3, 4)
    straight_result, straight = _run(tmp_path / "straight", {}, split=whole)
    assert result.skipped_steps == straight_result.skipped_steps == 3
    assert equal(resumed, straight)
    newest = files.load_latest(tmp_path / "stopped")
    assert newest is not None
    assert newest.state["update"] == {"done": 27, "skipped_in_a_row": 0, "worst_row": 2}


def test_saving_and_logging_have_no_effect(tmp_path: Path) -> None:
    _, often = _run(tmp_path / "often", {"checkpoint_minutes": 1e-9, "log_every": 1, "keep_checkpoints": 1})
    _, seldom = _run(tmp_path / "seldom", {"log_every": 100})
    assert equal(often, seldom)


def test_before_the_first_checkpoint_a_run_resumes_at_the_beginning(tmp_path: Path) -> None:
    with pytest.raises(_StoppedError):
        _run(tmp_path / "stopped", {}, split=_Failing(2))
    (tmp_path / "stopped" / "checkpoints").mkdir()
    (tmp_path / "stopped" / "checkpoints" / "step-4.safetensors.tmp").write_bytes(b"half")
    _, resumed = _run(tmp_path / "stopped", {}, resume=True)
    _, straight = _run(tmp_path / "straight", {})
    assert equal(resumed, straight)
    assert _rows(tmp_path / "stopped") == _rows(tmp_path / "straight")
    assert "no checkpoint yet" in (tmp_path / "stopped" / "log.txt").read_text()


def test_a_damaged_checkpoint_stops_the_resume_and_deleting_it_goes_on(tmp_path: Path) -> None:
    _, straight = _run(tmp_path, {})
    newest = files.checkpoint_path(tmp_path, 30)
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match=r"step-30\.safetensors is truncated") as caught:
        _run(tmp_path, {}, resume=True)
    assert "step-28.safetensors is sound: delete step-30.safetensors" in caught.value.hint
    newest.unlink()
    _, resumed = _run(tmp_path, {}, resume=True)
    assert equal(resumed, straight)


def test_decisions_are_read_not_made_anew(tmp_path: Path) -> None:
    result, _ = _run(tmp_path, {"precision": "float64"})
    kept = result.decisions.to_dict() | {"versions": "other keys may stand beside"}
    model = toy_model()
    run(tmp_path, model, epochs=6.0, precision="auto", resolved=kept, resume=True)
    assert {p.dtype for p in model.parameters()} == {torch.float64}


def test_another_machine_is_one_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _run(tmp_path, {})
    here = session.environment(torch.device("cpu"), 1)
    monkeypatch.setattr(session, "environment", lambda device, world_size: here | {"torch": "9.9", "threads": 64})
    _run(tmp_path, {}, resume=True)
    warnings = [line for line in (tmp_path / "log.txt").read_text().splitlines() if "warning:" in line]
    assert len(warnings) == 1
    assert f"torch {torch.__version__} -> 9.9, threads {torch.get_num_threads()} -> 64" in warnings[0]


def _ladder_with_dropout() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return Ladder(IMAGE_SHAPE, latent_channels=(2,), channels=4, blocks=1, dropout=0.5)


def test_dropout_is_a_function_of_the_step_whatever_else_draws(tmp_path: Path) -> None:
    """Two runs and one that was cut end with the same bits; PyTorch's own generator is left as it was."""
    ended = []
    for name in ("one", "other"):
        model = _ladder_with_dropout()
        torch.manual_seed(len(name))
        before = torch.get_rng_state()
        run(tmp_path / name, model, checkpoint_every=4)
        assert torch.equal(torch.get_rng_state(), before)
        ended.append(weights(model))
    with pytest.raises(_StoppedError):
        run(tmp_path / "cut", _ladder_with_dropout(), split=_Failing(6), checkpoint_every=4)
    resumed = _ladder_with_dropout()
    run(tmp_path / "cut", resumed, checkpoint_every=4, resume=True)
    assert equal(ended[0], ended[1])
    assert equal(ended[0], weights(resumed))


def test_dropout_differs_from_step_to_step() -> None:
    model = torch.nn.Dropout(0.5)
    masks = masks_of(model, seed=0, rank=0, device=torch.device("cpu"))
    drawn = []
    for step in (0, 1, 0):
        with masks(step):
            drawn.append(model(torch.ones(1000)))
    assert torch.equal(drawn[0], drawn[2])
    assert 400 < int((drawn[0] != drawn[1]).sum()) < 600


def test_a_checkpoint_from_before_there_were_several_processes_is_of_one() -> None:
    said: list[str] = []
    here = session.environment(torch.device("cpu"), 1)
    before = {name: value for name, value in here.items() if name != "processes"}
    session._compare_environment(here, before, said.append)
    assert said == []
    session._compare_environment({**here, "processes": 2}, before, said.append)
    assert said == ["resuming elsewhere (processes 1 -> 2): the rest of the run may differ in the last bits"]
