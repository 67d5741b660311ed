"""STL and DReG: unbiased on every model that declares them, and as quiet as they are meant to be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.laws.ladders import small_ladder
from tests.laws.subjects import linear_gaussian, small_images, small_vae
from tests.objectives.unbiased import START, coupled_ladder, estimator_of, gradient, scores
from tightbound.core import Model
from tightbound.models import ladder
from tightbound.numerics import call_detached, log_mean_exp
from tightbound.objectives import ELBO, IWAE, STL, DReG
from tightbound.training import TrainingStep

ROOT = Path(__file__).parents[2]
ONE_LEVEL = [
    ("diagonal", "standard_normal"),
    ("full_covariance", "mixture"),
    ("diagonal", "vamp"),  # the encoder makes prior and posterior
    ("flow", "flow"),
]
K = 5


def same_mean(scores: tuple[Tensor, Tensor]) -> bool:
    """Within 4 standard errors everywhere, and not because nothing is random."""
    return all(bool((found.abs() < 4).all() and (found != 0).any()) for found in scores)


def relative(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest difference of two gradients, in units of the largest entry."""
    largest = max(float(b.abs().max()) for b in other)
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True)) / largest


@pytest.mark.parametrize(("posterior", "prior"), ONE_LEVEL)
def test_one_level_mean_gradients(posterior: str, prior: str) -> None:
    model, x = small_vae(posterior, prior, "bernoulli", 2), small_images("bernoulli", 1)
    assert same_mean(scores(estimator_of(DReG(num_samples=K)), estimator_of(IWAE(num_samples=K)), model, x))
    elbo = estimator_of(ELBO(num_samples=K, kl="sampled"))
    assert same_mean(scores(estimator_of(STL(num_samples=K)), elbo, model, x))


@pytest.mark.parametrize(
    ("merge", "skip"), [("residual", True), ("linear", True), ("precision", True), ("residual", False)]
)
def test_two_layers_mean_gradient_of_dreg(merge: str, skip: bool) -> None:
    """The maps from above make p(z_1 | z_2) and q(z_1 | z_2, x) alike: no weight up there is of one alone."""
    model, x = coupled_ladder(merge, skip), small_images("bernoulli", 1)
    assert same_mean(scores(estimator_of(DReG(num_samples=K)), estimator_of(IWAE(num_samples=K)), model, x))


def test_two_layers_mean_gradient_of_stl() -> None:
    model, x = coupled_ladder("linear"), small_images("bernoulli", 1)
    elbo = estimator_of(ELBO(num_samples=K, kl="sampled"))
    assert same_mean(scores(estimator_of(STL(num_samples=K)), elbo, model, x))


def sticking_to_weights(model: Model, x: Tensor, noise: Tensor) -> Tensor:
    """STL inside the logarithm."""
    return -log_mean_exp(model.draw(x, len(noise), noise=noise, stop_density=True).log_weight, 0).mean()


@pytest.mark.parametrize("model", ["vae", "ladder"])
def test_stl_inside_the_logarithm_is_biased(model: str) -> None:
    """Why there is none; at K = 1 it is the same as outside, and as DReG."""
    x = small_images("bernoulli", 1)
    subject = coupled_ladder("residual") if model == "ladder" else small_vae(*ONE_LEVEL[0], "bernoulli", 2)
    entries, _ = scores(sticking_to_weights, estimator_of(IWAE(num_samples=K)), subject, x)
    assert entries.abs().max() > 50
    noise = torch.randn(1, 1, subject.noise_size)
    by_stl, by_dreg = (gradient(estimator_of(o), subject, x, noise) for o in (STL(), DReG(num_samples=1)))
    assert relative(by_stl, by_dreg) < 1e-12
    assert relative(gradient(sticking_to_weights, subject, x, noise), by_dreg) < 1e-12


def test_a_hook_that_samples_below_pass_too_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistake: the densities take the tensors that the next samples came from, so w̃ comes in once for each layer."""
    monkeypatch.setattr(torch.Tensor, "view_as", lambda self, other: self)
    model, x = coupled_ladder("linear"), small_images("bernoulli", 1)
    entries, _ = scores(estimator_of(DReG(num_samples=K)), estimator_of(IWAE(num_samples=K)), model, x)
    assert entries.abs().max() > 6


def upper_layer_detached(model: Model, features: Any, latents: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Mistake: log q(z_1 | z_2, x) at a z_2 that is held fixed."""
    top, bottom = latents
    return call_detached(model, features, latents)[0], call_detached(model, features, (top.detach(), bottom))[1]


def test_a_detached_upper_layer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ladder, "call_detached", upper_layer_detached)
    model, x = coupled_ladder("linear"), small_images("bernoulli", 1)
    entries, _ = scores(estimator_of(DReG(num_samples=K)), estimator_of(IWAE(num_samples=K)), model, x)
    assert entries.abs().max() > 6


@pytest.mark.parametrize("objective", [STL(num_samples=K), DReG(num_samples=K)])
def test_the_logged_value_is_the_honest_bound(objective: STL | DReG) -> None:
    model, x = small_ladder(2), small_images("bernoulli")
    noise = torch.randn(K, len(x), 2)
    plain = model.draw(x, K, noise=noise)
    loss = objective(model.draw(x, K, noise=noise, stop_density=True), START)
    bound = plain.log_weight.mean() if isinstance(objective, STL) else log_mean_exp(plain.log_weight, 0).mean()
    torch.testing.assert_close(loss.value, -bound)
    torch.testing.assert_close(loss.parts["elbo"], plain.log_weight.mean().detach())
    if isinstance(objective, DReG):
        torch.testing.assert_close(loss.parts["bound"], bound.detach())


