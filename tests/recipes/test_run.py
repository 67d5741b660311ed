"""Run folders: what is kept, what is read back, what is refused."""

from __future__ import annotations

import dataclasses
import json
import zipfile

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.data.files import write_image
from tightbound import api
from tightbound.data import Digits
from tightbound.errors import DataError, RecipeError, RunError
from tightbound.evaluation import linear_probe
from tightbound.recipes.evaluate import evaluate_run, open_images, read_method
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.run import arrays_name, open_run
from tightbound.recipes.train import new_folder


def pack(folder, path, prefix=""):
    with zipfile.ZipFile(path, "w") as archive:
        for file in folder.rglob("*"):
            archive.write(file, prefix + str(file.relative_to(folder)))
    return path


def test_recipe_yaml_is_what_was_given_and_resolved_json_is_complete(trained):
    given = yaml.safe_load((trained.folder / "recipe.yaml").read_text())
    assert given["name"] == "digits-vae"
    assert given["training"]["steps"] == 6
    assert "precision" not in given["training"]
    assert load_recipe(trained.folder / "recipe.yaml") == load_recipe(trained.resolved["recipe"])
    assert trained.resolved["training"]["total_steps"] == 6
    assert trained.resolved["training"]["precision"] in ("float32", "bf16")
    kept = dict(trained.resolved["data"])
    prints = kept.pop("fingerprint")
    assert sorted(prints) == ["test", "train", "validation"]
    assert len(set(prints.values())) == 3
    assert kept == {
        "image_shape": [1, 8, 8],
        "kind": "binary",
        "levels": 16,
        "name": "digits",
        "binarize": "dynamic",
        "train": 64,
        "validation": 20,
        "test": 300,
    }
    assert trained.resolved["parameters"] == trained.build().num_parameters
    assert trained.resolved["versions"]["torch"] == torch.__version__
    assert trained.resolved["threads"] == torch.get_num_threads()


def test_the_loaded_model_has_the_weights_of_the_file(trained):
    for checkpoint, file in (("last", "model.safetensors"), ("best", "checkpoints/best.safetensors")):
        model = api.load(trained.folder, checkpoint)
        kept = load_file(trained.folder / file)
        assert not model.training
        assert model.state_dict().keys() == kept.keys()
        assert all(torch.equal(value, kept[name]) for name, value in model.state_dict().items())


def test_auto_is_the_best_where_there_is_one(copied):
    assert copied.checkpoint("auto") == "best"
    (copied.folder / "checkpoints" / "best.safetensors").unlink()
    assert copied.checkpoint("auto") == "last"
    with pytest.raises(RunError, match=r"has no checkpoints/best\.safetensors\n  hint: the file is missing"):
        copied.model("best")
    copied.resolved["data"]["validation"] = 0
    with pytest.raises(RunError, match=r"has no checkpoints/best\.safetensors\n  hint: no validation images"):
        copied.model("best")


def test_the_kept_evaluation_is_what_evaluating_again_gives(trained):
    row = trained.evaluations()[0]
    assert (row["split"], row["images"], row["samples"], row["checkpoint"]) == ("test", 12, 30, "best")
    assert row["measure"] == "probability"
    assert row["protocol"] == "digits, binarized at random (seed 0)"
    estimate = api.evaluate(trained, num_samples=30, limit=12)
    assert estimate.log_likelihood == row["log_likelihood"]
    with np.load(trained.folder / "evaluation" / "importance-test-k30-n12-seed0-best.npz") as arrays:
        assert arrays["log_likelihood"].mean() == pytest.approx(row["log_likelihood"], abs=1e-9)
        np.testing.assert_array_equal(arrays["log_likelihood"], estimate.per_image["log_likelihood"])


def test_an_equal_evaluation_replaces_its_row_and_another_is_added(copied):
    estimate = evaluate_run(copied, read_method({"samples": 30, "limit": 12}))
    copied.add_evaluation(estimate)
    assert len(copied.evaluations()) == 1
    copied.add_evaluation(evaluate_run(copied, read_method({"samples": 25, "limit": 12})))
    assert [row["samples"] for row in copied.evaluations()] == [30, 25]
    small = evaluate_run(copied, read_method({"samples": 30, "limit": 5}))
    copied.add_evaluation(small)
    for row in copied.evaluations():
        with np.load(copied.folder / arrays_name(row)) as arrays:
            assert len(arrays["log_likelihood"]) == row["images"]
            assert arrays["log_likelihood"].mean() == pytest.approx(row["log_likelihood"], abs=1e-9)
    assert len(list((copied.folder / "evaluation").iterdir())) == 3
    assert not list(copied.folder.rglob(".*"))


