"""Law 6: the laws catch mistakes. Each named one is planted here, and each must break a law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.laws.annealing import (
    forward_is_below,
    forward_is_unbiased,
    forward_log_ratios,
    reverse_is_unbiased,
    reverse_log_ratios,
    simulated,
)
from tests.laws.laws import (
    bounds_are_ordered,
    contract_by_quadrature,
    contract_by_sampling,
    estimate_is_unbiased,
    k_is_honored,
)
from tests.laws.subjects import linear_gaussian, small_images, small_vae
from tests.numerics.test_hamiltonian import steps_are_reversible, volume_is_kept
from tightbound.core import Draw, Model, Posterior, Proposal
from tightbound.evaluation import chains as annealing
from tightbound.evaluation import importance, pareto_k
from tightbound.evaluation.chains import Chains, Settings
from tightbound.evaluation.schedules import sigmoid
from tightbound.flows import AutoregressiveStep
from tightbound.numerics import Density, Gaussian, HMCInfo, Phase, hmc_step, leapfrog_step, log_mean_exp
from tightbound.posteriors import Hamiltonian


class Mistaken(Posterior):
    """A right posterior whose proposal is then spoiled."""

    def __init__(
        self,
        right: Posterior,
        spoil: Callable[[Proposal, Tensor], Proposal],
        before: Callable[[Tensor], Tensor] = lambda noise: noise,
    ) -> None:
        super().__init__()
        self.right, self.spoil, self.before = right, spoil, before
        self.noise_size = right.noise_size

    def base(self, features: Tensor) -> Gaussian:
        return self.right.base(features)

    def propose(self, features: Tensor, num_samples: int, *, noise: Tensor, **options: object) -> Proposal:
        given = self.before(noise)
        return self.spoil(self.right.propose(features, num_samples, noise=given, **options), noise)  # pyright: ignore


def log_det(proposal: Proposal) -> Tensor:
    assert proposal.gaussian is not None
    return proposal.gaussian.log_scale_det


MISTAKES = {
    "log-det with the wrong sign": lambda p, noise: p._replace(log_q=p.log_q + 2 * log_det(p)),
    "log-det one percent off": lambda p, noise: p._replace(log_q=p.log_q + 0.01 * log_det(p)),
    "a normalizing constant missing": lambda p, noise: p._replace(log_q=p.log_q + 0.5 * math.log(2 * math.pi)),
    "density of another sample": lambda p, noise: p._replace(log_q=p.log_q + noise.square().sum(-1) / 100),
    "density of a wider Gaussian than sampled": lambda p, noise: p._replace(
        log_q=Gaussian(p.gaussian.mean, 1.01 * p.gaussian.scale).log_prob(p.z)
    ),
}


@pytest.mark.parametrize("mistake", list(MISTAKES))
def test_quadrature_catches(mistake: str) -> None:
    model = small_vae("diagonal", "standard_normal", "bernoulli", 2)
    x = small_images("bernoulli")
    contract_by_quadrature(model, x, points=(161, 201))
    model.posterior = Mistaken(model.posterior, MISTAKES[mistake])
    with pytest.raises(AssertionError, match=r"differs from log p\(x\)"):
        contract_by_quadrature(model, x, points=(161, 201))


def leaky(step: AutoregressiveStep) -> None:
    """Every unit sees itself: the Jacobian is triangular still, and its diagonal is no longer the scale."""
    network = step.network
    for layer in (*network.layers, network.output):
        layer.mask = torch.ones_like(layer.mask)  # pyright: ignore[reportAttributeAccessIssue]


def wrong_sign(step: AutoregressiveStep) -> None:
    right = step.forward
    step.forward = lambda z, features: (right(z, features)[0], -right(z, features)[1])


def one_percent(step: AutoregressiveStep) -> None:
    right = step.forward
    step.forward = lambda z, features: (right(z, features)[0], 1.01 * right(z, features)[1])


def no_gate(step: AutoregressiveStep) -> None:
    """m is added whole, as in a plain shift: the density of another map."""
    step.transform = "affine"
    right = step.forward
    step.forward = lambda z, features: (right(z, features)[0], (right(z, features)[1] / 2))


@pytest.mark.parametrize("spoil", [leaky, wrong_sign, one_percent, no_gate])
def test_quadrature_catches_mistakes_in_a_flow(spoil: Callable[[AutoregressiveStep], None]) -> None:
    model = small_vae("flow", "standard_normal", "bernoulli", 2)
    x = small_images("bernoulli")
    contract_by_quadrature(model, x, points=(161, 201))
    spoil(next(m for m in model.posterior.modules() if isinstance(m, AutoregressiveStep)))
    with pytest.raises(AssertionError, match=r"differs from log p\(x\)"):
        contract_by_quadrature(model, x, points=(161, 201))


def no_momentum_density(_: Tensor) -> Tensor:
    """As where log N(γ) and log N(ρ_K) are both left out, or taken as equal."""
    return torch.zeros(())


def old_momentum(z: Tensor, momentum: Tensor, slope: Tensor, step_size: Tensor, gradient_at: Any) -> Any:
    """A position kicked with the old momentum, as in the best-known library."""
    half = momentum + 0.5 * step_size * slope
    z = z + step_size * momentum
    found, slope = gradient_at(z)
    return z, half + 0.5 * step_size * slope, slope, found


@pytest.mark.parametrize(
    ("place", "mistake"),
    [
        ("numerics.hamiltonian.leapfrog_step", old_momentum),
        ("posteriors.hamiltonian.standard_normal_log_prob", no_momentum_density),
    ],
)
def test_quadrature_catches_mistakes_in_a_hamiltonian_posterior(
    place: str, mistake: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = small_vae("hamiltonian", "standard_normal", "bernoulli", 1), small_images("bernoulli")
    contract_by_quadrature(model, x, points=(161, 201))
    monkeypatch.setattr(f"tightbound.{place}", mistake)
    with pytest.raises(AssertionError, match=r"differs from log p\(x\)"):
        contract_by_quadrature(model, x, points=(161, 201))


def no_log_det(posterior: Hamiltonian) -> Posterior:
    """− D Σ log α is left out."""
    missing = posterior.latent_dim * _log_alphas(posterior).sum()
    return Mistaken(posterior, lambda p, noise: p._replace(log_q=p.log_q + missing))


def no_beta_0(posterior: Hamiltonian) -> Posterior:
    """ρ_0 = γ: the momentum is tempered, and never had been heated."""
    return Mistaken(posterior, lambda p, noise: p, lambda noise: _scaled(noise, _log_alphas(posterior).sum().exp()))


def final_momentum_weighted(posterior: Hamiltonian) -> Posterior:
    """β_0 enters twice, as where the last momentum is weighted in place of the first."""
    return Mistaken(posterior, lambda p, noise: p._replace(log_q=p.log_q + 2 * _log_alphas(posterior).sum()))


def _log_alphas(posterior: Hamiltonian) -> Tensor:
    assert posterior.log_alphas is not None
    return posterior.log_alphas


def _scaled(noise: Tensor, factor: Tensor) -> Tensor:
    start, gamma = noise.chunk(2, -1)
    return torch.cat([start, factor * gamma], -1)


@pytest.mark.parametrize("mistake", [no_log_det, no_beta_0, final_momentum_weighted])
@pytest.mark.parametrize("name", ["hamiltonian", "hamiltonian, free"])
def test_quadrature_catches_mistakes_in_tempering(name: str, mistake: Callable[[Hamiltonian], Posterior]) -> None:
    model, x = small_vae(name, "standard_normal", "bernoulli", 1), small_images("bernoulli")
    contract_by_quadrature(model, x, points=(161, 201))
    assert isinstance(model.posterior, Hamiltonian)
    model.posterior = mistake(model.posterior)
    with pytest.raises(AssertionError, match=r"differs from log p\(x\)"):
        contract_by_quadrature(model, x, points=(161, 201))


def test_quadrature_catches_an_analytic_kl_in_the_weight(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_vae("diagonal", "standard_normal", "bernoulli", 2)
    right = Draw.log_weight
    monkeypatch.setattr(Draw, "log_weight", property(lambda d: d.log_likelihood - sum(kl.sum(-1) for kl in d.kl)))
    with pytest.raises(AssertionError, match=r"differs from log p\(x\)"):
        contract_by_quadrature(model, small_images("bernoulli"), points=(161, 201))
    monkeypatch.setattr(Draw, "log_weight", right)


def test_sampling_catches_a_scaled_weight() -> None:
    model = linear_gaussian(16, widen=1.05)
    x, _ = model.simulate(2, torch.Generator().manual_seed(1))
    model.posterior = Mistaken(model.posterior, lambda p, noise: p._replace(log_q=p.log_q - 0.02))
    with pytest.raises(AssertionError, match="standard errors off the evidence"):
        contract_by_sampling(model, x, pareto_k, num_samples=100_000)


def test_order_catches_log_k_of_another_k() -> None:
    log_weights = 0.1 * torch.randn(64, 20)
    bounds_are_ordered(log_weights)
    with pytest.raises(AssertionError, match="above the bound"):
        bounds_are_ordered(log_weights, bound=lambda w, dim: w.logsumexp(dim) - math.log(256))


def test_counting_catches_k_off_by_one() -> None:
    model = linear_gaussian(4, widen=1.2)
    x, _ = model.simulate(5, torch.Generator().manual_seed(1))

    def one_less(model: Model, x: Tensor, num_samples: int) -> object:
        return importance(model, x, num_samples - 1, chunk=1000)

    def rounded_up(model: Model, x: Tensor, num_samples: int) -> object:
        return importance(model, x, -(-num_samples // 256) * 256, chunk=1000)

    k_is_honored(partial(importance, chunk=1000), model, x, 300)
    for mistaken in (one_less, rounded_up):
        with pytest.raises(AssertionError, match="pairs drawn for K = 300"):
            k_is_honored(mistaken, model, x, 300)


def test_unbiasedness_catches_log_k_of_another_k() -> None:
    """Drawing 120 samples and subtracting log 100 reads 0.18 nats too high."""
    model = linear_gaussian(4, widen=1.2)
    x, _ = model.simulate(5, torch.Generator().manual_seed(1))
    exact = model.log_evidence(x)
    assert exact is not None

    def right(seed: int) -> Tensor:
        with torch.no_grad():
            return log_mean_exp(model.draw(x, 120, generator=torch.Generator().manual_seed(seed)).log_weight, 0)

    estimate_is_unbiased(right, exact, repeats=200)
    with pytest.raises(AssertionError, match="standard errors off the evidence"):
        estimate_is_unbiased(lambda seed: right(seed) + math.log(120 / 100), exact, repeats=200)


def test_unbiasedness_catches_the_value_of_a_weighted_loss() -> None:
    """Σ w̃ log w has the gradient of the importance-weighted bound, and lies above it."""
    model = linear_gaussian(4, widen=1.6)
    x, _ = model.simulate(5, torch.Generator().manual_seed(1))
    exact = model.log_evidence(x)
    assert exact is not None

    def mistaken(seed: int) -> Tensor:
        with torch.no_grad():
            log_weight = model.draw(x, 120, generator=torch.Generator().manual_seed(seed)).log_weight
        return (log_weight.softmax(0) * log_weight).sum(0)

    with pytest.raises(AssertionError, match="standard errors off the evidence"):
        estimate_is_unbiased(mistaken, exact, repeats=200)


def test_unbiasedness_catches_sampling_and_scoring_under_different_densities() -> None:
    """The best-known library's Hamiltonian estimate samples one scale and scores another."""
    model = linear_gaussian(4, widen=1.2)
    x, _ = model.simulate(5, torch.Generator().manual_seed(1))
    exact = model.log_evidence(x)
    assert exact is not None

    def mistaken(seed: int) -> Tensor:
        with torch.no_grad():
            draw = model.draw(x, 120, generator=torch.Generator().manual_seed(seed))
        spoiled = replace(draw, log_ratio=(draw.log_ratio[0] + 0.05 * draw.latents[0].square().sum(-1),))
        return log_mean_exp(spoiled.log_weight, 0)

    with pytest.raises(AssertionError, match="standard errors off the evidence"):
        estimate_is_unbiased(mistaken, exact, repeats=200)


