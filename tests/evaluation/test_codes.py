"""Posterior means and samples: of which draws they are, and that no cut changes them."""

from __future__ import annotations

import pytest
import torch

from tests.laws.ladders import means_by_quadrature, small_ladder
from tests.laws.subjects import small_vae
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.codes import encode_images
from tightbound.evaluation.source import Images
from tightbound.models import GaussianLocation


def _images(count: int) -> torch.Tensor:
    return torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(7)).round()


def _noise(model, x: torch.Tensor, samples: int) -> torch.Tensor:
    """The noise of every sample, drawn in blocks of 16."""
    blocks = [range(first, min(first + 16, samples)) for first in range(0, samples, 16)]
    return torch.cat(
        [
            ChainNoise(3, f"test, samples from {block.start}", range(len(x)), len(block), x).normal(model.noise_size)
            for block in blocks
        ]
    )


@pytest.mark.parametrize("chunk", [1, 7, 50, 10_000])
def test_the_means_of_a_ladder_are_those_of_its_draws_layer_by_layer(chunk: int) -> None:
    """40 images are no multiple of a tile of 32, 20 samples no multiple of a block of 16; the top layer is first."""
    model, x = small_ladder(3), _images(40)
    codes = encode_images(model, Images(model, x, 0), samples=5, mean_samples=20, seed=3, purpose="test", chunk=chunk)
    with torch.no_grad():
        drawn = model.draw(x, 20, noise=_noise(model, x, 20))
    assert codes.mean_samples == 20
    for mean, kept, z, pair in zip(codes.means, codes.samples, drawn.latents, drawn.densities, strict=True):
        assert pair is not None
        given = pair[0].mean.expand(z.flatten(2).shape).mean(0)
        torch.testing.assert_close(mean, given, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(kept, z.flatten(2)[:5], rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_the_means_of_a_ladder_are_those_of_its_posterior() -> None:
    """By quadrature: the top layer's is exact, the next one's has the error of its mean given the top layer alone."""
    model, x = small_ladder(2), _images(40)
    codes = encode_images(model, Images(model, x, 0), mean_samples=400, seed=3, purpose="test")
    mean, variance = means_by_quadrature(model, x)
    torch.testing.assert_close(codes.means[0], mean[0], rtol=1e-10, atol=1e-12)
    error = (variance[1] / 400).sqrt()
    assert error.max() < 0.5 * model.draw(x, 400).latents[1].flatten(2).std(0).max() / 20  # far less than of samples
    assert ((codes.means[1] - mean[1]).abs() < 4.5 * error).all()


def test_a_closed_mean_takes_no_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = small_vae("diagonal", "standard_normal", "bernoulli", 2), _images(40)
    with torch.no_grad():
        expected = model.posterior.base(model.encode(x).features).mean
    monkeypatch.setattr(model, "draw", None)
    codes = encode_images(model, Images(model, x, 0), chunk=10)
    assert (codes.mean_samples, codes.samples) == (0, ())
    torch.testing.assert_close(codes.means[0], expected)


def test_a_ladder_of_one_layer_has_a_closed_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of its posterior at any draw; it takes no sample."""
    model, x = small_ladder(1), _images(40)
    with torch.no_grad():
        ((q, _),) = model.draw(x, 1).densities  # pyright: ignore
    monkeypatch.setattr(model, "draw", None)
    codes = encode_images(model, Images(model, x, 0), chunk=10)
    assert (codes.mean_samples, codes.samples) == (0, ())
    torch.testing.assert_close(codes.means, (q.mean.reshape(40, -1),))


def test_a_mean_that_no_image_changes_is_given_for_every_image() -> None:
    """Over calls of 10 images each."""
    model, x = GaussianLocation((1, 6, 3)), torch.randn(25, 1, 6, 3)
    with torch.no_grad():
        model.posterior.moments.bias.normal_()
        expected = model.posterior.base(model.encode(x).features).mean
    codes = encode_images(model, Images(model, x, 0), chunk=10)
    assert codes.mean_samples == 0
    torch.testing.assert_close(codes.means[0], expected.expand(25, 3))
