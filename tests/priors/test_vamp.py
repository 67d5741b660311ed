"""VampPrior: a mixture of the posteriors of its pseudo-inputs, encoded once a batch, whatever else is in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.laws.laws import log_integral
from tests.laws.subjects import small_images, small_vae
from tightbound.models import VAE
from tightbound.numerics import Gaussian
from tightbound.priors import Vamp
from tightbound.training import load_weights
from tightbound.training.checkpoint import Checkpoint, save

POSTERIORS = ("diagonal", "full_covariance")


def by_hand(model: VAE, z: torch.Tensor) -> torch.Tensor:
    """log (1/M) Σ_m q(z | u_m), one pseudo-input at a time."""
    terms = []
    assert model.encoder is not None
    for image in model.prior.raw_pseudo_inputs.sigmoid():
        terms.append(model.posterior.base(model.encoder(image.unsqueeze(0))).log_prob(z.unsqueeze(-2)).squeeze(-1))
    return torch.stack(terms).exp().mean(0).log()


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_is_the_mean_of_the_posteriors_of_its_pseudo_inputs(posterior: str) -> None:
    model, x = small_vae(posterior, "vamp", "bernoulli", 3), small_images("bernoulli")
    z = torch.randn(6, len(x), 3)
    expected = by_hand(model, z)
    torch.testing.assert_close(model.prior.log_prob(z, model.encode(x).components), expected)
    torch.testing.assert_close(model.log_prior(z), expected)
    draw = model.draw(x, 6)
    log_q = model.posterior.base(model.encode(x).features).log_prob(draw.latents[0])
    torch.testing.assert_close(draw.log_ratio[0], by_hand(model, draw.latents[0]) - log_q)


@pytest.mark.parametrize("posterior", POSTERIORS)
@pytest.mark.parametrize(("latent_dim", "points"), [(1, 401), (2, 201)])
def test_integrates_to_one(posterior: str, latent_dim: int, points: int) -> None:
    model = small_vae(posterior, "vamp", "bernoulli", latent_dim)
    total = log_integral(lambda z: model.log_prior(z).unsqueeze(-1), latent_dim, points)
    torch.testing.assert_close(total, torch.zeros(1), rtol=0, atol=1e-9)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_samples_have_the_density(posterior: str) -> None:
    """E_p[r/p] = 1 for another density r, within 4 s.e."""
    model = small_vae(posterior, "vamp", "bernoulli", 2)
    other = Gaussian(torch.tensor([0.2, -0.1]), torch.tensor([0.7, 0.8]))
    with torch.no_grad():
        z = model.sample_prior(100_000, torch.Generator().manual_seed(0))
        ratio = (other.log_prob(z) - model.log_prior(z)).exp()
    assert (ratio.mean() - 1).abs() < 4 * ratio.std() / 100_000**0.5


@pytest.mark.parametrize("num_samples", [1, 50])
def test_pseudo_inputs_are_encoded_once_a_batch_whatever_k(num_samples: int) -> None:
    model, x = small_vae("diagonal", "vamp", "bernoulli", 3), small_images("bernoulli")
    seen: list[int] = []
    assert model.encoder is not None
    model.encoder.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    encoding = model.encode(x)
    assert sorted(seen) == [3, len(x)]
    model.draw(x, num_samples, encoding=encoding)
    assert len(seen) == 2


def test_what_a_posterior_follows_is_made_of_the_same_components() -> None:
    """A posterior that follows log p(x, ·) asks for it many times; the pseudo-inputs are still encoded once."""
    model, x = small_vae("diagonal", "vamp", "bernoulli", 2), small_images("bernoulli")
    assert model.encoder is not None
    encoded, seen = [], []
    model.encoder.register_forward_hook(lambda _module, inputs, _output: encoded.append(len(inputs[0])))
    propose = model.posterior.propose

    def following(features, num_samples, *, noise, target, stop_density):
        proposal = propose(features, num_samples, noise=noise, target=target, stop_density=stop_density)
        seen.extend(target(proposal.z) for _ in range(3))
        return proposal

    model.posterior.propose = following  # pyright: ignore[reportAttributeAccessIssue]
    draw = model.draw(x, 4)
    assert len(encoded) == 2  # the images and the pseudo-inputs
    expected = draw.log_likelihood + by_hand(model, draw.latents[0])
    for value in seen:
        torch.testing.assert_close(value, expected)


def test_other_images_and_their_order_change_nothing() -> None:
    model, x = small_vae("full_covariance", "vamp", "gaussian", 3), small_images("gaussian", 4)
    noise = torch.randn(5, 4, model.noise_size)
    whole = model.draw(x, 5, noise=noise).log_weight
    order = torch.tensor([2, 0, 3])
    torch.testing.assert_close(model.draw(x[order], 5, noise=noise[:, order]).log_weight, whole[:, order])


def test_pseudo_inputs_and_encoder_learn_from_the_prior() -> None:
    """The slope of log p(z) with respect to the pseudo-inputs and the encoder, against finite differences."""
    model, z = small_vae("diagonal", "vamp", "bernoulli", 2), torch.randn(4, 2)
    model.log_prior(z).sum().backward()
    assert model.encoder is not None
    for parameter in (model.prior.raw_pseudo_inputs, *model.encoder.parameters()):
        direction, step = torch.randn_like(parameter), 1e-5
        with torch.no_grad():
            parameter.add_(step * direction)
            above = model.log_prior(z).sum()
            parameter.sub_(2 * step * direction)
            below = model.log_prior(z).sum()
            parameter.add_(step * direction)
        slope = (parameter.grad * direction).sum()
        assert slope.abs() > 1e-6
        torch.testing.assert_close(slope, (above - below) / (2 * step), rtol=1e-6, atol=1e-8)


def test_pseudo_inputs_start_as_dark_images_that_differ() -> None:
    """Quartiles of sigmoid(N(−2, 1)): 0.065, 0.119, 0.210."""
    images = Vamp(2, (1, 28, 28), components=500).pseudo_inputs
    assert images.shape == (500, 1, 28, 28)
    quartiles = images.flatten()[:100_000].quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles, torch.tensor([0.0645, 0.1192, 0.2099]), rtol=0, atol=0.002)
    distance = torch.pdist(images.flatten(1)[:50])
    assert distance.min() > 2
    assert Vamp(2, (1, 2, 2)).capabilities == frozenset()


def test_a_mixture_without_components_is_refused() -> None:
    prior = Vamp(2, (1, 2, 2), components=3)
    with pytest.raises(
        ValueError, match=r"expected components, the posteriors of the pseudo-inputs \(M, D\); got None"
    ):
        prior.log_prob(torch.zeros(4, 2))
    with pytest.raises(ValueError, match="go through the model"):
        prior.sample(torch.zeros(4, 3))


def test_saved_and_loaded_it_gives_the_same_numbers(tmp_path: Path) -> None:
    model, x = small_vae("diagonal", "vamp", "bernoulli", 2), small_images("bernoulli")
    noise = torch.randn(3, len(x), model.noise_size)
    save(tmp_path / "model.safetensors", Checkpoint("weights", dict(model.state_dict()), {}))
    other = small_vae("diagonal", "vamp", "bernoulli", 2, spread=0.1)
    assert not torch.allclose(other.draw(x, 3, noise=noise).log_weight, model.draw(x, 3, noise=noise).log_weight)
    load_weights(other, tmp_path / "model.safetensors")
    assert torch.equal(other.draw(x, 3, noise=noise).log_weight, model.draw(x, 3, noise=noise).log_weight)
