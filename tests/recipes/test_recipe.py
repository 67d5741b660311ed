"""Whole recipes: sections, defaults, round trips, and every shipped recipe for two steps."""

from __future__ import annotations

import pytest
import torch
import yaml

from tightbound import api
from tightbound.core import Step
from tightbound.errors import RecipeError
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.sections import AUTO_LIKELIHOOD
from tightbound.recipes.source import shipped
from tightbound.training import TrainingStep


@pytest.mark.parametrize("name", shipped())
def test_the_full_recipe_is_a_recipe_and_says_the_same(name):
    recipe = load_recipe(name)
    text = yaml.safe_dump(recipe.to_dict())
    assert load_recipe(yaml.safe_load(text)) == recipe
    assert load_recipe(recipe.source) == recipe


def test_what_is_not_said_has_its_default():
    recipe = load_recipe({})
    assert recipe.model.kind == "vae"
    assert recipe.model.options["latent_dim"] == 16
    assert recipe.model.options["likelihood"] == AUTO_LIKELIHOOD
    assert recipe.model.options["encoder"].options["hidden"] == (512,)
    assert recipe.objective.kind == "elbo"
    assert recipe.objective.options["warm_up"] is None
    assert recipe.training.batch_size == 128
    assert [e.options["samples"] for e in recipe.evaluation] == [1000]
    assert recipe.gray_protocol is False


def test_overrides_reach_every_section():
    recipe = load_recipe(
        "mnist-mlp",
        [
            "training.optimizer.learning_rate=1e-4",
            "objective.warm_up={epochs: 10}",
            "model.posterior=full_covariance",
            "data.train_split=test",
            "evaluation=[]",
        ],
    )
    assert recipe.training.optimizer.options["learning_rate"] == 1e-4
    assert recipe.objective.options["warm_up"].options["epochs"] == 10.0
    assert recipe.model.options["posterior"].kind == "full_covariance"
    assert recipe.data.train_split == "test"
    assert recipe.evaluation == ()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainig.epochs=3", "trainig: unknown section; expected one of name, description, data, model"),
        ("trainig.epochs=3", "did you mean 'training'?"),
        ("training.epoch=3", "training.epoch: unknown key; expected one of epochs, steps"),
        ("training.epochs=many", "training.epochs: got 'many'; expected a number > 0, or null"),
        ("training.epochs=-1", "training.epochs: got -1; expected a number > 0, or null"),
        ("training.batch_size=1.5", "training.batch_size: got 1.5; expected a whole number >= 1"),
        ("training.compile=maybe", "training.compile: got 'maybe'; expected auto, or true or false"),
        ("training.optimizer.kind=adm", "training.optimizer.kind: got 'adm'; expected one of adadelta, adam"),
        ("training.steps=5", "training: expected one of epochs and steps; got epochs = 50 and steps = 5"),
        (
            "objective.kind=elboo",
            "objective.kind: got 'elboo'; expected one of dreg, elbo, iwae, stl\n  hint: did you mean 'elbo'?",
        ),
        ("objective.num_samples=0", "objective.num_samples: got 0; expected a whole number >= 1"),
        ("objective.free_bits_per=units", "expected one of group, unit\n  hint: did you mean 'unit'?"),
        ("model.latent_dim=two", "model.latent_dim: got 'two'; expected a whole number >= 1"),
        ("model.encoder.kind=mpl", "model.encoder.kind: got 'mpl'; expected one of"),
        ("model.encoder.hiden=[3]", "model.encoder.hiden: unknown key; expected one of hidden"),
        (
            "model.encoder.hidden=[3, x]",
            "model.encoder.hidden: got [3, 'x']; expected a list, each a whole number >= 1",
        ),
        (
            "model.prior=null",
            "model.prior: got null; expected one of flow, learned_diagonal, maf, mixture, standard_normal, vamp",
        ),
        ("data.binarize=dynamc", "data.binarize: got 'dynamc'; expected one of auto, none, static, dynamic, threshold"),
        ("data.skip_bad=1", "data.skip_bad: got 1; expected true or false"),
        (
            "data.size=[4]",
            "data.size: got [4]; expected a list of 2: a whole number >= 1, a whole number >= 1, or null",
        ),
        ("data=mnist", "data.kind: unknown key; expected one of name"),
        (
            "evaluation=[{method: importence}]",
            "evaluation.0.method: got 'importence'; expected one of annealed, bidirectional, importance",
        ),
        ("evaluation=[{samples: 0}]", "evaluation.0.samples: got 0; expected a whole number >= 1"),
        ("evaluation=100", "evaluation: got 100; expected a list"),
        ("gray_protocol=yes please", "gray_protocol: got 'yes please'; expected true or false"),
        ("published=[{valu: 3}]", "published.0.valu: unknown key; expected one of metric, value"),
        ("description=3", "description: got 3; expected text"),
    ],
)
def test_a_wrong_key_kind_or_value_is_refused(override, message):
    with pytest.raises(RecipeError) as error:
        load_recipe("mnist-mlp", [override])
    assert message in str(error.value)
    assert error.value.exit_status == 2
    assert "\n" not in error.value.message


