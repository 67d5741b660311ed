"""Law 6: the laws catch mistakes. Each named one is planted here, and each must break a law."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from tests.laws.laws import (
    bounds_are_ordered,
    contract_by_quadrature,
    contract_by_sampling,
    estimate_is_unbiased,
    k_is_honored,
)
from tests.laws.subjects import linear_gaussian, small_images, small_vae
from tightbound.core import Draw, Model, Posterior, Proposal
from tightbound.evaluation import importance, pareto_k
from tightbound.flows import AutoregressiveStep
from tightbound.numerics import Gaussian, log_mean_exp


class Mistaken(Posterior):
    """A right posterior whose proposal is then spoiled."""

    def __init__(self, right: Posterior, spoil: Callable[[Proposal, Tensor], Proposal]) -> None:
        super().__init__()
        self.right, self.spoil = right, spoil
        self.noise_size = right.noise_size

    def base(self, features: Tensor) -> Gaussian:
        return self.right.base(features)

    def propose(self, features: Tensor, num_samples: int, *, noise: Tensor, **options: object) -> Proposal:
        return self.spoil(self.right.propose(features, num_samples, noise=noise, **options), noise)  # pyright: ignore


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
