"""The mixture prior: its density, that it integrates to one, its samples, and how it starts and learns."""

from __future__ import annotations

import pytest
import torch
from scipy import stats

from tests.laws.laws import log_integral
from tightbound.numerics import Gaussian
from tightbound.priors import Mixture


def random_mixture(latent_dim: int, components: int = 4) -> Mixture:
    prior = Mixture(latent_dim, components=components)
    with torch.no_grad():
        for parameter in prior.parameters():
            parameter.add_(0.4 * torch.randn_like(parameter))
        prior.raw_log_scale.sub_(0.9)  # all of it within [−8, 8]
    return prior


def test_density_against_scipy() -> None:
    prior, z = random_mixture(3), torch.randn(5, 3)
    mean, scale = prior.gaussians.mean.detach(), prior.gaussians.scale
    assert scale is not None
    weight = prior.logits.detach().exp() / prior.logits.detach().exp().sum()
    density = sum(
        w.item() * stats.multivariate_normal(m.numpy(), torch.diag(s**2).numpy()).pdf(z.numpy())
        for w, m, s in zip(weight, mean, scale.detach(), strict=True)
    )
    torch.testing.assert_close(prior.log_prob(z), torch.from_numpy(density).log())


@pytest.mark.parametrize(("latent_dim", "points"), [(1, 401), (2, 201)])
def test_integrates_to_one(latent_dim: int, points: int) -> None:
    prior = random_mixture(latent_dim)
    total = log_integral(lambda z: prior.log_prob(z).unsqueeze(-1), latent_dim, points)
    torch.testing.assert_close(total, torch.zeros(1), rtol=0, atol=1e-9)


def test_components_are_chosen_by_their_weights() -> None:
    """Narrow components far apart, so that a sample tells which one it is from: frequencies within 4 s.e."""
    prior = random_mixture(2)
    with torch.no_grad():
        prior.mean.copy_(100 * torch.arange(4.0).unsqueeze(-1).expand(4, 2))
        z = prior.sample(torch.randn(100_000, prior.noise_size))
    frequency = (z[:, 0] / 100).round().long().bincount(minlength=4) / 100_000
    weight = prior.log_weights.exp()
    assert bool(((frequency - weight).abs() < 4 * (weight * (1 - weight) / 100_000).sqrt()).all())


def test_samples_have_the_density() -> None:
    """E_p[r/p] = 1 and E_p[(r/p)²] = ∫ r²/p for another density r, within 4 s.e.: wrong samples or density break it."""
    prior = random_mixture(2)
    other = Gaussian(torch.tensor([0.3, -0.2]), torch.tensor([0.7, 0.9]))
    with torch.no_grad():
        z = prior.sample(torch.randn(100_000, prior.noise_size))
        ratio = (other.log_prob(z) - prior.log_prob(z)).exp()
    second = log_integral(lambda z: (2 * other.log_prob(z) - prior.log_prob(z)).unsqueeze(-1), 2, 201).exp()
    for power, expected in ((1, torch.ones(1)), (2, second)):
        value = ratio**power
        assert (value.mean() - expected).abs() < 4 * value.std() / 100_000**0.5


def test_starts_spread_with_unit_scales_and_equal_weights() -> None:
    prior = Mixture(64, components=100)
    assert prior.gaussians.scale is not None
    torch.testing.assert_close(prior.gaussians.scale, torch.ones(100, 64), rtol=0, atol=1e-3)
    torch.testing.assert_close(prior.log_weights.exp(), torch.full((100,), 0.01))
    assert abs(prior.mean.square().mean() - 1) < 4 * (2 / 6400) ** 0.5
    assert prior.gaussian is None
    assert not prior.whitened
    assert prior.capabilities == frozenset()


def test_learns_two_separate_modes() -> None:
    """Maximum likelihood on ±3 with scale 0.5 in 1 : 3 finds the two, their weights and scales within 4 s.e."""
    torch.manual_seed(1)
    first = torch.rand(4_000) < 0.25
    z = (torch.where(first, -3.0, 3.0) + 0.5 * torch.randn(4_000)).unsqueeze(-1)
    prior = Mixture(1, components=2)
    with torch.no_grad():
        prior.mean.copy_(torch.tensor([[-1.0], [1.0]]))
    optimizer = torch.optim.LBFGS(prior.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -prior.log_prob(z).mean()
        value.backward()
        return value

    optimizer.step(loss)  # pyright: ignore[reportArgumentType]
    share = first.double().mean()
    torch.testing.assert_close(prior.log_weights.exp()[0], share, rtol=0, atol=1e-3)
    torch.testing.assert_close(prior.mean.flatten(), torch.tensor([-3.0, 3.0]), rtol=0, atol=4 * 0.5 / 1_000**0.5)
    assert prior.gaussians.scale is not None
    torch.testing.assert_close(prior.gaussians.scale, torch.full((2, 1), 0.5), rtol=0, atol=4 * 0.5 / 2_000**0.5)


def test_scales_far_from_one_are_what_was_trained() -> None:
    prior = Mixture(2, components=3)
    wanted = torch.tensor([-6.0, 0.5, 5.0]).unsqueeze(1).expand(3, 2)
    with torch.no_grad():
        prior.raw_log_scale.copy_(wanted)
    torch.testing.assert_close(prior.gaussians.scale, wanted.exp(), rtol=0.15, atol=0)
