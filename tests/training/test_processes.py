"""Several processes train what one would: two of this machine, and one on each of two nodes, both this machine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.spread import EQUAL, HAS_COMMON_MEMORY, SOCKETS, STATISTICS, equal_case, evaluations
from tests.training.toy import ToySplit, toy_model
from tightbound.errors import RecipeError
from tightbound.training import checkpoint as files
from tightbound.training.agreement import Agreement
from tightbound.training.processes import Processes, join
from tightbound.training.validation import mean_elbo

ROOT = Path(__file__).parents[2]
OTHERS = ("resumed", "begun", "begun_sharded", "half_compiled", "auto_sharded", "signaled", "different")
SOCKETED = (*SOCKETS, "half_compiled_by_sockets")
COMMON = ("means", "in_common_memory") if HAS_COMMON_MEMORY else ()
ERRORS = ("unequal", "sharded_compiled", "captured", "occupied", "diverged")
EVALUATIONS = ("evaluated", "not_finite", "unreadable")
MEANS_OF_ROOTS = "rmse"  # the mean over processes of each one's, which is no mean over images


@contextmanager
def _started(*options: str, folder: Path, cases: tuple[str, ...]) -> Iterator[subprocess.Popen[str]]:
    """A launcher of these cases, which has ended afterwards whatever happens: another may wait for it for minutes."""
    command = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "tests.training.spread", str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen([*command, *cases], cwd=ROOT, env=environment, text=True, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # the processes that it has launched too
                process.communicate(timeout=60)


def _finish(process: subprocess.Popen[str]) -> None:
    output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of what two processes did."""
    folder = tmp_path_factory.mktemp("two")
    torch.set_default_dtype(torch.float64)
    equal_case(folder / "resumed", "plain", epochs=None, steps=6)
    with _started(
        "--standalone",
        "--nproc-per-node=2",
        folder=folder,
        cases=(*EQUAL, *STATISTICS, *SOCKETED, *COMMON, *OTHERS, *ERRORS, *EVALUATIONS),
    ) as process:
        _finish(process)
    return folder


def _rows(folder: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    left_out = ("seconds", "images_per_second", MEANS_OF_ROOTS)
    return [{key: value for key, value in row.items() if key not in left_out} for row in rows]


def _record(folder: Path, name: str) -> list[Any]:
    return [json.loads((folder / f"record-{rank}.json").read_text())[name] for rank in range(2)]


def _assert_same_weights(several: Path, one: Path) -> None:
    """To relative 1e-9, in float64: Adam divides small gradients by their size, rounding and all."""
    found, wanted = (load_file(folder / "model.safetensors") for folder in (several, one))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-12)


def _assert_same_run(several: Path, one: Path) -> None:
    """The logged numbers too."""
    _assert_same_weights(several, one)
    rows = _rows(one)
    assert len(rows) == len(_rows(several))
    for here, there in zip(_rows(several), rows, strict=True):
        assert here == {
            key: pytest.approx(v, rel=1e-9) if isinstance(v, float | list) else v for key, v in there.items()
        }


@pytest.mark.parametrize("name", EQUAL)
def test_two_processes_train_what_one_does(name: str, two: Path, tmp_path: Path) -> None:
    """Weights and logged numbers: the same images, the same noise, means over the whole batch."""
    equal_case(tmp_path, name)
    _assert_same_run(two / name, tmp_path)
    first, second = _record(two, name)
    assert first == second or name == "sharded"  # there each has its part


@pytest.mark.parametrize("name", [name for name, (_, case) in SOCKETS.items() if case in EQUAL])
def test_they_do_where_gradients_go_through_sockets(name: str, two: Path, tmp_path: Path) -> None:
    equal_case(tmp_path, SOCKETS[name][1])
    _assert_same_run(two / name, tmp_path)


@pytest.mark.skipif(not HAS_COMMON_MEMORY, reason="memory that is in no folder is Linux's")
def test_one_machine_has_gradients_in_common_memory(two: Path, tmp_path: Path) -> None:
    """PyTorch's engine has no part in it; means are taken once a step."""
    equal_case(tmp_path, "plain")
    _assert_same_run(two / "in_common_memory", tmp_path)
    assert _record(two, "in_common_memory") == 2 * [_rows(tmp_path)[-1]["step"]]


