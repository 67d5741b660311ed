from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.training.toy import ToySplit, equal, run, settings, toy_model, weights
from tightbound.core import Step
from tightbound.errors import CheckpointError, DataError, RecipeError, RunError, TrainingError
from tightbound.objectives import ELBO, IWAE
from tightbound.registry import Factory
from tightbound.training import InterruptedTrainingError, TrainingStep, decide, load_weights, place
from tightbound.training import checkpoint as files
from tightbound.training.batches import Batches
from tightbound.training.interruption import Interruption
from tightbound.training.validation import mean_elbo


def _rows(folder: Path, split: str | None = None) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [row for row in rows if split in (None, row["split"])]


def _batches(seed: int, samples: int) -> Batches:
    return Batches(
        ToySplit(),
        seed=seed,
        batch_size=8,
        steps_per_epoch=5,
        noise_shape=(samples, 3),
        dtype=torch.float64,
        device=torch.device("cpu"),
    )


def test_a_run_is_the_plain_loop_anyone_would_write(tmp_path: Path) -> None:
    model, plain = toy_model(), toy_model().double()
    result = run(tmp_path, model, steps=7, epochs=None, objective=IWAE(num_samples=3), seed=4, log_every=2)
    batches, step_module = _batches(4, 3), TrainingStep(plain, IWAE(num_samples=3))
    optimizer = torch.optim.Adam(plain.parameters(), fused=True)
    bounds, norms = [], []
    for index in range(7):
        loss = step_module(*batches(index), Step(torch.tensor(index), torch.tensor(index / 5)))
        optimizer.zero_grad()
        loss.value.backward()
        norms.append(torch.cat([p.grad.flatten() for p in plain.parameters() if p.grad is not None]).norm().item())
        optimizer.step()
        bounds.append(-loss.value.item())
    # To the last bit, but where the optimizer's code for the rest of a tensor, less than a vector, rounds otherwise.
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(model)[name], value, rtol=1e-15, atol=1e-17, msg=name)
    for weight in model.parameters():  # trained as parts of one vector, and their owner's alone again
        assert weight.untyped_storage().nbytes() == weight.numel() * weight.element_size()
    assert result.step == 7
    rows = _rows(tmp_path)
    assert [row["step"] for row in rows] == [2, 4, 6, 7]
    means = [sum(bounds[2 * i : 2 * i + 2]) / len(bounds[2 * i : 2 * i + 2]) for i in range(4)]
    assert [row["bound"] for row in rows] == pytest.approx(means, rel=1e-12)
    assert rows[3]["gradient_norm"] == pytest.approx(norms[6], rel=1e-6)
    length = torch.cat([p.detach().flatten() for p in plain.parameters()]).norm().item()
    assert rows[3]["parameter_norm"] == pytest.approx(length, rel=1e-12)
    assert all(row["elbo"] == pytest.approx(row["log_likelihood"] - row["kl"], rel=1e-12) for row in rows)


def test_schedule_warm_up_of_the_kl_and_noise_scale_are_logged(tmp_path: Path) -> None:
    run(
        tmp_path,
        toy_model(likelihood="gaussian"),
        objective=ELBO(warm_up=Factory("warm_up", "linear", {"steps": 20})),
        schedule=Factory("schedule", "polynomial"),
        log_every=1,
    )
    rows = _rows(tmp_path, "train")
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-3 * (1 - i / 10) for i in range(10)])
    assert [row["beta"] for row in rows] == pytest.approx([i / 20 for i in range(10)])
    assert rows[0]["noise_scale"] == pytest.approx(0.1, rel=1e-6)
    assert all("rmse" in row for row in rows)
    assert rows[0]["loss"] == pytest.approx(-rows[0]["log_likelihood"], rel=1e-12)  # β = 0; the ELBO is the honest one
    assert rows[0]["elbo"] < -rows[0]["loss"]


def test_bf16_is_for_network_bodies_in_training_alone(tmp_path: Path) -> None:
    rows, models = {}, {name: toy_model() for name in ("bf16", "float32")}
    for precision, model in models.items():
        run(
            tmp_path / precision,
            model,
            precision=precision,
            validation=ToySplit(9, 1),
            log_every=1,
            epochs=None,
            steps=1,
        )
        rows[precision] = _rows(tmp_path / precision, "train")[0]
    assert rows["bf16"]["elbo"] != rows["float32"]["elbo"]
    assert rows["bf16"]["elbo"] == pytest.approx(rows["float32"]["elbo"], rel=0.01)
    assert {p.dtype for p in models["bf16"].parameters()} == {torch.float32}
    place(models["bf16"], device="cpu", precision="float32", channels_last=False)
    with torch.no_grad():
        full = mean_elbo(models["bf16"].eval(), ToySplit(9, 1), seed=0, dtype=torch.float32)
    assert _rows(tmp_path / "bf16", "validation")[0]["elbo"] == full["elbo"]


