"""Finding recipes, joining parents, applying overrides."""

from __future__ import annotations

from pathlib import Path

import pytest

from tightbound.errors import RecipeError
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.source import describe, join, read_source, shipped


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_mapping_is_joined_key_by_key_and_lists_are_replaced():
    parent = {"training": {"epochs": 5, "batch_size": 64}, "evaluation": [{"samples": 10}, {"samples": 20}]}
    child = {"training": {"epochs": 9}, "evaluation": [{"samples": 1}]}
    assert join(parent, child) == {
        "training": {"epochs": 9, "batch_size": 64},
        "evaluation": [{"samples": 1}],
    }


def test_changing_the_kind_drops_the_parents_other_keys_of_that_mapping_only():
    parent = {"model": {"kind": "vae", "latent_dim": 8, "encoder": {"kind": "residual", "channels": 64}}}
    child = {"model": {"encoder": {"kind": "mlp", "hidden": [32]}}}
    assert join(parent, child) == {
        "model": {"kind": "vae", "latent_dim": 8, "encoder": {"kind": "mlp", "hidden": [32]}}
    }


def test_naming_the_same_kind_keeps_the_parents_keys():
    assert join({"kind": "mlp", "hidden": [3]}, {"kind": "mlp", "bias": True}) == {
        "kind": "mlp",
        "hidden": [3],
        "bias": True,
    }


def test_a_string_is_the_kind_on_either_side():
    assert join("mlp", {"hidden": [3]}) == {"kind": "mlp", "hidden": [3]}
    assert join({"kind": "mlp", "hidden": [3]}, "mlp") == {"kind": "mlp", "hidden": [3]}
    assert join({"kind": "mlp", "hidden": [3]}, "residual") == {"kind": "residual"}


def test_null_replaces_a_mapping():
    assert join({"warm_up": {"epochs": 10}}, {"warm_up": None}) == {"warm_up": None}


def test_a_chain_of_parents_is_resolved_beside_the_child(tmp_path):
    write(tmp_path, "a", "description: first\npublished: [{value: 1}]\ntraining: {epochs: 1, seed: 1}\n")
    write(tmp_path, "b", "extends: a.yaml\ntraining: {epochs: 2}\n")
    path = write(tmp_path, "c", "extends: b.yaml\ntraining: {batch_size: 7}\n")
    source = read_source(path)
    assert source.name == "c"
    assert source.content == {"training": {"epochs": 2, "seed": 1, "batch_size": 7}}


def test_a_shipped_recipe_can_be_a_parent(tmp_path):
    path = write(tmp_path, "mine", "extends: mnist-mlp\nmodel: {latent_dim: 3}\n")
    own = read_source("mnist-mlp").content["model"]
    assert read_source(path).content["model"] == {**own, "latent_dim": 3}


def test_a_circle_of_parents_is_refused(tmp_path):
    write(tmp_path, "a", "extends: b.yaml\n")
    write(tmp_path, "b", "extends: a.yaml\n")
    with pytest.raises(RecipeError, match="extend each other in a circle: a -> b -> a"):
        read_source(tmp_path / "a.yaml")


def test_extends_names_one_recipe(tmp_path):
    with pytest.raises(RecipeError, match=r"extends: got \['a'\]; expected the name or path of one recipe"):
        read_source(write(tmp_path, "a", "extends: [a]\n"))


def test_overrides_are_yaml_values_and_reach_any_depth(tmp_path):
    path = write(tmp_path, "a", "training: {epochs: 1}\n")
    overrides = ["training.epochs=10", "model.encoder.hidden=[5, 6]", "data.validation=null", "data.name=a=b"]
    assert read_source(path, overrides).content == {
        "training": {"epochs": 10},
        "model": {"encoder": {"hidden": [5, 6]}},
        "data": {"validation": None, "name": "a=b"},
    }


def test_an_override_of_a_kind_drops_the_recipes_other_keys(tmp_path):
    path = write(tmp_path, "a", "model: {encoder: {kind: residual, channels: 4}}\n")
    source = read_source(path, ["model.encoder.kind=mlp", "model.encoder.hidden=[5]"])
    assert source.content["model"] == {"encoder": {"kind": "mlp", "hidden": [5]}}


@pytest.mark.parametrize("override", ["training.epochs", "=3", "training..epochs=3", ".epochs=3"])
def test_an_override_without_key_or_value_is_refused(override):
    with pytest.raises(RecipeError, match=r"override '.*'; expected key=value\n  hint: for example training.epochs=10"):
        read_source("mnist-mlp", [override])


def test_an_override_that_is_not_yaml_is_refused():
    with pytest.raises(RecipeError, match=r"training.epochs: got '\[1'; expected a YAML value"):
        read_source("mnist-mlp", ["training.epochs=[1"])


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match=r"unknown recipe 'mnist-mpl'; shipped: .*\n  hint: did you mean 'mnist-mlp'"):
        read_source("mnist-mpl")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RecipeError, match=r"no recipe file at .*nowhere\.yaml"):
        read_source(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("training: {epochs: 1", r"a\.yaml line \d: not a YAML mapping: "),
        ("- 1\n- 2\n", r"a\.yaml: got list; expected a mapping of sections"),
        ("", r"a\.yaml: got NoneType; expected a mapping of sections"),
        ("training: {epochs: 1, epochs: 2}\n", r"a\.yaml line 1: not a YAML mapping: the key 'epochs' is given twice"),
        (
            "training: !!python/object:os.system {}\n",
            r"a\.yaml line 1: not a YAML mapping: could not determine a constructor",
        ),
    ],
)
def test_a_file_that_is_no_recipe_is_refused(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        read_source(write(tmp_path, "a", text))


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecipeError, match=r"a\.yaml: not YAML"):
        read_source(path)


