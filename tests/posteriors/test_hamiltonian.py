"""Hamiltonian posteriors: the flow that they are, the density that they claim, their gradients, what is refused."""

from __future__ import annotations

import dataclasses
import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.laws.subjects import linear_gaussian, small_images, small_vae
from tests.numerics.test_hamiltonian import smooth
from tightbound import registry
from tightbound.core import Posterior
from tightbound.errors import RecipeError
from tightbound.evaluation.path import path_from
from tightbound.models import VAE
from tightbound.networks import initialize_from_data
from tightbound.networks.network import Decoder
from tightbound.posteriors import Hamiltonian, Standard
from tightbound.recipes.build import build, check_capabilities
from tightbound.recipes.components import load_components
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.registry import Factory
from tightbound.training.precision import set_autocast

ROOT = Path(__file__).parents[2]
STANDARD = Factory("posterior", "standard")
NO_FEATURES = torch.zeros(1, 0)
PLAIN: dict[str, Any] = {"base": STANDARD, "steps": 4, "step_size": 0.2}


def posterior_of(**options: Any) -> Hamiltonian:
    return Hamiltonian(0, 3, **{**PLAIN, **options}).double()


def end_of(posterior: Hamiltonian, noise: Tensor) -> Tensor:
    """(z_K, ρ_K) after the leapfrog steps, as a function of (z_0, γ), all (2 D)."""
    features = noise.new_zeros(1, 0)
    z, momentum, _ = posterior._begin(features, 1, noise.reshape(1, 1, -1), smooth)
    *_, last = posterior._moves(z, momentum, smooth)
    return torch.cat([last.after.local.z, last.after.momentum], -1).flatten()


@pytest.mark.parametrize("tempering", ["none", "quadratic", "free"])
def test_volume_is_kept(tempering: str) -> None:
    """log |det ∂(z_K, ρ_K)/∂(z_0, γ)| = 0 to 1e-9: what tempering takes, ρ_0 = γ/√β_0 had been given."""
    posterior = posterior_of(tempering=tempering, steps=6)
    for _ in range(3):
        jacobian = torch.autograd.functional.jacobian(lambda e: end_of(posterior, e), torch.randn(6))
        assert isinstance(jacobian, Tensor)
        assert (jacobian - torch.eye(6)).abs().max() > 0.1
        assert abs(float(torch.linalg.slogdet(jacobian).logabsdet)) < 1e-9


def test_without_tempering_the_way_back_is_the_same() -> None:
    posterior, start = posterior_of(tempering="none", steps=20), torch.randn(6)
    with torch.no_grad():
        end = end_of(posterior, start)
        back = end_of(posterior, torch.cat([end[:3], -end[3:]]))
    assert (end - start).abs().max() > 0.1
    assert (back - torch.cat([start[:3], -start[3:]])).abs().max() < 1e-9


def test_a_slope_in_bf16_is_still_a_slope() -> None:
    """Any function of z makes a shear of it: rounding in a network's body bends the path and not the volume."""
    posterior, start = posterior_of(tempering="none", steps=20), torch.randn(6)
    right = posterior._slope
    posterior._slope = lambda target, z: (right(target, z)[0], right(target, z)[1].bfloat16().double())
    with torch.no_grad():
        end = end_of(posterior, start)
        back = end_of(posterior, torch.cat([end[:3], -end[3:]]))
    assert (back - torch.cat([start[:3], -start[3:]])).abs().max() < 1e-9


def test_energy_error_is_second_order() -> None:
    """Over one trajectory of fixed length, half the step is a quarter of the error; tempering does not count."""
    noise = torch.randn(50, 1, 6)
    for tempering in ("none", "quadratic"):
        errors = []
        for steps in (40, 80, 160):
            posterior = posterior_of(steps=steps, step_size=0.4 / steps, tempering=tempering)
            with torch.no_grad():
                places, found = posterior.trajectory(NO_FEATURES, noise, smooth)
            assert places.shape == (steps + 1, 50, 1, 3)
            errors.append(found[-1].abs().mean())
        for coarse, fine in itertools.pairwise(errors):
            assert math.log2(coarse / fine) == pytest.approx(2, abs=0.05)