def test_last_weights_are_kept_averaged_if_there_is_an_average(tmp_path: Path) -> None:
    model = toy_model()
    run(tmp_path, model, ema=0.5)
    kept = load_file(tmp_path / "model.safetensors")
    checkpoint = files.load(files.checkpoint_path(tmp_path, 10))
    assert equal(files.part(checkpoint.tensors, "model"), weights(model))
    averages = files.part(checkpoint.tensors, "average")
    assert equal({name: kept[name] for name in averages}, averages)
    assert not any(torch.equal(kept[name], value) for name, value in model.named_parameters())
    fresh = toy_model().double()
    load_weights(fresh, files.checkpoint_path(tmp_path, 10))
    assert equal(weights(fresh), kept)


def test_validation_selects_by_the_bound_and_early_stopping_waits(tmp_path: Path) -> None:
    bounds = iter([-5.0, -3.0, -4.0, float("nan"), -3.5, -1.0])
    seen = []

    def validate(model, split, step):
        seen.append((step, model.training, weights(model)))
        return {"bound": next(bounds), "bound_samples": 7}

    result = run(tmp_path, validation=ToySplit(9, 1), validate=validate, epochs=6.0, early_stopping=3)
    assert [step for step, _, _ in seen] == [5, 10, 15, 20, 25]
    assert not any(training for _, training, _ in seen)
    assert (result.best, result.best_step, result.stopped_early, result.step) == (-3.0, 10, True, 25)
    rows = _rows(tmp_path, "validation")
    assert [row["bound"] for row in rows] == [-5.0, -3.0, -4.0, None, -3.5]
    assert all({"elbo", "kl", "kl_layers", "log_likelihood"} <= row.keys() for row in rows)
    assert equal(load_file(tmp_path / "checkpoints" / "best.safetensors"), seen[1][2])
    assert result.validation is not None
    assert result.validation["bound_samples"] == 7


