from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.training.toy import equal, toy_model, weights
from tightbound.errors import CheckpointError
from tightbound.training import checkpoint as files
from tightbound.training.checkpoint import Checkpoint, checkpoint_path, load, load_latest, load_weights, save

STATE = {"step": 7, "best": -1.5}


def _tensors() -> dict[str, torch.Tensor]:
    base = torch.arange(24.0).reshape(2, 3, 2, 2)
    return {
        "model.weight": base.to(memory_format=torch.channels_last),
        "model.same": base,
        "model.half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "optimizer.0.step": torch.tensor(3.0),
        "model.count": torch.tensor(5),
        "model.empty": torch.zeros(0, 4),
    }


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A run folder with checkpoints of steps 5, 10 and 15."""
    for step in (5, 10, 15):
        save(checkpoint_path(tmp_path, step), Checkpoint("training", _tensors(), {"step": step}))
    return tmp_path


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "step-7.safetensors"
    save(path, Checkpoint("training", _tensors(), STATE))
    loaded = load(path)
    assert (loaded.kind, loaded.state) == ("training", STATE)
    assert equal(loaded.tensors, _tensors())
    assert [p.name for p in path.parent.iterdir()] == ["step-7.safetensors"]


def test_no_byte_can_be_altered_unnoticed(tmp_path: Path) -> None:
    path = tmp_path / "step-7.safetensors"
    save(path, Checkpoint("training", {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([3.0])}, STATE))
    content = path.read_bytes()
    for position in range(len(content)):
        altered = bytearray(content)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(CheckpointError, match=r"step-7\.safetensors"):
            load(path)
    path.write_bytes(content)
    assert load(path).state == STATE


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "step-7.safetensors"
    save(path, Checkpoint("training", _tensors(), STATE))
    content = path.read_bytes()
    for length in (0, 4, 100, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(CheckpointError, match=r"step-7\.safetensors is truncated or altered"):
            load(path)


def test_a_damaged_newest_is_named_and_the_previous_offered(three: Path) -> None:
    newest = checkpoint_path(three, 15)
    newest.write_bytes(newest.read_bytes()[:-3])
    with pytest.raises(CheckpointError, match=r"step-15\.safetensors is truncated or altered") as caught:
        load_latest(three)
    assert (
        caught.value.hint == "step-10.safetensors is sound: delete step-15.safetensors and resume to go on from there"
    )
    checkpoint_path(three, 10).write_bytes(b"")
    with pytest.raises(CheckpointError) as caught:
        load_latest(three)
    assert "step-5.safetensors is sound" in caught.value.hint
    newest.unlink()
    checkpoint_path(three, 10).unlink()
    latest = load_latest(three)
    assert latest is not None
    assert latest.state == {"step": 5}


def test_only_damaged_ones(three: Path) -> None:
    for step in (5, 10, 15):
        checkpoint_path(three, step).write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="no sound checkpoint is before it"):
        load_latest(three)


def test_prune_keeps_the_newest_by_number_and_the_best(three: Path) -> None:
    save(checkpoint_path(three, 100), Checkpoint("training", _tensors(), STATE))
    save(three / "checkpoints" / "best.safetensors", Checkpoint("weights", _tensors(), STATE))
    files.prune(three, 2)
    assert files.saved_steps(three) == [15, 100]
    assert (three / "checkpoints" / "best.safetensors").is_file()


def test_unfinished_files_of_a_killed_run_are_removed(three: Path) -> None:
    left = [three / "checkpoints" / "step-20.safetensors.tmp", three / "model.safetensors.tmp"]
    for path in left:
        path.write_bytes(b"half")
    files.remove_unfinished(three)
    assert not any(path.exists() for path in left)
    assert files.saved_steps(three) == [5, 10, 15]


def test_foreign_missing_and_newer_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    with pytest.raises(CheckpointError, match=r"there is no .*other\.safetensors"):
        load(path)
    save_file({"a": torch.ones(2)}, path)
    with pytest.raises(CheckpointError, match=r"other\.safetensors is not a checkpoint of tightbound"):
        load(path)
    text = json.dumps({"schema": files.SCHEMA + 1})
    save_file({"a": torch.ones(2)}, path, {"tightbound": text, "tightbound_sha256": files._sha256(text)})
    with pytest.raises(CheckpointError, match="has schema 2; this version reads up to 1"):
        load(path)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, Checkpoint("weights", dict(toy_model().state_dict()), STATE))
    other = toy_model(hidden=(9,))
    before = weights(other)
    with pytest.raises(
        CheckpointError, match=r"another model: decoder\.layers.* is \(.*8.*\) there and \(.*9.*\) here"
    ):
        load_weights(other, path)
    with pytest.raises(CheckpointError, match="missing"):
        load_weights(toy_model(likelihood="gaussian"), path)
    assert equal(weights(other), before)
    same = toy_model()
    with torch.no_grad():
        for parameter in same.parameters():
            parameter.zero_()
    assert load_weights(same, path) == STATE
    assert equal(weights(same), weights(toy_model()))


_FULL_DISK = """
import resource, sys
from pathlib import Path
import torch
from tightbound.errors import CheckpointError
from tightbound.training.checkpoint import Checkpoint, checkpoint_path, save
folder = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
try:
    save(checkpoint_path(folder, 20), Checkpoint("training", {"a": torch.ones(100_000)}, {}))
except CheckpointError as error:
    print(error)
"""


def test_no_room_while_saving(three: Path) -> None:
    before = {path.name: path.read_bytes() for path in (three / "checkpoints").iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(three)], capture_output=True, text=True, timeout=60, check=True
    )
    assert re.search(r"cannot write .*step-20\.safetensors: .*File too large", done.stdout)
    assert "hint: the checkpoints before it are whole" in done.stdout
    assert {path.name: path.read_bytes() for path in (three / "checkpoints").iterdir()} == before
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 50_000


def test_a_disk_that_fills_up_at_the_last_moment(three: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> None:
        raise OSError(28, "No space left on device")

    before = checkpoint_path(three, 15).read_bytes()
    monkeypatch.setattr(files, "_fsync", full)
    with pytest.raises(CheckpointError, match=r"cannot write .*step-15\.safetensors: .*No space left on device"):
        save(checkpoint_path(three, 15), Checkpoint("training", _tensors(), STATE))
    assert checkpoint_path(three, 15).read_bytes() == before
    assert not list((three / "checkpoints").glob("*.tmp"))