def test_one_step_by_hand() -> None:
    """log f = −z²/2, z_0 = 1, γ = 0.6, β_0 = 1/4, K = 1, ε = 0.1: ρ_0 = 1.2, α_1 = 1/2."""
    posterior = Hamiltonian(0, 1, base=STANDARD, steps=1, step_size=0.1, beta_0=0.25).double()
    noise = torch.tensor([[[1.0, 0.6]]])
    z, log_q, gaussian = posterior.propose(NO_FEATURES, 1, noise=noise, target=lambda z: -0.5 * z[..., 0] ** 2)
    half = 1.2 - 0.05 * 1.0
    place = 1.0 + 0.1 * half
    momentum = 0.5 * (half - 0.05 * place)
    log_normal = lambda v: -0.5 * v**2 - 0.5 * math.log(2 * math.pi)  # noqa: E731
    # log N(ρ_0; 0, 1/β_0) − log α − log N(ρ_1; 0, 1), written out.
    expected = log_normal(1.0) + (log_normal(1.2 / 2) - math.log(2)) - math.log(0.5) - log_normal(momentum)
    assert z.item() == pytest.approx(place, abs=1e-7)
    assert log_q.item() == pytest.approx(expected, abs=1e-7)
    assert gaussian is None


def test_the_schedule_is_the_published_one() -> None:
    """1/√β_k = 1 + (T_0 − 1)(1 − k²/K²), α_k the ratios, whose product is √β_0; free ones start there."""
    t0 = 0.04**-0.5
    temperatures = [1 + (t0 - 1) * (1 - k**2 / 25) for k in range(6)]
    ratios = torch.tensor([b / a for a, b in itertools.pairwise(temperatures)])
    for tempering in ("quadratic", "free"):
        log_alphas = posterior_of(steps=5, tempering=tempering, beta_0=0.04).log_alphas
        assert log_alphas is not None
        torch.testing.assert_close(log_alphas.exp(), ratios, rtol=1e-6, atol=0)
        assert log_alphas.sum().exp().item() == pytest.approx(0.2, rel=1e-6)
    assert posterior_of(tempering="none").log_alphas is None