def test_a_model_and_images_are_evaluated_as_the_run_is(trained):
    x = trained.data().test.fixed(0, 12, seed=0)
    estimate = api.evaluate(trained.model(), x, num_samples=30)
    assert estimate.log_likelihood == pytest.approx(trained.evaluations()[0]["log_likelihood"], abs=1e-9)


def test_a_model_without_images_is_refused(trained):
    with pytest.raises(TypeError, match="a model alone has no images"):
        api.evaluate(trained.model())


def test_a_probe_is_fitted_to_the_training_images_of_the_data_that_it_is_scored_on(trained, tmp_path):
    """The run keeps 64 training images; of other data, none of its limits."""
    data = trained.data()
    expected = linear_probe(trained.model("auto"), data.train, data.test, seed=3)
    assert api.evaluate(trained, method="probe", seed=3).accuracy == expected.accuracy
    mine = tmp_path / "mine.npz"
    pixels, labels = data.test.images.pixels[:, 0].numpy(), data.test.labels.numpy()
    np.savez(mine, x_train=pixels[:200], y_train=labels[:200], x_test=pixels[200:], y_test=labels[200:])
    probed = evaluate_run(trained, read_method({"method": "probe"}), data=mine)
    assert (probed.images, probed.probe["train_images"]) == (100, 180)  # a tenth of the 200 is for validation
    np.testing.assert_array_equal(probed.per_image["label"], labels[200:])
    with pytest.raises(TypeError, match="a model alone has no training images; give a run"):
        api.evaluate(trained.build(), np.zeros((4, 8, 8), bool), "probe")


def test_a_probe_on_the_images_that_it_is_fitted_to_is_refused(trained):
    recipe = load_recipe(trained.resolved["recipe"], [{"data": {"train_split": "test"}}])
    with pytest.raises(RecipeError, match=r"split: got 'test'; tiny was trained on these images"):
        evaluate_run(
            dataclasses.replace(trained, recipe=recipe, loaded=trained.data()), read_method({"method": "probe"})
        )


@pytest.mark.parametrize("prefix", ["", "tiny/"])
def test_a_zip_of_a_run_is_a_run(trained, tmp_path, prefix):
    run = open_run(pack(trained.folder, tmp_path / "tiny.zip", prefix))
    assert not run.writable
    assert run.name == "tiny"
    assert run.recipe == trained.recipe
    theirs, ours = run.model().state_dict(), trained.model().state_dict()
    assert all(torch.equal(theirs[name], ours[name]) for name in ours)


@pytest.mark.parametrize("name", ["../outside.txt", "/tmp/outside.txt", "a/../../outside.txt", "..\\outside.txt"])
def test_a_zip_that_reaches_outside_is_refused_and_writes_nothing(tmp_path, name):
    path = tmp_path / "inner" / "evil.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("resolved.json", "{}")
        archive.writestr(name, "evil")
    with pytest.raises(RunError, match="which is not a file inside its own folder"):
        open_run(path)
    assert not list(tmp_path.rglob("outside.txt"))


def test_a_link_in_a_zip_is_refused(tmp_path):
    path = tmp_path / "evil.zip"
    link = zipfile.ZipInfo("resolved.json")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(RunError, match=r"the zip names 'resolved\.json', which is not a file"):
        open_run(path)


def test_a_zip_without_a_run_or_damaged_is_refused(trained, tmp_path):
    path = tmp_path / "empty.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(RunError, match=r"expected one run in the zip, with its resolved\.json; got 0"):
        open_run(path)
    whole = pack(trained.folder, tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:200])
    altered = bytearray(whole)
    altered[whole.index(b'"binarize"')] ^= 1
    (tmp_path / "altered.zip").write_bytes(bytes(altered))
    for name in ("cut", "altered"):
        with pytest.raises(RunError, match=f"{name}.zip is not a run folder nor a whole zip of one: "):
            open_run(tmp_path / f"{name}.zip")


def test_what_is_missing_is_said(copied, tmp_path):
    with pytest.raises(RunError, match=r"no run at .*nowhere"):
        open_run(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match=r"other is not a run folder: it has no resolved\.json"):
        open_run(tmp_path / "other")
    (copied.folder / "model.safetensors").unlink()
    with pytest.raises(
        RunError, match=r"has no model\.safetensors\n  hint: training did not finish.* --out .*copy --resume"
    ):
        copied.model("last")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:50], r"resolved\.json is damaged: "),
        (lambda text: "[]", r"resolved\.json is damaged: TypeError"),
        (
            lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "data"}),
            "damaged: KeyError: 'data'",
        ),
        (
            lambda text: text.replace('"bernoulli"', '"my_bernoulli"'),
            r"model\.likelihood\.kind: got 'my_bernoulli'; expected one of",
        ),
    ],
)
def test_a_damaged_resolved_json_is_refused(copied, change, message):
    path = copied.folder / "resolved.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(RunError, match=message) as error:
        open_run(copied.folder)
    assert error.value.exit_status == 1