@pytest.mark.skipif(not HAS_COMMON_MEMORY, reason="memory that is in no folder is Linux's")
def test_means_in_common_memory_are_exact_in_both(two: Path) -> None:
    """Where one of them cannot see the memory, neither uses it."""
    assert _record(two, "means") == 2 * [{"right": True, "seen_by_one": True, "left_open": 0}]


@pytest.mark.parametrize("name", [*STATISTICS, "normalized_by_sockets"])
def test_all_validate_with_the_batch_statistics_of_the_first(name: str, two: Path) -> None:
    """150 images in chunks of 64, one of them the second process's: scored as one process scores the first's model."""
    first, second = _record(two, name)
    assert first == second
    model = toy_model(normalization="batch").double().eval()
    model.load_state_dict(load_file(two / name / "model.safetensors"))
    with torch.no_grad():
        wanted = mean_elbo(model, ToySplit(150, 1), seed=0, dtype=torch.float64)
    last = next(row for row in reversed(_rows(two / name)) if row["split"] == "validation")
    assert last["elbo"] == pytest.approx(wanted["elbo"], rel=1e-12)


def test_free_bits_did_bind_for_some_units_and_not_for_others(two: Path) -> None:
    """loss + ELBO is what free bits add to the KL."""
    rows = [row for row in _rows(two / "free_bits") if row["split"] == "train"]
    assert all(row["loss"] + row["elbo"] > 0.01 for row in rows)
    assert all(row["kl"] > 3 * 0.35 for row in rows)


def test_a_run_goes_on_in_another_number_of_processes(two: Path, tmp_path: Path) -> None:
    equal_case(tmp_path / "straight", "plain")
    _assert_same_weights(two / "resumed", tmp_path / "straight")
    assert _rows(two / "resumed")[-1]["elbo"] == pytest.approx(_rows(tmp_path / "straight")[-1]["elbo"], rel=1e-9)
    assert "warning: resuming elsewhere (processes 1 -> 2)" in (two / "resumed/log.txt").read_text()
    equal_case(two / "begun", "plain", resume=True)
    assert "warning: resuming elsewhere (processes 2 -> 1)" in (two / "begun/log.txt").read_text()
    _assert_same_weights(two / "begun", tmp_path / "straight")


def test_a_checkpoint_is_the_same_however_the_weights_are_shared_out(two: Path, tmp_path: Path) -> None:
    """Begun and gone on with in two processes, then in one."""
    equal_case(two / "begun_sharded", "sharded", resume=True)
    equal_case(tmp_path, "sharded")
    _assert_same_weights(two / "begun_sharded", tmp_path)
    assert "warning: training.sharding has no effect in one process" in (tmp_path / "log.txt").read_text()


@pytest.mark.parametrize("name", ["half_compiled", "half_compiled_by_sockets"])
def test_a_compilation_that_fails_in_one_process_is_done_without_in_all(name: str, two: Path, tmp_path: Path) -> None:
    """The first has tried a step by then: what it exchanged would be one exchange too many."""
    equal_case(tmp_path, "free_bits")
    _assert_same_run(two / name, tmp_path)
    log = (two / name / "log.txt").read_text()
    assert "warning: compilation failed, training goes on without it: no compiler here" in log


def test_what_is_not_compiled_is_not_announced_and_the_objective_is_left_as_it_was(two: Path) -> None:
    log = (two / "auto_sharded/log.txt").read_text()
    assert "2 processes; compile: off, as the weights are shared out between processes" in log
    assert _record(two, "auto_sharded") == [False, False]


def test_only_the_first_process_writes(two: Path) -> None:
    assert not list(two.glob("elsewhere*"))
    assert (two / "plain/log.txt").read_text().count("training for") == 1


def test_a_signal_to_one_stops_all_at_one_step(two: Path) -> None:
    first, second = _record(two, "signaled")
    assert (first["error"], first["status"]) == ("InterruptedTrainingError", 130)
    assert (second["error"], second["message"]) == ("SystemExit", "130")
    (step,) = files.saved_steps(two / "signaled")
    assert f"interrupted at step {step} of 25000; a checkpoint was saved" in first["message"]


def test_an_error_that_all_meet_is_said_once(two: Path) -> None:
    for name, error, status, text in (
        ("unequal", "RecipeError", 2, "training.batch_size: got 9; 2 processes cannot share it equally"),
        ("sharded_compiled", "RecipeError", 2, "training.compile: got true; with training.sharding=full"),
        ("captured", "RecipeError", 2, "training.cuda_graph: got true; a step of 2 processes is not captured"),
        ("occupied", "RunError", 1, "holds a run already"),
        ("diverged", "TrainingError", 1, "in 3 steps in a row the loss or its gradient was not finite"),
    ):
        first, second = _record(two, name)
        assert (first["error"], first["status"]) == (error, status)
        assert text in first["message"]
        assert (second["error"], second["message"]) == ("SystemExit", str(status))


