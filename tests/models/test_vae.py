"""The VAE as a model: draws are functions of noise, K is K, evidence is exact where it has a closed form."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import MultivariateNormal

from tests.laws.subjects import combinations, linear_gaussian, randomize, small_images, small_vae
from tightbound.errors import RecipeError
from tightbound.models import VAE
from tightbound.registry import Factory, kinds


def test_evidence_against_a_dense_gaussian() -> None:
    model = VAE(
        (1, 2, 3),
        latent_dim=2,
        prior=Factory("prior", "learned_diagonal"),
        decoder=Factory("decoder", "mlp", {"hidden": ()}),
        likelihood=Factory("likelihood", "gaussian", {"scale": 0.4}),
    )
    randomize(model)
    x = torch.rand(5, 1, 2, 3)
    weight, bias = model.decoder.affine()
    prior = model.prior.gaussian
    assert prior is not None
    assert prior.scale is not None
    noise = (2 * model.likelihood.log_scale).exp()
    covariance = weight @ torch.diag(prior.scale**2) @ weight.T + noise * torch.eye(6)
    expected = MultivariateNormal(bias + weight @ prior.mean, covariance).log_prob(x.flatten(1))
    torch.testing.assert_close(model.log_evidence(x), expected)


@pytest.mark.parametrize(
    ("decoder", "likelihood"),
    [
        (Factory("decoder", "mlp", {"hidden": (3,)}), Factory("likelihood", "gaussian")),
        (Factory("decoder", "mlp", {"hidden": ()}), Factory("likelihood", "bernoulli")),
        (Factory("decoder", "mlp", {"hidden": ()}), Factory("likelihood", "gaussian", {"mean_activation": "sigmoid"})),
        (Factory("decoder", "mlp", {"hidden": ()}), Factory("likelihood", "gaussian", {"noise": "imagewise"})),
    ],
)
def test_no_evidence_where_there_is_no_closed_form(decoder: Factory, likelihood: Factory) -> None:
    model = VAE((1, 2, 2), latent_dim=2, decoder=decoder, likelihood=likelihood)
    assert model.log_evidence(torch.rand(2, 1, 2, 2)) is None


def test_exact_posterior_gives_the_evidence_at_every_sample() -> None:
    for posterior in ("diagonal", "full_covariance"):
        model = linear_gaussian(5, posterior=posterior)
        x, _ = model.simulate(4)
        draw = model.draw(x, 7)
        exact = model.log_evidence(x)
        assert exact is not None
        torch.testing.assert_close(draw.log_weight, exact.expand(7, 4), rtol=0, atol=1e-9)


@pytest.mark.parametrize(("posterior", "prior", "likelihood"), list(combinations()))
def test_a_draw_is_a_function_of_its_noise(posterior: str, prior: str, likelihood: str) -> None:
    """Samples in one call, in two calls, with or without a known encoding: the same numbers."""
    model, x = small_vae(posterior, prior, likelihood, 3), small_images(likelihood)
    noise = torch.randn(6, len(x), model.noise_size)
    whole = model.draw(x, 6, noise=noise)
    parts = [model.draw(x, 3, noise=noise[i : i + 3], encoding=model.encode(x)) for i in (0, 3)]
    torch.testing.assert_close(whole.log_weight, torch.cat([part.log_weight for part in parts]))
    torch.testing.assert_close(whole.latents[0], torch.cat([part.latents[0] for part in parts]))
    generated = model.draw(x, 6, generator=torch.Generator().manual_seed(3))
    repeated = model.draw(x, 6, generator=torch.Generator().manual_seed(3))
    assert torch.equal(generated.log_weight, repeated.log_weight)


def test_the_weight_is_its_three_densities() -> None:
    model, x = small_vae("diagonal", "standard_normal", "bernoulli", 3), small_images("bernoulli")
    draw = model.draw(x, 4)
    z = draw.latents[0]
    q, p = model.posterior.base(model.encode(x).features), model.prior.gaussian
    assert p is not None
    logits = model.decoder(z.reshape(-1, 3)).reshape(4, len(x), 1, 2, 2)
    log_likelihood = -torch.nn.functional.binary_cross_entropy_with_logits(
        logits, x.expand_as(logits), reduction="none"
    ).sum((-3, -2, -1))
    torch.testing.assert_close(draw.log_weight, log_likelihood + p.log_prob(z) - q.log_prob(z))


def test_noise_of_the_wrong_k_is_refused() -> None:
    model = small_vae("diagonal", "standard_normal", "bernoulli", 3)
    with pytest.raises(ValueError, match=r"expected noise \(K, B, noise_size\) = \(5, 3, 3\); got \(4, 3, 3\)"):
        model.draw(small_images("bernoulli"), 5, noise=torch.randn(4, 3, 3))


@pytest.mark.parametrize(("posterior", "prior", "likelihood"), list(combinations()))
def test_analytic_kl_is_the_sampled_kl(posterior: str, prior: str, likelihood: str) -> None:
    model, x = small_vae(posterior, prior, likelihood, 3), small_images(likelihood)
    if model.prior.gaussian is None or "gaussian" not in model.posterior.capabilities:
        draw = model.draw(x, 5)
        assert torch.equal(draw.kl[0], -draw.log_ratio[0].unsqueeze(-1))
        return
    with torch.no_grad():
        draw = model.draw(x, 100_000)
    sampled = -draw.log_ratio[0]
    error = sampled.std(0) / 100_000**0.5
    analytic = draw.kl[0].sum(-1)
    assert bool(((sampled.mean(0) - analytic[0]).abs() < 4 * error).all())
    stopped = model.draw(x, 5, stop_density=True)
    torch.testing.assert_close(stopped.kl[0].squeeze(-1), -stopped.log_ratio[0])


@pytest.mark.parametrize(("posterior", "prior", "likelihood"), list(combinations()))
def test_gradients_reach_every_parameter(posterior: str, prior: str, likelihood: str) -> None:
    model, x = small_vae(posterior, prior, likelihood, 3), small_images(likelihood)
    draw = model.draw(x, 3)
    draw.log_weight.logsumexp(0).sum().backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    if not model.posterior.amortized:  # nobody asks the encoder
        silent = [name for name in silent if not name.startswith(("encoder.", "prior.raw_pseudo_inputs"))]
    assert silent == []


def test_gradient_of_the_bound_against_finite_differences() -> None:
    model, x = small_vae("full_covariance", "learned_diagonal", "gaussian", 2), small_images("gaussian")
    noise = torch.randn(3, len(x), 2)

    def bound() -> torch.Tensor:
        return model.draw(x, 3, noise=noise).log_weight.logsumexp(0).sum()

    bound().backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        direction = torch.randn_like(parameter)
        step = 1e-5
        with torch.no_grad():
            parameter.add_(step * direction)
            above = bound()
            parameter.sub_(2 * step * direction)
            below = bound()
            parameter.add_(step * direction)
        torch.testing.assert_close(
            (parameter.grad * direction).sum(), (above - below) / (2 * step), rtol=1e-6, atol=1e-7
        )


def test_simulated_images_come_with_their_latents() -> None:
    """x = decode(ε) + noise: the residual has the likelihood's variance, ε the prior's."""
    model = linear_gaussian(3, noise=0.5)
    with torch.no_grad():
        x, epsilon = model.simulate(4_000, torch.Generator().manual_seed(0))
        residual = x - model.likelihood.mean(model.params_at(epsilon))
    error = 0.25 * (2 / residual.numel()) ** 0.5
    assert abs(residual.square().mean() - 0.25) < 4 * error
    assert abs(epsilon.square().mean() - 1) < 4 * (2 / epsilon.numel()) ** 0.5


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_decode_is_p_of_x_given_z(likelihood: str) -> None:
    """The distribution at the latents of a draw has the draw's own parameters and log-likelihood."""
    model, x = small_vae("diagonal", "standard_normal", likelihood, 3), small_images(likelihood)
    draw = model.draw(x, 4)
    p = model.decode(*draw.latents)
    torch.testing.assert_close(p.params, draw.params)
    torch.testing.assert_close(p.log_prob(x), draw.log_likelihood)
    torch.testing.assert_close(p.mean, model.likelihood.mean(draw.params))
    torch.testing.assert_close(p.stddev, model.likelihood.std(draw.params))
    torch.testing.assert_close(p.mode, model.likelihood.mode(draw.params))
    first = model.decode(draw.latents[0][0])
    torch.testing.assert_close(first.mean, p.mean[0])
    torch.testing.assert_close(first.log_prob(x), draw.log_likelihood[0])
    samples = [p.sample(torch.Generator().manual_seed(seed)) for seed in (1, 1)]
    assert torch.equal(*samples)
    assert samples[0].shape == p.mean.shape