def test_without_a_validation_split_there_is_no_best(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert result.best is None
    assert not (tmp_path / "checkpoints" / "best.safetensors").exists()


def test_bad_batches_are_skipped_and_counted(tmp_path: Path) -> None:
    model, split = toy_model(), ToySplit()
    split.bad_batches = (3, 4, 7)
    assert run(tmp_path, model, split=split, log_every=1).skipped_steps == 3
    rows = _rows(tmp_path)
    assert [row["skipped_steps"] for row in rows] == [0, 0, 0, 1, 2, 2, 2, 3, 3, 3]
    assert "elbo" not in rows[3]
    assert all(torch.isfinite(value).all() for value in weights(model).values())
    checkpoint = files.load(files.checkpoint_path(tmp_path, 10))
    assert float(checkpoint.tensors["optimizer.0.step"]) == 7


@pytest.mark.parametrize("length", [{"steps": 20}, {"epochs": 4}])
def test_a_skipped_step_does_not_advance_the_warm_up(length: dict[str, int], tmp_path: Path) -> None:
    split = ToySplit()
    split.bad_batches = (3, 4, 7)
    run(tmp_path, split=split, objective=ELBO(warm_up=Factory("warm_up", "linear", length)), log_every=1)
    betas = [row["beta"] for row in _rows(tmp_path) if "beta" in row]
    assert betas == pytest.approx([done / 20 for done in range(7)], rel=1e-12)


def test_too_many_in_a_row_stop_the_run_at_the_last_good_checkpoint(tmp_path: Path) -> None:
    model, good, split = toy_model(), toy_model(), ToySplit()
    split.bad_batches = range(4, 100)
    with pytest.raises(
        TrainingError, match="stopped at step 7: in 3 steps in a row the loss or its gradient"
    ) as caught:
        run(tmp_path, model, split=split, max_nonfinite=3, checkpoint_every=4)
    assert "step-4.safetensors is the last good checkpoint" in caught.value.hint
    assert files.saved_steps(tmp_path) == [4]
    run(tmp_path / "good", good, epochs=None, steps=4)
    assert equal(weights(model), weights(good))


def test_pictures_at_their_interval(tmp_path: Path) -> None:
    seen = []

    def on_epoch(model, epoch, step, writer):
        seen.append((epoch, step, model.training, writer is not None))

    run(tmp_path, epochs=3.0, picture_every=2.0, on_epoch=on_epoch, tensorboard=True)
    assert seen == [(2.0, 10, False, True), (3.0, 15, False, True)]
    run(tmp_path / "none", picture_every=None, on_epoch=on_epoch)
    assert len(seen) == 2


def test_checkpoints_at_their_interval_and_no_more_than_asked(tmp_path: Path) -> None:
    run(tmp_path, checkpoint_every=2, keep_checkpoints=3)
    assert files.saved_steps(tmp_path) == [6, 8, 10]
    run(tmp_path / "minutes", checkpoint_minutes=1e-9, keep_checkpoints=99)
    assert files.saved_steps(tmp_path / "minutes") == list(range(1, 11))


def test_a_small_split_is_one_smaller_batch(tmp_path: Path) -> None:
    decisions = decide(settings(epochs=3.0), toy_model(), 5)
    assert (decisions.batch_size, decisions.steps_per_epoch, decisions.total_steps) == (5, 1, 3)
    decisions = decide(settings(epochs=3.0), toy_model(), 23)
    assert (decisions.batch_size, decisions.steps_per_epoch, decisions.total_steps) == (8, 2, 6)
    with pytest.raises(DataError, match="the training split is empty"):
        decide(settings(), toy_model(), 0)


def test_what_cannot_be_followed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"training\.early_stopping: there is no validation split"):
        run(tmp_path, early_stopping=2)
    with pytest.raises(
        RecipeError, match=r"training\.validation_samples: an importance bound needs a validate function"
    ):
        run(tmp_path, validation=ToySplit(4), validation_samples=10)
    run(tmp_path)
    with pytest.raises(RunError, match="holds a run already"):
        run(tmp_path)
    with pytest.raises(CheckpointError, match="begun with seed = 0; got 1"):
        run(tmp_path, resume=True, seed=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_saves_and_says_so(number: signal.Signals, tmp_path: Path) -> None:
    class Interrupting(ToySplit):
        def batch(self, indices, generator):
            if self.num_batches == 3:
                os.kill(os.getpid(), number)
            return super().batch(indices, generator)

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    stopped, straight = toy_model(), toy_model()
    with pytest.raises(InterruptedTrainingError, match="interrupted at step 4 of 10; a checkpoint was saved"):
        run(tmp_path, stopped, split=Interrupting())
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert files.saved_steps(tmp_path) == [4]
    run(tmp_path, stopped, resume=True)
    run(tmp_path / "straight", straight)
    assert equal(weights(stopped), weights(straight))


@pytest.mark.parametrize(
    ("launched", "number", "text", "raised"),
    [
        (True, signal.SIGINT, "Connection closed by peer [127.0.0.1]:29500", KeyboardInterrupt),
        (True, signal.SIGINT, "[pair.cc:537] Read error: Connection reset by peer", KeyboardInterrupt),
        (True, signal.SIGTERM, "Connection closed by peer [127.0.0.1]:29500", RuntimeError),
        (True, signal.SIGINT, "shapes cannot be multiplied", RuntimeError),
        (False, signal.SIGINT, "Connection closed by peer [127.0.0.1]:29500", RuntimeError),
    ],
)
def test_a_process_lost_to_ctrl_c_is_no_error_of_its_own(
    launched: bool, number: signal.Signals, text: str, raised: type[BaseException]
) -> None:
    """A launcher sends SIGTERM to the others of one that has failed: then that failure is the reason."""

    def meet() -> None:
        with Interruption(launched=launched):
            signal.raise_signal(number)
            raise RuntimeError(text)

    with pytest.raises(raised):
        meet()


def test_a_full_disk_under_a_log_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, row: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tightbound.training.metrics.MetricsFile.write", full)
    with pytest.raises(RunError, match=f"cannot write into {tmp_path}: No space left on device"):
        run(tmp_path)


def test_a_full_disk_under_a_checkpoint_keeps_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save, calls = files.save_file, []

    def fill(tensors, path, metadata):
        calls.append(path)
        if len(calls) > 1:
            Path(path).write_bytes(b"half")
            raise OSError(28, "No space left on device")
        save(tensors, path, metadata)

    monkeypatch.setattr(files, "save_file", fill)
    model = toy_model()
    with pytest.raises(CheckpointError, match=r"cannot write .*step-6\.safetensors: .*No space left"):
        run(tmp_path, model, checkpoint_every=3)
    assert os.listdir(tmp_path / "checkpoints") == ["step-3.safetensors"]
    monkeypatch.undo()
    run(tmp_path, model, checkpoint_every=3, resume=True)
    straight = toy_model()
    run(tmp_path / "straight", straight)
    assert equal(weights(model), weights(straight))


def test_weights_that_are_finite_and_lost_end_the_run(tmp_path: Path) -> None:
    """Every step was sound, and the validation ELBO of what they made is not a number."""
    lost = {"elbo": float("nan")}
    with pytest.raises(TrainingError, match=r"training diverged: at step 5 the validation ELBO is not finite\n.*lower"):
        run(tmp_path, validation=ToySplit(9, 1), validate=lambda model, split, step: lost)
    assert not (tmp_path / "model.safetensors").exists()