def test_two_processes_evaluate_to_the_bit_as_one_does(two: Path) -> None:
    """75 images, which are tiles of 32, 32 and 11: three, of which one process has two. Per image and in sum."""
    torch.set_default_dtype(torch.float64)
    wanted = json.loads(json.dumps(evaluations()))
    first, second = _record(two, "evaluated")
    assert [row["method"] for row in wanted] == ["importance", "annealed", "bidirectional"]
    assert [len(row["ess"]) for row in wanted] == [75, 75, 75]
    assert first == second == wanted


def test_an_error_of_an_evaluation_is_said_by_one(two: Path) -> None:
    """By the first, of what all learn; by the one that met it, of what they do not."""
    for name, rank, error, status, text in (
        ("not_finite", 0, "TightboundError", 1, "got NaN or +inf in image 35"),
        ("unreadable", 1, "DataError", 3, "image 33 is damaged"),
    ):
        found = _record(two, name)
        said, silent = found[rank], found[1 - rank]
        assert (said["error"], said["status"]) == (error, status)
        assert text in said["message"]
        assert (silent["error"], silent["message"]) == ("SystemExit", str(status))


def test_all_start_from_the_weights_of_the_first(two: Path) -> None:
    """The moving average too, of which the first step keeps nine elevenths."""
    first, second = _record(two, "different")
    assert first == second
    torch.set_default_dtype(torch.float64)
    average = load_file(two / "different/model.safetensors")
    for name, value in average.items():
        assert (value - torch.tensor(first[name])).abs().max() < 1e-2


def test_two_nodes_train_what_one_process_does(tmp_path: Path) -> None:
    """Without common memory, which these two would have."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ("--nnodes=2", "--nproc-per-node=1", "--master-addr=127.0.0.1", f"--master-port={port}")
    with ExitStack() as stack:
        ranks = [(*options, f"--node-rank={rank}") for rank in range(2)]
        nodes = [stack.enter_context(_started(*rank, folder=tmp_path, cases=("parts_by_sockets",))) for rank in ranks]
        for node in reversed(nodes):  # the first waits for the other, however that ends
            _finish(node)
    equal_case(tmp_path / "one", "plain")
    _assert_same_run(tmp_path / "parts_by_sockets", tmp_path / "one")
    # One that lets go of a tensor while the interpreter ends would abort the process, about once in five runs.
    assert _record(tmp_path, "threads") == [[], []]


def test_batches_that_cannot_be_shared_equally_are_refused() -> None:
    Processes(world_size=4).check_shares(128)
    with pytest.raises(RecipeError, match=r"batch_size: got 30; 4 processes .*\n.*such as training\.batch_size=28"):
        Processes(world_size=4).check_shares(30)


def test_shares_of_one_image_have_no_statistics() -> None:
    Processes(world_size=4).check_statistics(8)
    Processes().check_statistics(1)  # refused when the model is built
    with pytest.raises(RecipeError, match=r"got 4; batch statistics need .* of 4 processes\n.*training\.batch_size=8"):
        Processes(world_size=4).check_statistics(4)


@pytest.mark.parametrize(
    ("launched", "backends", "message"),
    [
        (False, "cpu:gloo", "has joined 3 processes that no launcher has started"),
        (True, "cuda:nccl", "got cuda:nccl, which has no way for tensors on the processor"),
    ],
)
def test_processes_that_would_train_apart_are_refused(
    monkeypatch: pytest.MonkeyPatch, launched: bool, backends: str, message: str
) -> None:
    """The script has joined them itself: without numbers, or without what agrees on a step."""
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "3") if launched else monkeypatch.delenv(name, raising=False)
    answers = {"is_initialized": True, "get_world_size": 3, "get_backend_config": backends}
    for name, answer in answers.items():
        monkeypatch.setattr(torch.distributed, name, lambda answer=answer: answer)
    with pytest.raises(RecipeError, match=message):
        join()


def test_one_process_alone_is_asked_at_every_step() -> None:
    agreement = Agreement(Processes(), 0)
    assert [agreement(step, step == 2, True) for step in (1, 2)] == [(False, True), (True, True)]