def test_every_shipped_recipe_has_a_description():
    assert set(shipped()) >= {"digits-vae", "mnist-mlp", "mnist-residual", "images"}
    for name in shipped():
        assert read_source(name).content["description"].endswith(".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {\n  latent_dim: 3\ntraining: [", r"a\.yaml line \d: not a YAML mapping: "),
        ("a: 1\nb: c: d\n", r"a\.yaml line 2: not a YAML mapping: mapping values are not allowed here"),
        ("a: 1\nb: \x01\n", r"a\.yaml line 2: not YAML: special characters are not allowed: '\\x01'"),
        ("a: 2024-13-45\n", r"a\.yaml: not YAML: month must be in 1\.\.12"),
    ],
)
def test_bad_yaml_is_one_line_with_its_number(tmp_path, text, message):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message) as error:
        read_source(str(path))
    assert "\n" not in error.value.message


def test_an_unreadable_shipped_recipe_does_not_break_the_list(tmp_path, monkeypatch):
    (tmp_path / "bad.yaml").write_text("a: b: c")
    (tmp_path / "good.yaml").write_text("description: fine")
    monkeypatch.setattr("tightbound.recipes.source._FOLDER", tmp_path)
    described = [describe(name) for name in shipped()]
    assert described[0].startswith("unreadable: ")
    assert "line 1" in described[0]
    assert described[1] == "fine"


EVALUATED = """
evaluation: [{method: importance, samples: 10}]
evaluation_of_first_seed: [{method: importance, samples: 50}]
training: {seed: 3}
"""


@pytest.mark.parametrize(
    ("overrides", "samples"),
    [
        ((), [10, 50]),
        (("training.seed=3", "training.epochs=1"), [10, 50]),
        (("training.seed=0",), [10]),
        (("evaluation=[{samples: 7}]",), [7]),
    ],
)
def test_what_the_first_seed_alone_is_evaluated_by(tmp_path, overrides, samples):
    """Added for the recipe's own seed, unless an override says what to evaluate."""
    write(tmp_path, "a", EVALUATED)
    path = write(tmp_path, "b", "extends: a.yaml\n")
    content = read_source(path, overrides).content
    assert [item["samples"] for item in content["evaluation"]] == samples
    assert "evaluation_of_first_seed" not in content


def test_seed_and_evaluation_by_default(tmp_path):
    """The first seed is the settings' default, and what is added is added to the default evaluation."""
    path = write(tmp_path, "a", "evaluation_of_first_seed: [{method: importance, samples: 50}]\n")
    assert load_recipe(path).training.seed == 0
    assert [settings.options["samples"] for settings in load_recipe(path, ["training.seed=0"]).evaluation] == [1000, 50]
    assert [settings.options["samples"] for settings in load_recipe(path, ["training.seed=1"]).evaluation] == [1000]


@pytest.mark.parametrize(
    ("child", "samples"),
    [
        ("evaluation: [{samples: 7}]", [7]),
        ("evaluation_of_first_seed: [{samples: 9}]", [10, 9]),
        ("evaluation: [{samples: 7}]\nevaluation_of_first_seed: [{samples: 9}]", [7, 9]),
        ("evaluation_of_first_seed: null", [10]),
        ("evaluation: null", []),
        ("evaluation: null\nevaluation_of_first_seed: [{samples: 9}]", [9]),
    ],
)
def test_a_child_s_own_evaluation_is_all_of_it(tmp_path, child, samples):
    """What the parent's first seed is evaluated by goes with the parent's evaluation."""
    write(tmp_path, "a", EVALUATED)
    content = read_source(write(tmp_path, "b", f"extends: a.yaml\n{child}\n")).content
    assert [item["samples"] for item in content["evaluation"] or ()] == samples


def test_an_evaluation_that_is_none_is_refused_as_such(tmp_path):
    path = write(tmp_path, "a", "evaluation: 3\nevaluation_of_first_seed: [{samples: 5}]\n")
    with pytest.raises(RecipeError, match="evaluation: got 3; expected a list"):
        load_recipe(path)


def test_the_key_is_named_where_another_is_not_known(tmp_path):
    path = write(tmp_path, "a", "evaluation_of_firstseed: []\n")
    with pytest.raises(RecipeError, match=r"unknown section; (.|\n)*did you mean 'evaluation_of_first_seed'"):
        load_recipe(path)


def test_what_the_first_seed_is_evaluated_by_is_a_list(tmp_path):
    path = write(tmp_path, "a", "evaluation_of_first_seed: {samples: 5}\n")
    with pytest.raises(RecipeError, match=r"evaluation_of_first_seed: got .*; expected a list, as evaluation is"):
        read_source(path)