@pytest.mark.parametrize("prior", kinds("prior"))
def test_flat_coordinates_and_latents_are_one_to_one(prior: str) -> None:
    """ε -> z -> ε is the identity, z is the mean plus the scale times ε, or ε itself where p(z) is not Gaussian."""
    model, epsilon = small_vae("diagonal", prior, "bernoulli", 3), torch.randn(4, 2, 3)
    (z,) = model.latents_at(epsilon)
    torch.testing.assert_close(model.epsilon_of(z), epsilon)
    p = model.prior.gaussian
    torch.testing.assert_close(z, epsilon if p is None else p.mean + p.scale * epsilon)
    torch.testing.assert_close(model.params_at(epsilon), model.decode(z).params)
    x = small_images("bernoulli", 2)
    torch.testing.assert_close(model.log_likelihood_at(x, epsilon), model.decode(z).log_prob(x))


@pytest.mark.parametrize("prior", kinds("prior"))
def test_drawn_flat_coordinates_have_the_density_of_flat_coordinates(prior: str) -> None:
    """E_p[r/p] = 1 for a density r, within 4 s.e."""
    model = small_vae("diagonal", prior, "bernoulli", 2)
    r = torch.distributions.Normal(torch.tensor([0.2, -0.1]), torch.tensor([0.6, 0.5]))
    with torch.no_grad():
        epsilon = model.sample_prior(50_000, torch.Generator().manual_seed(0))
        ratio = (r.log_prob(epsilon).sum(-1) - model.log_prior(epsilon)).exp()
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / 50_000**0.5