def annealed_linear_gaussian(noise: float = 1.5) -> tuple[tuple[Model, Tensor, Tensor, Tensor], Settings]:
    """Images of a model with their ε and evidence, and settings under which every law holds with small errors."""
    model = linear_gaussian(3, side=2, posterior="full_covariance", noise=noise)
    return (model, *simulated(model, 5000)), Settings(sigmoid(60), torch.linspace(0.9, 0.5, 60).numpy(), 3)


def test_unbiasedness_catches_logs_averaged_over_chains() -> None:
    """The mean of 5 chains' logs is a bound, and a looser one: its exponential is no estimate of p(x)."""
    (model, x, _, exact), settings = annealed_linear_gaussian(0.7)
    log_ratios = forward_log_ratios(model, x, exact, settings).reshape(5, -1)
    forward_is_unbiased(log_mean_exp(log_ratios, 0))
    forward_is_below(log_ratios.mean(0))
    with pytest.raises(AssertionError, match="times the evidence"):
        forward_is_unbiased(log_ratios.mean(0))


def test_unbiasedness_catches_a_step_that_adapts_inside_the_chain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chain's step grows when it moves and shrinks when it does not: then where it stands says what it will do."""
    factors: dict[str, Tensor] = {}

    def adapting(phase: Phase, density: Density, *, step_size: float, **options: Any) -> tuple[Phase, HMCInfo]:
        factor = factors.get("now", torch.ones_like(phase.momentum[..., :1]))
        phase, info = hmc_step(phase, density, step_size=step_size * factor, **options)
        factors["now"] = factor * torch.where(info.accepted, 3**0.65, 1 / 3).unsqueeze(-1)
        return phase, info

    (model, x, _, exact), settings = annealed_linear_gaussian()
    forward_is_unbiased(forward_log_ratios(model, x, exact, settings))
    monkeypatch.setattr(annealing, "hmc_step", adapting)
    with pytest.raises(AssertionError, match="the forward weight is"):
        forward_is_unbiased(forward_log_ratios(model, x, exact, settings))