def test_damaged_weights_and_evaluations_are_refused(copied):
    path = copied.folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(RunError, match=r"model\.safetensors is truncated or altered"):
        copied.model("last")
    with pytest.raises(RunError, match=r"best\.safetensors is sound: use --checkpoint best"):
        copied.model("last")
    (copied.folder / "checkpoints" / "best.safetensors").write_bytes(b"")
    with pytest.raises(RunError, match=r"model\.safetensors is truncated or altered") as error:
        copied.model("last")
    assert "is sound" not in error.value.hint
    (copied.folder / "evaluation.json").write_text("{}")
    with pytest.raises(RunError, match=r"evaluation\.json is damaged: expected a list"):
        copied.evaluations()


def test_a_new_folder_is_named_after_recipe_and_seed_and_is_new(tmp_path):
    recipe = load_recipe("digits-vae", ["training.seed=3"])
    folder = new_folder(recipe, tmp_path)
    assert folder.name.startswith("digits-vae-")
    assert folder.name.endswith("-seed3")
    folder.mkdir()
    assert new_folder(recipe, tmp_path) != folder


def test_other_images_are_prepared_as_the_runs_own(trained, tmp_path):
    gray = torch.randint(0, 17, (5, 8, 8), dtype=torch.uint8)
    split = open_images(trained, gray)
    assert split.kind == "binary"
    assert split.levels == 16
    np.save(tmp_path / "gray.npy", gray.numpy())
    same = open_images(trained, str(tmp_path / "gray.npy"))
    assert torch.equal(same.fixed(0, 5, seed=1), split.fixed(0, 5, seed=1))


def test_a_part_of_a_set_is_asked_for_of_that_set_alone(trained):
    data = dataclasses.replace(trained.recipe.data, name="cifar10", partial=True)
    run = dataclasses.replace(trained, recipe=dataclasses.replace(trained.recipe, data=data))
    assert len(open_images(run, "digits")) == 300
    assert len(open_images(run, np.zeros((5, 8, 8), np.uint8))) == 5


def test_an_evaluation_of_a_named_set_says_which_edition(trained, monkeypatch):
    read = Digits.read
    monkeypatch.setattr(Digits, "read", lambda self, progress=None: dataclasses.replace(read(self), edition="partial"))
    for data, name in (("digits", "digits (partial)"), (None, "digits")):  # the run's own was found before
        protocol = evaluate_run(trained, read_method({"samples": 2, "limit": 3}), data=data).protocol
        assert protocol == f"{name}, binarized at random (seed 0)"


def test_images_of_another_shape_are_refused(trained):
    with pytest.raises(DataError, match="tiny is a model of 1 × 8 × 8 images; got 1 × 9 × 8"):
        open_images(trained, torch.zeros(5, 9, 8, dtype=torch.uint8))


def test_a_split_that_is_not_there_is_refused(copied, tmp_path):
    run = api.train(
        "digits-vae",
        out=tmp_path / "run",
        overrides=["training.epochs=null", "training.steps=1", "data.validation=0", "training.tensorboard=false"],
        training={"validation_samples": 0},
        evaluate=False,
        report=False,
        quiet=True,
    )
    with pytest.raises(DataError, match="run has no validation images\n  hint: it has train, test"):
        open_images(run, split="validation")


def test_a_folder_of_images_is_brought_to_the_models_size_and_color(trained, tmp_path):
    for index, size in enumerate([(20, 24), (16, 16)]):
        pixels = np.random.default_rng(index).integers(0, 256, (*size, 3), dtype=np.uint8)
        write_image(tmp_path / "own" / f"{index}.png", pixels)
    levels = dataclasses.replace(trained, facts=dataclasses.replace(trained.facts, levels=255))
    split = open_images(levels, str(tmp_path / "own"))
    assert split.image_shape == (1, 8, 8)
    estimate = evaluate_run(levels, read_method({"samples": 25}), data=str(tmp_path / "own"))
    assert estimate.protocol == f"{tmp_path / 'own'}, brought to 1 × 8 × 8, binarized at random (seed 0)"
