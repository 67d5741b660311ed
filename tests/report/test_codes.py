"""Moments of posterior and prior, and correlations, against the distributions that they are of."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.laws.ladders import means_by_quadrature
from tests.laws.ladders import small_ladder as ladder_of_units
from tightbound.networks.affine import scale_outputs
from tightbound.numerics import Gaussian, generator_for
from tightbound.registry import Factory
from tightbound.report.codes import (
    PRIOR_SAMPLES,
    correlation,
    flat,
    marginal_scale,
    posterior_moments,
    prior_epsilon,
    prior_latents,
)

from .models import Images, correlated_model, small_ladder, small_model, without_closed_form

LEARNED = Factory("prior", "mixture", {"components": 3})


def test_correlations_are_those_of_the_covariance() -> None:
    factor = torch.tril(torch.randn(6, 4, 4), -1) + torch.diag_embed(torch.rand(6, 4) + 0.1)
    gaussian = Gaussian(torch.zeros(6, 4), scale_tril=factor)
    covariance = (factor @ factor.mT).numpy()
    deviations = np.sqrt(np.einsum("bii->bi", covariance))
    expected = covariance / deviations[:, :, None] / deviations[:, None, :]
    found = correlation(gaussian)
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(marginal_scale(gaussian), deviations, rtol=1e-12)
    assert correlation(Gaussian(torch.zeros(2), torch.ones(2))) is None


@torch.no_grad()
def test_closed_moments_are_those_of_the_posterior() -> None:
    model, x = correlated_model(), Images(5).fixed(0, 5, 0).double()
    q = model.posterior.base(model.encode(x).features)
    moments = posterior_moments(model, x)
    assert moments.samples == 0
    torch.testing.assert_close(moments.flat_mean, q.mean)
    assert q.scale_tril is not None
    covariance = q.scale_tril @ q.scale_tril.mT
    torch.testing.assert_close(moments.std, covariance.diagonal(dim1=-2, dim2=-1).sqrt())


@torch.no_grad()
def test_closed_moments_of_a_ladder_of_one_layer_are_those_of_its_draws() -> None:
    model, x = small_ladder(1), Images(5).fixed(0, 5, 0).double()
    ((q, _),) = model.draw(x, 1).densities  # pyright: ignore
    moments = posterior_moments(model, x)
    assert moments.samples == 0
    torch.testing.assert_close(moments.flat_mean, q.mean.reshape(5, -1))
    torch.testing.assert_close(moments.std, q.scale.reshape(5, -1))
    # What the page decodes: the mean as maps, at the ε that lead to them.
    torch.testing.assert_close(model.latents_at(model.epsilon_of(*moments.mean)), moments.mean)


@torch.no_grad()
def test_moments_of_a_ladder_are_those_of_its_posterior() -> None:
    """By quadrature: the variance of z is that of its mean given the layer above and the mean of what is left."""
    model, x = ladder_of_units(2), torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0)).round()
    scale_outputs(model.inference[0].convolution, torch.tensor([1000.0, 1.0]))
    moments = posterior_moments(model, x, samples=20_000, generator=torch.Generator().manual_seed(1))
    mean, variance = means_by_quadrature(model, x)
    torch.testing.assert_close(moments.mean[0].flatten(1), mean[0], rtol=1e-10, atol=1e-12)
    assert ((moments.mean[1].flatten(1) - mean[1]).abs() < 4.5 * (variance[1] / 20_000).sqrt()).all()
    # Against samples, whose standard deviation has an error of σ / √(2n).
    drawn = model.draw(x, 20_000, generator=torch.Generator().manual_seed(2)).latents
    sampled = torch.cat([z.flatten(2).std(0) for z in drawn], -1)
    share = variance[1] / sampled[:, 1:].square()  # of the mean that the top layer moves
    assert ((share > 0.2) & (share < 0.95)).all()
    assert ((moments.std / sampled - 1).abs() < 4.5 / 20_000**0.5).all()


@torch.no_grad()
def test_without_a_closed_form_moments_are_of_samples() -> None:
    model, x = correlated_model(), Images(5).fixed(0, 5, 0).double()
    exact = posterior_moments(model, x)
    n = 20_000
    moments = posterior_moments(without_closed_form(model), x, samples=n, generator=torch.Generator().manual_seed(1))
    assert (moments.samples, moments.gaussian) == (n, None)
    # Standard errors: σ / √n of a mean, σ / √(2n) of a standard deviation; 15 numbers each.
    assert ((moments.flat_mean - exact.flat_mean).abs() < 4.5 * exact.std / n**0.5).all()
    assert ((moments.std / exact.std - 1).abs() < 4.5 / (2 * n) ** 0.5).all()


@torch.no_grad()
def test_moments_of_a_mixture_are_those_of_its_density() -> None:
    """Against the trapezoidal rule on a grid, which is exact to rounding for a smooth density that ends in the grid."""
    mean, std = prior_latents(small_model(), seed=0)
    assert (mean.tolist(), std.tolist()) == ([0, 0], [1, 1])
    model = small_model(latent_dim=1, prior=LEARNED)
    for parameter in model.prior.parameters():
        parameter.normal_()
    z = torch.linspace(-60, 60, 400_001).unsqueeze(-1)
    density = model.prior.log_prob(z).exp()
    expected = torch.trapezoid(density * z[:, 0], z[:, 0])
    spread = torch.trapezoid(density * (z[:, 0] - expected) ** 2, z[:, 0]).sqrt()
    for found in (prior_latents(model, seed=0), prior_epsilon(model, seed=0)):  # ε is z
        torch.testing.assert_close(torch.cat(found), torch.stack([expected, spread]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance"])
@torch.no_grad()
def test_moments_of_a_prior_made_of_posteriors(posterior: str) -> None:
    parts = {"prior": Factory("prior", "vamp", {"components": 4}), "posterior": Factory("posterior", posterior)}
    model = small_model(latent_dim=2, **parts)
    n = 400_000
    z = model.latents_at(model.sample_prior(n, torch.Generator().manual_seed(5)))[0]
    mean, std = prior_latents(model, seed=0)
    # Standard errors: σ / √n of a mean, √((κ − 1) / 4n) σ of a standard deviation of kurtosis κ < 10.
    assert ((mean - z.mean(0)).abs() < 4.5 * std / n**0.5).all()
    torch.testing.assert_close(std, z.std(0), rtol=4.5 * (9 / 4 / n) ** 0.5, atol=0)


@torch.no_grad()
def test_a_prior_that_is_not_the_mixture_it_offers_is_sampled() -> None:
    model = small_model(prior=LEARNED)
    exact, _ = prior_latents(model, seed=0)
    model.prior.log_prob = lambda z, components=None: torch.zeros(z.shape[:-1])
    sampled, std = prior_latents(model, seed=0)
    assert (sampled != exact).all()
    assert ((sampled - exact).abs() < 4.5 * std / PRIOR_SAMPLES**0.5).all()


@torch.no_grad()
def test_a_learned_gaussian_prior_is_one_of_mean_0_and_std_1_in_flat_coordinates() -> None:
    model = small_model(prior=Factory("prior", "learned_diagonal"))
    for parameter in model.prior.parameters():
        parameter.normal_()
    assert model.prior.gaussian is not None
    assert model.prior.gaussian.scale is not None
    mean, std = prior_latents(model, seed=0)
    torch.testing.assert_close(mean, model.prior.gaussian.mean)
    torch.testing.assert_close(std, model.prior.gaussian.scale)
    assert [moment.tolist() for moment in prior_epsilon(model, seed=0)] == [[0, 0], [1, 1]]


@pytest.mark.parametrize("closed", [True, False])
@torch.no_grad()
def test_moments_are_what_the_flat_coordinates_take(closed: bool) -> None:
    model, x = correlated_model(), Images(5).fixed(0, 5, 0).double()
    model = model if closed else without_closed_form(model)
    moments = posterior_moments(model, x, generator=torch.Generator().manual_seed(0))
    assert model.epsilon_of(*moments.mean).shape == (5, 3)


@pytest.mark.parametrize("layers", [1, 3])
@torch.no_grad()
def test_prior_moments_of_a_ladder_do_not_depend_on_how_many_go_down_at_once(
    monkeypatch: pytest.MonkeyPatch, layers: int
) -> None:
    monkeypatch.setattr("tightbound.report.codes._MOST_NUMBERS", 0)
    monkeypatch.setattr("tightbound.report.codes._FEWEST", 50)
    model = small_ladder(layers)
    found = prior_latents(model, 3)
    z = flat(model.latents_at(model.sample_prior(50, generator_for(3, "prior moments"))))
    monkeypatch.setattr("tightbound.report.codes._AT_ONCE", 7)
    sizes, whole = [], model.latents_at
    monkeypatch.setattr(model, "latents_at", lambda part: sizes.append(len(part)) or whole(part))
    # The last maps, as large as the image, are for pixels alone.
    monkeypatch.setattr(model.top_down[0], "forward", None)
    for moments in (found, prior_latents(model, 3)):
        torch.testing.assert_close(moments, (z.mean(0), z.std(0)))
    assert sizes == [7] * 7 + [1]