SHAPES = {
    "digits-vae": {"image_shape": (1, 8, 8)},
    "mnist-mlp": {"image_shape": (1, 28, 28)},
    "mnist-residual": {"image_shape": (1, 28, 28)},
    "images": {"image_shape": (3, 64, 64), "data_kind": "levels", "levels": 255},
    "multi-dsprites-ladder-12": {"image_shape": (3, 64, 64)},
    "multi-dsprites-ladder-4-hour": {"image_shape": (3, 64, 64)},
    "multi-dsprites-ladder-6-small": {"image_shape": (3, 64, 64)},
    **{
        f"celeba64-ladder-{kind}": {"image_shape": (3, 64, 64), "data_kind": "levels", "levels": 255}
        for kind in ("20", "4-hour")
    },
    **{
        name: {"image_shape": (3, 32, 32), "data_kind": "levels", "levels": 255}
        for name in (
            *("svhn-ladder-15", "svhn-ladder-3-hour"),
            *(f"cifar10-ladder-{kind}" for kind in ("3", "3-hour", "6", "15")),
        )
    },
    **{
        f"mnist-{kind}": {"image_shape": (1, 28, 28), "data_kind": "levels", "levels": 255}
        for kind in ("tvae-plain-gray", "tvae-affine-gray", "tvae-tps-gray", "hvae-gray", "hvae-iaf", "vae-iaf-joint")
    },
}


@pytest.mark.parametrize("name", shipped())
def test_every_recipe_takes_two_steps_that_change_its_weights(name):
    torch.set_default_dtype(torch.float32)
    facts = SHAPES.get(name, {"image_shape": (1, 28, 28)})
    built = api.build(name, **facts)
    module = TrainingStep(built.model, built.objective)
    optimizer = built.recipe.training.optimizer().make(list(built.model.parameters()))
    x = torch.rand(4, *facts["image_shape"])
    x = x if "levels" in facts else x.round()
    before = [p.clone() for p in built.model.parameters()]
    for index in range(2):
        noise = torch.randn(built.objective.num_samples, 4, built.model.noise_size)
        loss = module(x, noise, Step(torch.tensor(float(index)), torch.tensor(index / 10)))
        assert torch.isfinite(loss.value)
        optimizer.zero_grad()
        loss.value.backward()
        optimizer.step()
    assert all((a != b).any() for a, b in zip(before, built.model.parameters(), strict=True))


@pytest.mark.parametrize("name", ["../out", "a/b", "a\\b", "..", "a:b", "a\nb", ""])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(RecipeError, match=r"name: got .*; expected a name without / .*\n  hint: run folders are named"):
        load_recipe({"name": name})
