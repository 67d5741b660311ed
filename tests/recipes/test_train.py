"""Training from Python: data of every kind, resuming, refusals before any work."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from tightbound import api
from tightbound.data import data_of
from tightbound.errors import DataError, RecipeError, RunError
from tightbound.evaluation import importance
from tightbound.recipes.callbacks import validation_bound
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.run import open_run
from tightbound.recipes.train import check_plan

SMALL = {
    "model": {"latent_dim": 2, "encoder": {"kind": "mlp", "hidden": [4]}, "decoder": {"kind": "mlp", "hidden": [4]}},
    "training": {"epochs": None, "steps": 4, "batch_size": 8, "tensorboard": False, "seed": 1},
    "evaluation": [{"samples": 25, "limit": 6}],
}


def train(tmp_path, data=None, name="run", **options):
    return api.train(SMALL, data, out=tmp_path / name, **{"quiet": True, "report": False, **options})


def images(count=40):
    return torch.randint(0, 256, (count, 6, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def logged(run):
    """The values of every logged step but the clock's."""
    rows = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows]


@pytest.mark.parametrize("normalization", ["none", "weight"])
def test_auto_initializes_by_data_where_weights_are_normalized_and_changes_nothing_elsewhere(tmp_path, normalization):
    """Losses and weights of a perceptron are those without, bit for bit; weight-normalized, those with it."""
    network = {"kind": "mlp", "hidden": [4], "normalization": normalization}
    head = {"kind": "diagonal", "normalization": normalization}
    model = {"latent_dim": 2, "encoder": network, "posterior": head, "decoder": network}
    runs = {}
    for choice in ("auto", "data", "none"):
        training = {**SMALL["training"], "log_every": 1, "initialize": choice}
        recipe = {**SMALL, "model": model, "training": training, "evaluation": []}
        runs[choice] = api.train(recipe, images(), out=tmp_path / choice, quiet=True, report=False)
    same, other = ("none", "data") if normalization == "none" else ("data", "none")
    assert [row["split"] for row in logged(runs["auto"])] == ["train"] * 4 + ["validation"]
    assert logged(runs["auto"]) == logged(runs[same])
    assert logged(runs["auto"])[0]["loss"] != logged(runs[other])[0]["loss"]
    ours, theirs = (runs[name].model().state_dict() for name in ("auto", same))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    wanted = "weight_normalized" if normalization == "weight" else None
    assert runs["auto"].resolved["training"]["initialize"] == wanted


@pytest.mark.parametrize(
    "wrap",
    [
        lambda x: x,
        lambda x: x.numpy(),
        lambda x: TensorDataset(x),
        lambda x: DataLoader(TensorDataset(x), batch_size=7),
    ],
    ids=["tensor", "array", "dataset", "loader"],
)
def test_images_in_memory_of_every_kind_give_the_same_run(tmp_path, wrap):
    run = train(tmp_path, wrap(images()))
    reference = train(tmp_path, images(), "reference")
    assert run.facts == reference.facts
    assert run.facts.kind == "levels"
    assert run.recipe.model.options["likelihood"].kind == "gaussian"
    theirs, ours = run.model().state_dict(), reference.model().state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)
    assert run.evaluations()[0]["log_likelihood"] == reference.evaluations()[0]["log_likelihood"]
    assert run.data().name == "array" if isinstance(wrap(images()), torch.Tensor | np.ndarray) else "data set"
    with pytest.raises(DataError, match="was trained on images in memory, which are not kept"):
        open_run(run.folder).data()


def test_a_file_is_found_again_from_another_folder(tmp_path, monkeypatch):
    np.save(tmp_path / "mine.npy", images().numpy())
    monkeypatch.chdir(tmp_path)
    train(tmp_path, "mine.npy")
    monkeypatch.chdir("/")
    run = open_run(tmp_path / "run")
    assert run.recipe.data.name == "mine.npy"
    assert run.data().image_shape == (1, 6, 5)
    assert run.recipe.name == "recipe"


