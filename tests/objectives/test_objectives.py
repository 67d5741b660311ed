"""Objectives against hand-computed numbers: reductions, β, warm-up, free bits, K, and which value is a bound."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tests.laws.subjects import linear_gaussian, small_images, small_vae
from tightbound.core import Draw, Step
from tightbound.errors import RecipeError
from tightbound.numerics import Gaussian, log_mean_exp
from tightbound.objectives import ELBO, IWAE, LinearWarmUp
from tightbound.registry import Factory

START = Step(torch.tensor(0.0), torch.tensor(0.0))


def draw_of(num_samples: int = 3, seed: int = 0) -> Draw:
    """Two groups: a factorized Gaussian one of 4 units, and one with a sampled KL only."""
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    batch = 5
    q, p = Gaussian(randn(batch, 4), randn(batch, 4).exp()), Gaussian(torch.zeros(4), torch.ones(4))
    z, log_q = q.sample_and_log_prob(randn(num_samples, batch, 4))
    return Draw(
        latents=(z, randn(num_samples, batch, 2)),
        log_likelihood=-50 + randn(num_samples, batch),
        log_ratio=(p.log_prob(z) - log_q, randn(num_samples, batch) - 2),
        params=randn(num_samples, batch, 1, 2, 2),
        densities=((q, p), None),
    )


def kl_by_hand(draw: Draw) -> tuple[Tensor, Tensor]:
    """Analytic KL (B, 4) of the first group and sampled KL (K, B) of the second."""
    pair = draw.densities[0]
    assert pair is not None
    q = pair[0]
    assert q.scale is not None
    return 0.5 * (q.scale**2 + q.mean**2 - 1) - q.scale.log(), -draw.log_ratio[1]


def test_elbo() -> None:
    draw = draw_of()
    first, second = kl_by_hand(draw)
    loss = ELBO(num_samples=3)(draw, START)
    expected = draw.log_likelihood.mean() - first.sum(-1).mean() - second.mean()
    torch.testing.assert_close(loss.value, -expected)
    torch.testing.assert_close(loss.parts["elbo"], expected)
    torch.testing.assert_close(loss.parts["kl_groups"], torch.stack([first.sum(-1).mean(), second.mean()]))


def test_sampled_kl_is_the_log_weight() -> None:
    draw = draw_of()
    torch.testing.assert_close(ELBO(kl="sampled")(draw, START).value, -draw.log_weight.mean())


def test_beta_changes_the_loss_and_never_the_logged_elbo() -> None:
    draw = draw_of()
    plain, scaled = ELBO()(draw, START), ELBO(beta=0.25)(draw, START)
    torch.testing.assert_close(scaled.value, plain.value - 0.75 * plain.parts["kl"])
    torch.testing.assert_close(scaled.parts["elbo"], plain.parts["elbo"])
    assert scaled.parts["beta"].item() == 0.25


@pytest.mark.parametrize(
    ("options", "done", "epoch", "expected"),
    [
        ({"steps": 100}, 25.0, 0.0, 0.25),
        ({"steps": 100}, 250.0, 0.0, 1.0),
        ({"epochs": 4.0}, 0.0, 1.5, 0.375),
        ({"epochs": 200.0, "staircase": True}, 599.0, 1.9967, 1 / 200),
        ({"epochs": 10.0, "start": 0.5}, 0.0, 5.0, 0.75),
    ],
)
def test_warm_up(options: dict[str, float], done: float, epoch: float, expected: float) -> None:
    step = Step(torch.tensor(done), torch.tensor(epoch))
    weight = LinearWarmUp(**options)(step)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(weight, torch.tensor(expected))
    draw = draw_of()
    loss = ELBO(beta=2.0, warm_up=Factory("warm_up", "linear", options))(draw, step)
    torch.testing.assert_close(loss.value, 2 * expected * loss.parts["kl"] - draw.log_likelihood.mean())


@pytest.mark.parametrize("over", ["batch", "sample"])
@pytest.mark.parametrize("free_bits", [0.0, 1.5, 100.0])
def test_free_bits_per_group(over: str, free_bits: float) -> None:
    draw = draw_of()
    first, second = kl_by_hand(draw)
    groups = [first.sum(-1).expand(3, 5), second]
    if over == "batch":
        expected = sum(max(kl.mean().item(), free_bits) for kl in groups)
    else:
        expected = sum(torch.maximum(kl, torch.tensor(free_bits)).mean().item() for kl in groups)
    if free_bits == 0:
        expected = sum(kl.mean().item() for kl in groups)  # a sampled KL may be negative: 0 means off, not max(·, 0)
    options = {"free_bits": free_bits, "free_bits_over": over} if free_bits else {}
    loss = ELBO(**options)(draw, START)  # pyright: ignore[reportArgumentType]
    assert loss.value.item() == pytest.approx(expected - draw.log_likelihood.mean().item(), rel=1e-12)


@pytest.mark.parametrize("over", ["batch", "sample"])
def test_free_bits_per_unit(over: str) -> None:
    draw = draw_of()
    draw = replace(draw, latents=draw.latents[:1], log_ratio=draw.log_ratio[:1], densities=draw.densities[:1])
    first, _ = kl_by_hand(replace(draw, log_ratio=draw.log_ratio * 2))
    if over == "batch":
        expected = first.mean(0).clamp(min=0.4).sum()
    else:
        expected = first.clamp(min=0.4).sum(-1).mean()
    loss = ELBO(free_bits=0.4, free_bits_per="unit", free_bits_over=over)(draw, START)  # pyright: ignore
    torch.testing.assert_close(loss.value, expected - draw.log_likelihood.mean())


def test_surrogate_trains_and_is_not_logged() -> None:
    draw = draw_of()
    surrogate = replace(draw, surrogate=2 * draw.log_likelihood)
    trained, plain = ELBO()(surrogate, START), ELBO()(draw, START)
    torch.testing.assert_close(trained.value, plain.value - draw.log_likelihood.mean())
    torch.testing.assert_close(trained.parts["elbo"], plain.parts["elbo"])


def test_iwae_reports_the_bound() -> None:
    draw = draw_of(num_samples=7)
    loss = IWAE(num_samples=7)(draw, START)
    bound = (draw.log_weight.exp().mean(0)).log().mean()
    torch.testing.assert_close(loss.value, -bound)
    torch.testing.assert_close(loss.parts["bound"], bound)


def test_iwae_gradient_is_the_weighted_one() -> None:
    """∇ log mean w = Σ w̃ ∇ log w; Burda et al. 2016, eq. 14."""
    model, x = small_vae("diagonal", "standard_normal", "bernoulli", 3), small_images("bernoulli")
    noise = torch.randn(6, len(x), 3)
    draw = model.draw(x, 6, noise=noise)
    parameters = list(model.parameters())
    got = torch.autograd.grad(IWAE(num_samples=6)(draw, START).value, parameters, retain_graph=True)
    weights = draw.log_weight.detach().softmax(0)
    expected = torch.autograd.grad(-(weights * draw.log_weight).sum(0).mean(), parameters)
    torch.testing.assert_close(got, expected)


def test_bounds_tighten_with_k_towards_the_evidence() -> None:
    model = linear_gaussian(3, widen=1.5)
    x, _ = model.simulate(200, torch.Generator().manual_seed(0))
    exact = model.log_evidence(x)
    assert exact is not None
    with torch.no_grad():
        log_weight = model.draw(x, 4096).log_weight
    gaps = []
    for k in (1, 8, 64, 4096):
        bounds = log_mean_exp(log_weight.reshape(4096 // k, k, 200), 1).mean(0)
        gaps.append((exact - bounds).mean().item())
    assert gaps == sorted(gaps, reverse=True)
    assert gaps[0] > 0.3
    assert abs(gaps[-1]) < 0.01


def test_wrong_combinations_are_refused() -> None:
    with pytest.raises(RecipeError, match="a sampled KL has no units"):
        ELBO(kl="sampled", free_bits=0.1, free_bits_per="unit")
    for options in ({}, {"epochs": 1.0, "steps": 5}):
        with pytest.raises(RecipeError, match="exactly one of epochs and steps"):
            LinearWarmUp(**options)  # pyright: ignore[reportArgumentType]
    with pytest.raises(RecipeError, match="stairs are epochs"):
        LinearWarmUp(steps=5, staircase=True)
    for options in ({"free_bits_per": "unit"}, {"free_bits_over": "sample"}):
        with pytest.raises(RecipeError, match="free_bits_per and free_bits_over have no effect"):
            ELBO(**options)  # pyright: ignore[reportArgumentType]
    assert ELBO(free_bits=0.1, free_bits_per="unit").needs == {"gaussian", "factorized"}
    assert ELBO(kl="analytic").needs == {"gaussian"}