def test_a_prior_made_of_posteriors_needs_an_encoder() -> None:
    with pytest.raises(RecipeError, match="made of posteriors of pseudo-inputs"):
        VAE((1, 2, 2), latent_dim=2, encoder=None, prior=Factory("prior", "vamp"))
    encoder = Factory("encoder", "mlp", {"normalization": "batch"})
    with pytest.raises(RecipeError, match="statistics would enter the encoder's batch normalization"):
        VAE((1, 2, 2), latent_dim=2, encoder=encoder, prior=Factory("prior", "vamp"))


def test_decode_names_what_it_expected_and_is_short_to_read() -> None:
    model = small_vae("diagonal", "standard_normal", "bernoulli", 3)
    for latents in ((torch.zeros(2, 4),), (torch.zeros(2, 3), torch.zeros(2, 3)), ()):
        with pytest.raises(ValueError, match=r"expected one tensor of latents \(\*rows, 3\); got"):
            model.decode(*latents)
    p = model.decode(torch.zeros(5, 2, 3))
    assert repr(p) == "PixelDistribution(Bernoulli, rows=(5, 2), image=(1, 2, 2))"


@pytest.mark.parametrize("posterior", ["diagonal", "full_covariance", "flow, full covariance and iaf"])
@pytest.mark.parametrize("prior", ["standard_normal", "learned_diagonal", "mixture"])
def test_base_in_flat_coordinates_is_a_change_of_variables(posterior: str, prior: str) -> None:
    """N(ε; base) = N(z(ε); q_0) |dz/dε|, the determinant from autograd."""
    model, x = small_vae(posterior, prior, "bernoulli", 3), small_images("bernoulli")
    encoding = model.encode(x)
    base = model.base(encoding)
    assert base is not None
    epsilon = torch.randn(4, len(x), 3)
    (z,) = model.latents_at(epsilon)
    jacobian = torch.autograd.functional.jacobian(lambda e: model.latents_at(e)[0], torch.randn(3))
    log_det = torch.linalg.slogdet(jacobian).logabsdet
    wanted = model.posterior.base(encoding.features).log_prob(z) + log_det
    torch.testing.assert_close(base.log_prob(epsilon), wanted)