def test_the_place_where_the_data_were_comes_before_the_current_folder(tmp_path, monkeypatch):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder, pixels in ((ours, images()), (theirs, 255 - images())):
        folder.mkdir()
        np.save(folder / "mine.npy", pixels.numpy())
    monkeypatch.chdir(ours)
    train(tmp_path, "mine.npy")
    monkeypatch.chdir(theirs)
    run = open_run(tmp_path / "run")
    everything = torch.cat([getattr(run.data(), part).pixels for part in ("train", "validation", "test")])
    assert int(everything.sum()) == int(images().sum())
    resumed = train(tmp_path, overrides=["data.name=mine.npy"], resume=True)
    assert resumed.resolved == run.resolved
    again = api.train(tmp_path / "run" / "recipe.yaml", out=tmp_path / "run", resume=True, quiet=True, report=False)
    assert again.resolved == run.resolved
    (ours / "mine.npy").unlink()
    with pytest.raises(DataError, match=r"no longer those.*: other pixels in train, validation, test\n.*--data"):
        run.data()
    (theirs / "mine.npy").unlink()
    with pytest.raises(DataError, match=r"the data of run are no longer at .*ours/mine\.npy\n.*--data"):
        run.data()


def test_changed_data_are_refused_with_what_differs(tmp_path):
    path = tmp_path / "mine.npy"
    np.save(path, images().numpy())
    run = train(tmp_path, str(path))
    np.save(path, images(50).numpy())
    with pytest.raises(
        DataError, match=r"run .*no longer those.*: train has 40 images and had 32, validation has 5 images and"
    ):
        open_run(run.folder).data()
    with pytest.raises(DataError, match="train has 40 images and had 32"):
        train(tmp_path, str(path), resume=True)
    changed = images().numpy()
    changed[:, 0, 0] ^= 1
    np.save(path, changed)
    with pytest.raises(DataError, match="other pixels in train, validation, test"):
        open_run(run.folder).data()
    with pytest.raises(DataError, match="other pixels in train, validation, test"):
        api.evaluate(run.folder, num_samples=25)
    resolved = json.loads((run.folder / "resolved.json").read_text())
    del resolved["data"]["fingerprint"]
    (run.folder / "resolved.json").write_text(json.dumps(resolved))
    assert len(open_run(run.folder).data().train) == 32


def test_other_images_in_memory_are_not_gone_on_with(tmp_path):
    run = train(tmp_path, images())
    with pytest.raises(DataError, match=r"in memory, which are not kept\n  hint: go on with it from Python: tb\.train"):
        api.train(run.folder / "recipe.yaml", out=run.folder, resume=True, quiet=True)
    with pytest.raises(DataError, match="other pixels in train, validation, test"):
        train(tmp_path, images() // 2, resume=True)


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"evaluation": [{"split": "validation"}]}, r"evaluation\.0\.split: got 'validation'; array has no validation"),
        ({"evaluation": [{}, {"checkpoint": "best"}]}, r"evaluation\.1\.checkpoint: got 'best', which validation"),
        (
            {"training": {"early_stopping": 3}},
            r"training\.early_stopping: got 3; .*\n  hint: .*early_stopping=null, or",
        ),
        (
            {"training": {"validation_samples": 9}},
            r"training\.validation_samples: got 9; .*\n.*validation_samples=0, or",
        ),
        ({"training": {"validation_images": 9}}, r"training\.validation_images: got 9; it needs validation images"),
    ],
)
def test_what_needs_a_missing_split_is_refused_before_training(tmp_path, sections, message):
    with pytest.raises(RecipeError, match=message):
        train(tmp_path, images(), overrides=["data.validation=0"], **sections)
    assert not list(tmp_path.iterdir())


def test_a_plan_without_test_images_is_refused():
    data = dataclasses.replace(data_of(images()), test=None)
    with pytest.raises(RecipeError, match=r"evaluation\.0\.split: got 'test'; array has no test images"):
        check_plan(load_recipe(SMALL), data)
    check_plan(load_recipe(SMALL, ["evaluation=[{split: train}]", "training.early_stopping=2"]), data)


def test_training_writes_the_report(tmp_path):
    run = train(tmp_path, images(), report=True)
    assert "<html" in (run.folder / "report.html").read_text()