def test_steps_are_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """K leapfrog steps cost K gradients, and one at the start."""
    import tightbound.posteriors.hamiltonian as module

    model, x = small_vae("hamiltonian", "standard_normal", "bernoulli", 2), small_images("bernoulli")
    right, calls = module.gradient, []

    def counting(target: Any, z: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(z.shape)
        return right(target, z)

    monkeypatch.setattr(module, "gradient", counting)
    model.draw(x, 5)
    assert calls == [(5, 3, 2)] * 4


NAMES = ["hamiltonian", "hamiltonian, free", "hamiltonian, untempered", "hamiltonian, with iaf"]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_the_bound_are_finite_differences(name: str) -> None:
    """Of every parameter, second-order terms included: along a random direction of each."""
    model, x = small_vae(name, "learned_diagonal", "bernoulli", 2), small_images("bernoulli")
    noise = torch.randn(4, 3, model.noise_size)

    def bound() -> Tensor:
        return model.draw(x, 4, noise=noise).log_weight.mean()

    bound().backward()
    named = dict(model.named_parameters())
    wanted = {"raw_step_size"} | {"hamiltonian, free": {"raw_alphas"}, NAMES[2]: set()}.get(name, {"raw_beta_0"})
    assert {n.removeprefix("posterior.") for n in named if n.startswith("posterior.raw")} == wanted
    for label, parameter in named.items():
        direction, width, values = torch.randn_like(parameter), 1e-5, []
        assert parameter.grad is not None, label
        with torch.no_grad():
            for sign in (1, -2):
                parameter.add_(sign * width * direction)
                values.append(bound())
            parameter.add_(width * direction)
        difference = (values[0] - values[1]) / (2 * width)
        slope = (parameter.grad * direction).sum()
        assert float(slope) == pytest.approx(float(difference), rel=1e-6, abs=1e-8), label


def test_detached_slopes_differ_in_the_gradient_alone() -> None:
    """Values are the same bits; the gradient is that of a leapfrog whose slopes are numbers."""
    exact, x = small_vae("hamiltonian", "standard_normal", "bernoulli", 2), small_images("bernoulli")
    cheap = small_vae("hamiltonian, detached", "standard_normal", "bernoulli", 2)
    cheap.load_state_dict(exact.state_dict())
    noise, gradients = torch.randn(4, 3, 4), []
    for model in (exact, cheap):
        draw = model.draw(x, 4, noise=noise)
        gradients.append(torch.autograd.grad(draw.log_weight.mean(), model.posterior.raw_step_size)[0])
    assert torch.equal(exact.draw(x, 4, noise=noise).log_weight, cheap.draw(x, 4, noise=noise).log_weight)
    assert (gradients[0] - gradients[1]).abs().max() > 1e-4

    posterior, start = posterior_of(second_order=False, steps=1, tempering="none"), torch.randn(6)
    z, momentum = start[:3], start[3:]
    (slope,) = torch.autograd.grad(smooth(point := z.clone().requires_grad_()), point)
    raw = posterior.raw_step_size.detach().clone().requires_grad_()
    step = 0.5 * torch.sigmoid(raw)
    place = z + step * (momentum + 0.5 * step * slope)
    (last,) = torch.autograd.grad(smooth(point := place.detach().requires_grad_()), point)
    by_hand = torch.cat([place, momentum + 0.5 * step * (slope + last)]).sin().sum()
    (expected,) = torch.autograd.grad(by_hand, raw)
    (found,) = torch.autograd.grad(end_of(posterior, start).sin().sum(), posterior.raw_step_size)
    torch.testing.assert_close(found, expected)


def test_more_steps_come_nearer_to_the_posterior() -> None:
    """From N(0, I), with steps that fit, the bound of a linear-Gaussian model rises towards log p(x)."""
    torch.manual_seed(1)
    model = linear_gaussian(4, side=4, noise=1.0)
    x, _ = model.simulate(20)
    exact = model.log_evidence(x)
    assert exact is not None
    gaps = []
    for steps in (0, 2, 6):
        options = {"steps": steps, "step_size": 0.45, "beta_0": 0.5} if steps else {"steps": 1, "step_size": 1e-6}
        model.posterior = Hamiltonian(16, 4, base=STANDARD, **options).double()  # pyright: ignore[reportArgumentType]
        model.noise_size = model.posterior.noise_size
        with torch.no_grad():
            gaps.append(float((exact - model.draw(x, 500).log_weight.mean(0)).mean()))
    assert gaps[0] > 1.5 * gaps[1] > 1.5 * gaps[2] > 0


@pytest.mark.parametrize("name", ["hamiltonian, over a flow", "hamiltonian, with iaf"])
def test_no_grad_and_inference_mode_change_no_value(name: str) -> None:
    model, x = small_vae(name, "standard_normal", "bernoulli", 2), small_images("bernoulli")
    noise = torch.randn(4, 3, model.noise_size)
    expected = model.draw(x, 4, noise=noise).log_weight
    for context in (torch.no_grad, torch.inference_mode):
        with context():
            torch.testing.assert_close(model.draw(x, 4, noise=noise).log_weight, expected, rtol=0, atol=1e-12)


def test_annealing_from_the_posteriors_noise_can_follow_it() -> None:
    """A gradient of a draw that takes gradients itself, without autograd outside: by finite differences."""
    model, x = small_vae("hamiltonian", "standard_normal", "bernoulli", 1), small_images("bernoulli")
    with torch.no_grad():
        path, u, width = path_from("posterior", model, x), torch.randn(5, 3, 2), 1e-5
        slope = path.ends(u).slope_delta
        for unit in range(2):
            step = width * torch.eye(2)[unit]
            difference = (path.ends(u + step).delta - path.ends(u - step).delta) / (2 * width)
            torch.testing.assert_close(slope[..., unit], difference, rtol=1e-7, atol=1e-8)


COMPILED = """
import torch
from tests.laws.subjects import small_images, small_vae

torch.set_default_dtype(torch.float64)
model, x = small_vae("hamiltonian, with iaf", "standard_normal", "bernoulli", 2), small_images("bernoulli")
noise, parameters = torch.randn(4, 3, model.noise_size), list(model.parameters())

def loss(noise):
    return model.draw(x, 4, noise=noise).log_weight.mean()

values = [f(noise) for f in (loss, torch.compile(loss, backend="aot_eager", dynamic=False, fullgraph=True))]
slopes = [torch.autograd.grad(value, parameters) for value in values]
for one, other in zip((values[0], *slopes[0]), (values[1], *slopes[1])):
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12)
"""


def test_compilation_changes_no_value_and_no_gradient() -> None:
    """One graph, gradients inside and all; in another process, as the type checks of the tests cannot be compiled."""
    done = subprocess.run([sys.executable, "-c", COMPILED], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_bodies_in_bf16_leave_densities_and_slopes_in_float32() -> None:
    """Autocast is inside the decoder: what the slope is of, and the slope, are float32, and near those without it."""
    torch.set_default_dtype(torch.float32)
    model, x = small_vae("hamiltonian", "standard_normal", "bernoulli", 2).float(), small_images("bernoulli").float()
    noise = torch.randn(64, 3, 4)
    plain = model.draw(x, 64, noise=noise)
    set_autocast(model, torch.bfloat16)
    draw = model.draw(x, 64, noise=noise)
    assert draw.log_weight.dtype == draw.latents[0].dtype == torch.float32
    assert 0 < (draw.log_weight - plain.log_weight).abs().max() < 0.1
    draw.log_weight.mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.posterior.parameters())


def test_it_does_what_its_base_and_its_flows_do() -> None:
    assert posterior_of().capabilities == {"follows_target"}
    batch = Factory("posterior", "diagonal", {"normalization": "batch"})
    assert Hamiltonian(5, 3, base=batch).capabilities == {"follows_target", "batch_dependent"}
    flows = (Factory("flow", "iaf", {"hidden": (8,)}),)
    still = {"steps": 0, "tempering": "none", "flows": flows}
    assert Hamiltonian(5, 3, **still).capabilities == set()  # pyright: ignore[reportArgumentType]
    mixed = {**still, "flows": (Factory("flow", "iaf", {"hidden": (8,), "normalization": "batch"}),)}
    assert Hamiltonian(5, 3, **mixed).capabilities == {"batch_dependent"}  # pyright: ignore[reportArgumentType]
    nested = Hamiltonian(5, 3, base=Factory("posterior", "hamiltonian"), **still)  # pyright: ignore
    assert nested.capabilities == {"follows_target"}
    assert nested.noise_size == 9
    assert nested.flow.steps[0].steps[0].network.output.bias.numel() == 12  # of (z, ρ)
    assert [p.amortized for p in (posterior_of(), posterior_of(flows=flows), Hamiltonian(5, 3))] == [False, True, True]


def test_standard_is_the_noise_itself() -> None:
    posterior, noise = Standard(5, 3), torch.randn(4, 2, 3)
    z, log_q, gaussian = posterior.propose(torch.randn(2, 5), 4, noise=noise)
    assert torch.equal(z, noise)
    torch.testing.assert_close(log_q, torch.distributions.Normal(0.0, 1.0).log_prob(noise).sum(-1))
    assert gaussian is not None
    assert gaussian.mean.shape == (2, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_size": 0.5}, r"posterior.step_size: got 0.5; expected less than max_step_size, 0.5"),
        ({"tempering": "none", "beta_0": 0.5}, r"posterior.beta_0: got 0.5, which has no effect with tempering: none"),
        ({"steps": 0}, "posterior.steps: got 0 and no flows: nothing would move"),
        ({"steps": 0, "flows": (Factory("flow", "iaf"),)}, "posterior.tempering: got 'quadratic' without a step"),
        (
            {"steps": 0, "flows": (Factory("flow", "iaf"),), "tempering": "none", "second_order": False},
            "step_size, max_step_size and second_order have no effect with steps: 0",
        ),
    ],
)
def test_numbers_out_of_order_and_settings_without_effect_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Hamiltonian(5, 3, **options)


