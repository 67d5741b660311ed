"""Initialization by data is the beginning of a run, and of nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.training.toy import IMAGE_SHAPE, ToySplit, equal, run, settings, toy_model, weights
from tightbound.core import Model, Step
from tightbound.errors import RecipeError
from tightbound.models import Ladder
from tightbound.networks import initialize_from_data
from tightbound.networks.layers import Normalization
from tightbound.objectives import IWAE
from tightbound.registry import Factory
from tightbound.training import Decisions, TrainingStep, decide, place, read_decisions, train
from tightbound.training.batches import Batches


class Recorder:
    """``initialize``, with what it was given and what the model was like then and after."""

    def __init__(self) -> None:
        self.given: list[tuple[Tensor, Tensor]] = []
        self.only: list[bool] = []
        self.dtypes: list[torch.dtype | None] = []
        self.after: dict[str, Tensor] = {}

    def __call__(self, model: Model, x: Tensor, noise: Tensor, only_weight_normalized: bool) -> None:
        self.given.append((x, noise))
        self.dtypes.append(model.encoder.autocast_dtype)  # pyright: ignore[reportAttributeAccessIssue]
        initialize_from_data(model, x, noise, only_weight_normalized)
        self.only.append(only_weight_normalized)
        self.after = weights(model)


def weighed() -> Model:
    return toy_model(normalization="weight")


@pytest.mark.parametrize("batch_size", [1, 8])
def test_of_small_batches_it_gets_as_many_images_as_sixteen(tmp_path: Path, batch_size: int) -> None:
    """A ladder that is scaled by one image starts at −10¹¹ nats for the others."""
    recorder = Recorder()
    run(tmp_path, weighed(), steps=1, epochs=None, batch_size=batch_size, initializer=recorder)
    assert [x.shape[0] for x, _ in recorder.given] == [16]
    several = Recorder()
    options = {"objective": IWAE(num_samples=40), "batch_size": batch_size}
    run(tmp_path / "several", weighed(), steps=1, epochs=None, initializer=several, **options)
    ((x, noise),) = several.given
    assert noise.shape == (40 * batch_size // 16, len(x), 3)  # as many pairs as a step has
    few = Recorder()
    run(tmp_path / "few", weighed(), split=ToySplit(5), steps=1, epochs=None, batch_size=batch_size, initializer=few)
    assert [x.shape[0] for x, _ in few.given] == [5]


def test_it_gets_the_batch_and_the_noise_of_the_first_step(tmp_path: Path) -> None:
    """And the first loss is that of the weights it left: 3 samples, an objective of its own."""
    recorder, objective = Recorder(), IWAE(num_samples=3)
    run(tmp_path, weighed(), steps=1, epochs=None, batch_size=20, objective=objective, initializer=recorder)
    batches = Batches(
        ToySplit(),
        seed=0,
        batch_size=20,
        steps_per_epoch=2,
        noise_shape=(3, 3),
        dtype=torch.float64,
        device=torch.device("cpu"),
    )
    ((x, noise),) = recorder.given
    assert all(torch.equal(ours, theirs) for ours, theirs in zip((x, noise), batches(0), strict=True))
    model = weighed()
    place(model, device="cpu", precision="float64", channels_last=False)
    model.load_state_dict(recorder.after)
    loss = TrainingStep(model, objective)(x, noise, Step(torch.tensor(0), torch.tensor(0.0))).value.item()
    row = (tmp_path / "metrics.jsonl").read_text()
    assert f'"loss": {loss!r}' in row
    assert "initialized by data" in (tmp_path / "log.txt").read_text()


def test_everything_that_copies_weights_starts_from_the_initialized_ones(tmp_path: Path) -> None:
    """A moving average of weights that hardly move."""
    recorder, model = Recorder(), weighed()
    optimizer = Factory("optimizer", "adam", {"learning_rate": 1e-12})
    run(tmp_path, model, ema=0.9, optimizer=optimizer, initializer=recorder)
    kept = load_file(tmp_path / "model.safetensors")
    for name, value in recorder.after.items():
        torch.testing.assert_close(kept[name], value, rtol=1e-6, atol=1e-9)


def test_it_is_done_in_full_precision(tmp_path: Path) -> None:
    recorder, model = Recorder(), weighed()
    run(tmp_path, model, precision="bf16", initializer=recorder)
    assert recorder.dtypes == [None]
    assert model.encoder.autocast_dtype == torch.bfloat16  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("choice", "normalization", "only"),
    [
        ("auto", "none", []),
        ("auto", "weight", [True]),
        ("data", "none", [False]),
        ("data", "weight", [False]),
        ("none", "weight", []),
    ],
)
def test_it_is_done_as_the_settings_say(tmp_path: Path, choice: str, normalization: str, only: list[bool]) -> None:
    recorder = Recorder()
    run(tmp_path, toy_model(normalization=normalization), initialize=choice, initializer=recorder)
    assert recorder.only == only
    assert ("initialized by data" in (tmp_path / "log.txt").read_text()) == bool(only)


@pytest.mark.parametrize("normalization", ["weight", "batch", "group", "none"])
def test_a_ladder_starts_at_a_bound_by_data_unasked(normalization: Normalization) -> None:
    """The first bound of images of 64 binary pixels, which guessing gives −44 nats."""
    torch.manual_seed(0)
    model = Ladder((1, 8, 8), latent_channels=(4, 4, 4), channels=16, normalization=normalization)
    assert decide(settings(), model, 40).initialize == "all"
    x = torch.rand(16, 1, 8, 8).round()
    noise = torch.randn(1, 16, model.noise_size)
    initialize_from_data(model, x, noise)
    with torch.no_grad():
        bound = model.draw(x, 1, noise=noise).log_weight.mean()
    assert bound > -77


def test_a_run_that_has_a_checkpoint_never_does_it_again(tmp_path: Path) -> None:
    recorder, model = Recorder(), weighed()
    run(tmp_path, model, checkpoint_every=4, initializer=recorder)
    ended = weights(model)
    assert len(recorder.given) == 1
    again = weighed()
    run(tmp_path, again, checkpoint_every=4, initializer=recorder, resume=True)
    assert len(recorder.given) == 1
    assert equal(weights(again), ended)


def test_a_run_without_a_checkpoint_does_it_again_to_the_same_bits(tmp_path: Path) -> None:
    class _PowerCutError(Exception):
        pass

    def cut(model: Model, x: Tensor, noise: Tensor, only_weight_normalized: bool) -> None:
        initialize_from_data(model, x, noise, only_weight_normalized)
        raise _PowerCutError

    with pytest.raises(_PowerCutError):
        run(tmp_path / "cut", weighed(), initializer=cut)
    resumed, straight = weighed(), weighed()
    recorder = Recorder()
    run(tmp_path / "cut", resumed, initializer=recorder, resume=True)
    run(tmp_path / "straight", straight)
    assert len(recorder.given) == 1
    assert equal(weights(resumed), weights(straight))


def test_decisions_of_a_run_that_is_older_than_it() -> None:
    decisions = decide(settings(), weighed(), 40)
    assert decisions.initialize == "weight_normalized"
    kept = decisions.to_dict()
    assert read_decisions(kept) == decisions
    del kept["initialize"]
    old = read_decisions(kept)
    assert old is not None
    assert old.initialize is None
    assert old == Decisions(**kept)


def test_data_without_a_function_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"training\.initialize: an initialization by data needs an initialize function"
    ):
        train(
            weighed(), IWAE(num_samples=2), ToySplit(), None, settings(initialize="data"), folder=tmp_path, quiet=True
        )


def test_a_ladder_starts_by_sixteen_images_where_a_step_has_one(tmp_path: Path) -> None:
    """By one image it starts at −10¹¹ nats for the others, unscaled at −10⁹; its log says what is wrong."""
    bounds, logs = {}, {}
    for name, options in {
        "sixteen": {},
        "one": {"split": ToySplit(1)},
        "unscaled": {"initializer": None},
        "as asked": {"initializer": None, "initialize": "none"},
    }.items():
        torch.manual_seed(0)
        model = Ladder(IMAGE_SHAPE, latent_channels=(4, 4, 4), channels=16, blocks=2)
        still = Factory("optimizer", "adam", {"learning_rate": 1e-12})
        run(tmp_path / name, model, steps=1, epochs=None, batch_size=1, optimizer=still, **options)
        logs[name] = (tmp_path / name / "log.txt").read_text()
        x, generator = ToySplit().fixed(0, 40, 0).double(), torch.Generator().manual_seed(0)
        with torch.no_grad():
            bounds[name] = model.eval().double().draw(x, 4, generator=generator).log_weight.mean().item()
    assert -25 < bounds["sixteen"] < -20  # uniform pixels have 30 log 2 = 20.8 nats
    assert bounds["one"] < -1e9
    assert bounds["unscaled"] == bounds["as asked"] < -1e9
    assert "a single image does not tell how images vary" in logs["one"]
    assert "got no initialize function" in logs["unscaled"]
    assert not any("warning" in logs[name] for name in ("sixteen", "as asked"))