def test_levels_of_ones_own_choose_the_binomial(tmp_path):
    counts = (images() % 17).to(torch.uint8)
    run = train(tmp_path, counts, overrides=["data.levels=16"])
    assert run.recipe.model.options["likelihood"].kind == "binomial"
    assert run.facts.levels == 16
    row = run.evaluations()[0]
    alone = api.evaluate(run.model("best"), run.data().test, num_samples=25, limit=6)
    assert alone.log_likelihood == pytest.approx(row["log_likelihood"], abs=1e-9)
    with pytest.raises(DataError, match="expected gray levels 0 to 16; got 0 to 255"):
        train(tmp_path, images(), "other", overrides=["data.levels=16"])


def test_a_finished_part_is_resumed_to_the_same_weights(tmp_path):
    whole = train(tmp_path, images())
    part = train(tmp_path, images(), "part")
    again = train(tmp_path, images(), "part", resume=True)
    assert part.resolved == again.resolved
    theirs, ours = again.model().state_dict(), whole.model().state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


def test_resuming_another_recipe_is_refused_with_the_difference(tmp_path):
    train(tmp_path, images())
    with pytest.raises(RunError, match=r"is a run of another recipe: training\.batch_size is 8 there and 9 here"):
        train(tmp_path, images(), resume=True, training={"batch_size": 9})
    with pytest.raises(RunError, match=r"model\.encoder\.kind is 'mlp' there and 'skip_mlp' here"):
        train(tmp_path, images(), resume=True, model={"encoder": {"kind": "skip_mlp"}})


def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path):
    before = train(tmp_path, images()).resolved
    with pytest.raises(RunError, match=r"run holds a run already\n  hint: go on with it by --resume"):
        train(tmp_path, images(), training={"seed": 5})
    assert open_run(tmp_path / "run").resolved == before


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(RunError, match=r"no run at .*run to go on with"):
        train(tmp_path, images(), resume=True)


def test_a_run_stopped_before_it_wrote_anything_is_begun(tmp_path):
    (tmp_path / "run").mkdir()
    assert train(tmp_path, images(), resume=True).resolved == train(tmp_path, images(), "other").resolved


def test_nothing_is_written_where_the_recipe_does_not_fit(tmp_path):
    with pytest.raises(RecipeError, match="a Bernoulli is a likelihood of binary pixels only"):
        train(tmp_path, images(), model={"likelihood": "bernoulli"})
    with pytest.raises(DataError, match="NaN"):
        train(tmp_path, torch.full((9, 6, 5), torch.nan))
    assert not list(tmp_path.iterdir())


def test_a_recipe_for_own_images_says_so(tmp_path):
    with pytest.raises(RecipeError, match=r"data\.name: this recipe is for your own images.*\n  hint: add data.name="):
        api.train("images", out=tmp_path / "run")


def test_the_validation_bound_is_logged_and_selects(tmp_path):
    run = train(tmp_path, images(), training={"validation_samples": 30, "validation_images": 3})
    lines = (run.folder / "metrics.jsonl").read_text().splitlines()
    row = next(line for line in lines if '"validation"' in line)
    assert '"bound_samples": 30' in row
    assert '"bound"' in row


def test_pictures_go_to_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = train(tmp_path, images(), training={"tensorboard": True, "picture_every": 1})
    events = EventAccumulator(str(run.folder / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["images"]) == {"samples", "reconstructions"}


def test_the_validation_bound_has_the_samples_and_images_that_the_recipe_asks_for():
    recipe = load_recipe("digits-vae", ["training.validation_samples=30", "training.validation_images=7"])
    data = data_of("digits", recipe.data)
    model = api.build("digits-vae", image_shape=(1, 8, 8)).model.float().eval()
    validate = validation_bound(recipe.training)
    assert validate is not None
    expected = importance(model, data.validation, 30, seed=recipe.training.seed, limit=7)
    values = validate(model, data.validation, 0)
    assert values == {"bound": pytest.approx(expected.log_likelihood, rel=1e-12), "bound_samples": 30}