def test_dreg_is_its_formula() -> None:
    """Tucker et al. 2019, eq. 8, with ∂log w_k/∂z_k and ∂z_k/∂φ written out, and IWAE's gradient for the rest."""
    model, x = small_vae("full_covariance", "learned_diagonal", "bernoulli", 3), small_images("bernoulli")
    noise = torch.randn(6, len(x), 3)
    ours = gradient(estimator_of(DReG(num_samples=6)), model, x, noise)
    plain = model.draw(x, 6, noise=noise)
    shares = plain.log_weight.detach().softmax(0)
    z = plain.latents[0].detach().requires_grad_()
    q = model.posterior.base(model.encode(x).features).detach()
    log_weight = model.decode(z).log_prob(x) + model.prior.log_prob(z) - q.log_prob(z)
    (slope,) = torch.autograd.grad(log_weight.sum(), z)
    path = -(shares.square().unsqueeze(-1) * slope * plain.latents[0]).sum(0).mean(0).sum()
    of_posterior = torch.autograd.grad(path, list(model.parameters()), allow_unused=True)
    of_rest = gradient(estimator_of(IWAE(num_samples=6)), model, x, noise)
    for got, one, other in zip(ours, of_posterior, of_rest, strict=True):
        torch.testing.assert_close(got, other if one is None else one)


def test_stl_is_zero_for_every_sample_at_the_exact_posterior() -> None:
    """Roeder et al. 2017: sticking the landing. The ELBO's own gradient there is zero in the mean only."""
    model = linear_gaussian(3, posterior="full_covariance", side=3)
    x, _ = model.simulate(2, torch.Generator().manual_seed(0))
    noise = torch.randn(4, 2, 3)
    of_q = [*model.posterior.parameters()]
    largest = {}
    for stop in (True, False):
        log_weight = model.draw(x, 4, noise=noise, stop_density=stop).log_weight
        each = [torch.autograd.grad(one, of_q, retain_graph=True) for one in log_weight.flatten()]
        largest[stop] = [max(float(g.abs().max()) for g in gradients) for gradients in each]
    assert max(largest[True]) < 1e-12
    assert min(largest[False]) > 0.1


@pytest.mark.parametrize("mistaken", [False, True])
def test_stl_of_two_layers_is_zero_at_the_exact_posterior(mistaken: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image that says nothing of z: p(z | x) = p(z), which q is made to be. A detached upper layer is noise."""
    model, x = coupled_ladder("linear"), small_images("bernoulli", 1)
    if mistaken:
        monkeypatch.setattr(ladder, "call_detached", upper_layer_detached)
    with torch.no_grad():
        model.output.convolution.weight.zero_()
        model.inference[1].convolution.weight.zero_()
        model.inference[1].convolution.bias.copy_(model.top_prior[:, 0, 0])  # pyright: ignore
        merge = model.inference[0].merge.convolution  # pyright: ignore
        merge.weight.copy_(torch.eye(2, 4).roll(2, 1)[..., None, None])  # pyright: ignore  (what is above alone)
        merge.bias.zero_()  # pyright: ignore
        model.inference[0].convolution.load_state_dict(model.generation[0].convolution.state_dict())  # pyright: ignore
    of_q = [*model.stem.parameters(), *model.bottom_up.parameters(), *model.inference.parameters()]
    log_weight = model.draw(x, 4, noise=torch.randn(4, 1, 2), stop_density=True).log_weight
    assert log_weight.std() < 1e-12
    largest = 0.0
    for one in log_weight.flatten():
        found = torch.autograd.grad(one, of_q, retain_graph=True, allow_unused=True)
        largest = max(largest, *(float(g.abs().max()) for g in found if g is not None))
    assert largest > 1e-3 if mistaken else largest < 1e-12


def test_without_gradients_there_is_nothing_to_hook() -> None:
    model, x = small_vae(*ONE_LEVEL[0], "bernoulli", 2), small_images("bernoulli")
    noise = torch.randn(K, len(x), 2)
    with torch.no_grad():
        value = estimator_of(DReG(num_samples=K))(model, x, noise)
        torch.testing.assert_close(value, estimator_of(IWAE(num_samples=K))(model, x, noise))


def compare_compiled_with_eager() -> None:
    """A compiled step's gradient is the eager one, in a process whose functions are not wrapped by the type checker.

    The two larger ones are traced and differentiated as for any compiler, but not made into machine code.
    """
    torch.set_default_dtype(torch.float64)
    x = small_images("bernoulli")
    for model, backend in (
        (small_vae("diagonal", "learned_diagonal", "bernoulli", 2), "inductor"),
        (small_vae("flow", "vamp", "bernoulli", 2), "aot_eager"),
        (coupled_ladder("residual"), "aot_eager"),
    ):
        step, noise = TrainingStep(model, DReG(num_samples=K)), torch.randn(K, 3, 2)
        found = []
        for run in (step, torch.compile(step, dynamic=False, fullgraph=True, backend=backend)):
            model.zero_grad()
            run(x, noise, START).value.backward()
            found.append([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()])
        assert relative(found[1], found[0]) < 1e-10
        assert relative(gradient(estimator_of(IWAE(num_samples=K)), model, x, noise), found[0]) > 0.01


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a processor needs a C++ compiler")
def test_the_compiled_step_has_the_eager_gradient() -> None:
    code = f"from tests.objectives.{Path(__file__).stem} import *; compare_compiled_with_eager()"
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