def late(chains: Chains, settings: Settings, noise: Any, *, reverse: bool = False, **_: Any) -> Tensor:
    """A mistaken ``walk``: every transition comes before the increment that it belongs behind."""
    t, last = settings.temperatures, len(settings.temperatures) - 1
    log_weights = torch.zeros_like(chains.delta)
    for j in range(last - 1, -1, -1) if reverse else range(last):
        at = j if reverse else j + 1
        if 0 < at < last:
            chains.step(hmc_step, float(t[at]), float(settings.step_sizes[at]), settings, noise)
        log_weights += float(t[j + 1] - t[j]) * chains.delta
    return log_weights


def test_unbiasedness_catches_an_increment_after_the_transition(monkeypatch: pytest.MonkeyPatch) -> None:
    (model, x, _, exact), settings = annealed_linear_gaussian()
    forward_is_unbiased(forward_log_ratios(model, x, exact, settings))
    monkeypatch.setattr("tests.laws.annealing.walk", late)
    with pytest.raises(AssertionError, match="the forward weight is"):
        forward_is_unbiased(forward_log_ratios(model, x, exact, settings))


def test_the_reverse_law_catches_an_order_that_is_not_mirrored(monkeypatch: pytest.MonkeyPatch) -> None:
    (model, x, epsilon, exact), settings = annealed_linear_gaussian()
    reverse_is_unbiased(reverse_log_ratios(model, x, epsilon, exact, settings))
    monkeypatch.setattr("tests.laws.annealing.walk", late)
    with pytest.raises(AssertionError, match="one over the reverse weight is"):
        reverse_is_unbiased(reverse_log_ratios(model, x, epsilon, exact, settings))


def test_volume_catches_a_position_kicked_with_the_old_momentum() -> None:
    """The determinant of one step is then not 1, and the way back another."""
    for law in (volume_is_kept, steps_are_reversible):
        law(leapfrog_step)
        with pytest.raises(AssertionError):
            law(old_momentum)
