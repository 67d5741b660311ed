"""Evaluation under a prior that is no Gaussian: the KL is sampled and has one unit, active units are counted still."""

from __future__ import annotations

import pytest
import torch

from tests.laws.subjects import small_images, small_vae
from tightbound.core import Step
from tightbound.evaluation import importance
from tightbound.numerics import generator_for
from tightbound.objectives import ELBO


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance"])
def test_units_and_activity(posterior: str, prior: str) -> None:
    """Activity is the variance of the exact posterior means, within 4 s.e. of means estimated from K samples."""
    model, num_samples = small_vae(posterior, prior, "bernoulli", 2), 4_000
    x = torch.rand(40, 1, 2, 2, generator=generator_for(0, "test")).round()
    with torch.no_grad():
        for parameter in model.encoder.parameters():  # pyright: ignore[reportOptionalMemberAccess]
            parameter.mul_(4)
    estimate = importance(model, x, num_samples)
    assert estimate.units == [2]
    assert estimate.kl_units == [pytest.approx([estimate.rate])]
    assert estimate.elbo == pytest.approx(-estimate.distortion - estimate.rate)
    q = model.posterior.base(model.encode(x).features)
    exact = q.mean.var(0).detach()
    scale = q.scale if q.scale is not None else (q.scale_tril**2).sum(-1).sqrt()
    # A mean is off by s/√K, so the variance of 40 means by about 2 · sd(mean) · s / √(40 K).
    error = 2 * exact.sqrt() * scale.square().mean(0).sqrt() / (40 * num_samples) ** 0.5
    assert estimate.activity is not None
    assert bool(((torch.tensor(estimate.activity[0]) - exact).abs() < 4 * error).all())
    assert estimate.active_units == [int((exact > 0.01).sum())]


@pytest.mark.parametrize("prior", ["mixture", "vamp"])
def test_the_elbo_of_training_samples_its_kl(prior: str) -> None:
    model, x = small_vae("diagonal", prior, "bernoulli", 2), small_images("bernoulli")
    draw = model.draw(x, 6)
    step = Step(torch.tensor(0), torch.tensor(0.0))
    loss = ELBO(num_samples=6)(draw, step)
    torch.testing.assert_close(loss.value, -draw.log_weight.mean())
    torch.testing.assert_close(loss.parts["elbo"], draw.log_weight.mean())
    assert draw.kl[0].shape == (6, len(x), 1)