def test_a_proposal_needs_the_target_and_has_no_density_to_stop() -> None:
    posterior, noise = posterior_of(), torch.randn(1, 1, 6)
    with pytest.raises(ValueError, match=r"expected target, the model's log p\(x, z\)"):
        posterior.propose(NO_FEATURES, 1, noise=noise)
    with pytest.raises(ValueError, match="the density of a Hamiltonian posterior at a given z is an integral"):
        posterior.propose(NO_FEATURES, 1, noise=noise, target=smooth, stop_density=True)


def recipe_of(**model: Any):
    load_components()
    base = {"latent_dim": 3, "posterior": {"kind": "hamiltonian", "steps": 2}, "likelihood": "bernoulli"}
    return load_recipe({"name": "small", "model": {**base, **model}})


FACTS = DataFacts((1, 8, 8), "binary", None)


def test_batch_statistics_in_the_potential_are_refused_when_built() -> None:
    batch = {"kind": "mlp", "normalization": "batch"}
    with pytest.raises(RecipeError, match=r"model.decoder: its batch statistics would make the slope of one image's"):
        build(recipe_of(decoder=batch), FACTS)
    build(recipe_of(decoder=batch, posterior="diagonal"), FACTS)
    build(recipe_of(encoder=batch), FACTS)


class PlugIn(Decoder):
    """With dropout, as a module or a function, or with batch statistics that it declares nowhere."""

    def __init__(self, latent_dim: int, *, rate: float = 0.0, noise: float = 0.0, normalized: bool = False) -> None:
        super().__init__()
        last = nn.BatchNorm1d(64) if normalized else nn.Dropout(rate)
        self.layers, self.noise = nn.Sequential(nn.Linear(latent_dim, 64, bias=False), last), noise

    def body(self, inputs: Tensor) -> Tensor:
        return nn.functional.dropout(self.layers(inputs), self.noise, self.training).view(-1, 1, 8, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0.1}, "model.decoder: dropout makes each step of a Hamiltonian posterior follow"),
        ({"noise": 0.1}, "model.decoder: called twice at one z in training, it gave two results"),
        ({"normalized": True}, "model.decoder: its batch statistics would make the slope of one image's"),
    ],
)
@pytest.mark.parametrize("warped", [False, True])
def test_plug_ins_that_are_no_potential_are_refused_when_built(
    options: dict[str, Any], message: str, warped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decoder(**given: Any) -> dict[str, Any]:
        inner = {"kind": "plug_in", **given}
        return {"kind": "spatial_transformer", "warp": "translation", "decoder": inner} if warped else inner

    load_components()
    monkeypatch.setattr(registry, "_components", dict(registry._components))
    registry.register("decoder", "plug_in")(PlugIn)
    before = torch.random.get_rng_state()
    build(recipe_of(decoder=decoder()), FACTS)
    assert torch.equal(torch.random.get_rng_state(), before)
    with pytest.raises(RecipeError, match=message):
        build(recipe_of(decoder=decoder(**options)), FACTS)


def test_a_prior_with_gradients_of_its_own_is_refused_when_built() -> None:
    flow = {"kind": "zuko", "transforms": 1, "hidden": []}
    with pytest.raises(RecipeError, match=r"model.prior: it makes its own gradients, as zuko's BPF and CNF do"):
        build(recipe_of(prior={"kind": "flow", "flows": [{**flow, "flow": "BPF"}]}), FACTS)
    build(recipe_of(prior={"kind": "flow", "flows": [{**flow, "flow": "MAF"}]}), FACTS)


def test_objectives_that_stop_the_density_are_refused_when_built() -> None:
    built = build(recipe_of(), FACTS)
    built.objective.stop_density = True
    with pytest.raises(RecipeError, match=r"through detached weights; posterior 'hamiltonian' is not"):
        check_capabilities(built.recipe, built.model, built.objective)


def test_an_encoder_without_effect_is_said() -> None:
    notes = {
        base: build(recipe_of(posterior={"kind": "hamiltonian", "base": base}), FACTS).notes
        for base in ("standard", "diagonal")
    }
    assert any(note.startswith("model.encoder has no effect") for note in notes["standard"])
    assert not any(note.startswith("model.encoder has no effect") for note in notes["diagonal"])


@pytest.mark.parametrize("prior", ["standard_normal", "maf"])
def test_initialization_by_data_reaches_the_potential(prior: str) -> None:
    """In a draw the decoder is first called inside a gradient, where no weight can be set."""
    torch.set_default_dtype(torch.float32)
    recipe = recipe_of(decoder={"kind": "mlp", "normalization": "weight"}, prior=prior)
    model = build(dataclasses.replace(recipe), FACTS).model
    assert isinstance(model, VAE)
    x = (torch.rand(32, 1, 8, 8) > 0.5).float()
    before = {name: value.clone() for name, value in model.named_parameters()}
    initialize_from_data(model, x, torch.randn(1, 32, model.noise_size))
    changed = {n.partition(".")[0] for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed >= {"encoder", "decoder", "posterior"} | ({"prior"} if prior == "maf" else set())
    logits = model.decode(model.base(model.encode(x)).sample(torch.randn(1, 32, 3))).params  # pyright: ignore
    assert 0.05 < logits.std(1).mean().item() < 0.2


def test_every_posterior_says_whether_it_looks_at_the_image() -> None:
    assert Posterior.amortized
    assert not Standard.amortized
