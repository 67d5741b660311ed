"""Joining all parts: pairs that do not go together, seeds, plug-ins."""

from __future__ import annotations

import sys

import pytest
import torch

from tightbound import api
from tightbound.errors import RecipeError
from tightbound.recipes import components
from tightbound.recipes.build import build, check_capabilities
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe

FACTS = DataFacts((1, 8, 8))


def build_with(**sections):
    return build(load_recipe(sections), FACTS)


def test_free_bits_per_unit_need_independent_units():
    objective = {"kind": "elbo", "free_bits": 0.1, "free_bits_per": "unit"}
    build_with(objective=objective)
    with pytest.raises(RecipeError) as error:
        build_with(objective=objective, model={"posterior": "full_covariance"})
    assert "objective 'elbo' as configured needs q(z|x) and p(z) whose units are independent" in error.value.message
    assert "posterior 'full_covariance'" in error.value.message


def test_an_objective_with_stopped_densities_needs_a_posterior_that_can():
    built = build_with()
    built.model.posterior.capabilities = frozenset()
    built.objective.stop_density = True
    with pytest.raises(RecipeError, match=r"needs a posterior whose density can be evaluated through detached weights"):
        check_capabilities(built.recipe, built.model, built.objective)


@pytest.mark.parametrize("kind", ["stl", "dreg"])
def test_stopped_densities_and_surrogates(kind):
    for model in ({"posterior": "full_covariance"}, {"posterior": "iaf"}, {"prior": "vamp"}, {"kind": "ladder"}):
        built = build_with(objective={"kind": kind}, model={"likelihood": "bernoulli", **model})
        assert "stop_density" in built.model.capabilities
    planar = {"kind": "flow", "flows": [{"kind": "planar"}]}
    with pytest.raises(
        RecipeError, match=r"'flow' is not\n  hint: use objective=elbo or iwae, or a Gaussian posterior"
    ):
        build_with(objective={"kind": kind}, model={"posterior": planar})
    for option in ({"dropout": 0.1}, {"normalization": "batch"}):
        with pytest.raises(RecipeError, match=r"model 'ladder' is not\n  hint: .* or model.dropout=0 and model.normal"):
            build_with(objective={"kind": kind}, model={"kind": "ladder", **option})
    likelihood = {"kind": "gaussian", "noise": "imagewise", "beta_nll": 0.5}
    with pytest.raises(RecipeError, match=f"objective '{kind}' is a function of the true likelihood"):
        build_with(objective={"kind": kind}, model={"likelihood": likelihood})


def test_dreg_needs_samples_that_do_not_see_each_other():
    batch = {"kind": "mlp", "normalization": "batch"}
    with pytest.raises(RecipeError, match="decoder 'mlp' has batch statistics over all of them"):
        build_with(objective="dreg", model={"decoder": batch})
    warped = {"decoder": {"kind": "spatial_transformer", "decoder": batch}, "latent_dim": 16}
    with pytest.raises(RecipeError, match="decoder 'spatial_transformer' has batch statistics over all of them"):
        build_with(objective="dreg", model=warped)
    build_with(objective="stl", model={"decoder": batch})
    built = build_with(objective="dreg", model={"encoder": batch})
    built.model.prior.capabilities = frozenset({"batch_dependent"})
    with pytest.raises(RecipeError, match="prior 'standard_normal' has batch statistics over all of them"):
        check_capabilities(built.recipe, built.model, built.objective)


def test_the_prior_is_asked_too():
    built = build_with(objective={"kl": "analytic"})
    built.model.prior.capabilities = frozenset()
    with pytest.raises(RecipeError, match=r"prior 'standard_normal' is not\n  hint: set objective.kl=auto"):
        check_capabilities(built.recipe, built.model, built.objective)


def test_a_surrogate_is_refused_where_the_true_likelihood_is_needed():
    built = build_with(objective={"kind": "iwae"}, model={"likelihood": "bernoulli"})

    assert not built.model.likelihood.has_surrogate
    built.model.likelihood.has_surrogate = True
    with pytest.raises(RecipeError, match="objective 'iwae' is a function of the true likelihood"):
        check_capabilities(built.recipe, built.model, built.objective)


def test_batch_statistics_are_noted():
    notes = build_with(model={"encoder": {"normalization": "batch"}}).notes
    assert any("batch statistics" in note for note in notes)


def test_an_error_of_a_component_names_the_section():
    with pytest.raises(RecipeError, match=r"model: expected scale above its floor"):
        build_with(model={"likelihood": {"kind": "gaussian", "scale": 1e-4}})


def test_weights_are_those_of_the_seed_and_global_randomness_is_left_alone():
    def weights(seed):
        return torch.cat([p.flatten() for p in build_with(training={"seed": seed}).model.parameters()])

    state = torch.random.get_rng_state()
    first, again, other = weights(1), weights(1), weights(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_parameters_are_counted():
    built = api.build("mnist-mlp", image_shape=(1, 28, 28))
    encoder, heads = 784 * 512 + 512, 512 * 32 + 32
    decoder = 16 * 512 + 512 + 512 * 784 + 784
    assert built.num_parameters >= encoder + decoder
    assert built.num_parameters - encoder - decoder <= heads


def test_a_plug_in_is_imported_and_its_kind_known(tmp_path, monkeypatch):
    (tmp_path / "my_tightbound_parts.py").write_text(
        "from tightbound.likelihoods import Bernoulli\n"
        "from tightbound.registry import register\n"
        "@register('likelihood', 'my_bernoulli')\n"
        "class Mine(Bernoulli):\n"
        "    '''Mine.'''\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from tightbound import registry

    monkeypatch.setattr(registry, "_components", dict(registry._components))
    components.import_plug_ins(["my_tightbound_parts"])
    assert type(build_with(model={"likelihood": "my_bernoulli"}).model.likelihood).__name__ == "Mine"
    del sys.modules["my_tightbound_parts"]


def test_a_plug_in_that_fails_is_named(tmp_path, monkeypatch):
    with pytest.raises(RecipeError, match="--import not_there_at_all: ModuleNotFoundError"):
        components.import_plug_ins(["not_there_at_all"])

    class Broken:
        name, value = "theirs", "theirs.parts"

        def load(self):
            raise ImportError("no such thing")

    monkeypatch.setattr(components, "entry_points", lambda group: [Broken()])
    with pytest.raises(RecipeError, match=r"plug-in 'theirs' \(theirs.parts\) cannot be imported: no such thing"):
        components.load_components()


def test_batch_statistics_of_one_image_are_refused():
    recipe = load_recipe("digits-vae", ["model.encoder.normalization=batch", "training.batch_size=1"])
    with pytest.raises(RecipeError, match=r"training.batch_size: got 1; batch statistics need at least 2 images"):
        build(recipe, DataFacts((1, 8, 8)))
