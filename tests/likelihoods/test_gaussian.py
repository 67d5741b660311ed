"""The Gaussian in its three kinds of noise, against SciPy; its floor; the keys that it refuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from tightbound.core import PixelDistribution
from tightbound.errors import RecipeError
from tightbound.likelihoods import Gaussian

SHAPE = (2, 2, 3)


@pytest.mark.parametrize("activation", ["none", "sigmoid"])
@pytest.mark.parametrize("learned", [True, False, None])
def test_one_scale_against_scipy(learned: bool | None, activation: str) -> None:
    likelihood = Gaussian(SHAPE, scale=0.3, learned=learned, mean_activation=activation)  # pyright: ignore
    x, params = torch.rand(1, *SHAPE), torch.randn(3, 1, *SHAPE)
    mean = params.sigmoid() if activation == "sigmoid" else params
    expected = stats.norm.logpdf(x.numpy(), mean.numpy(), 0.3).sum((-1, -2, -3))
    torch.testing.assert_close(likelihood.log_prob(x, params).detach(), torch.tensor(expected))


@pytest.mark.parametrize("noise", ["imagewise", "pixelwise"])
def test_scales_of_the_decoder_against_scipy(noise: str) -> None:
    likelihood = Gaussian(SHAPE, noise=noise, scale=0.3, min_scale=0.05, mean_activation="sigmoid")  # pyright: ignore
    assert likelihood.out_channels == 4
    x, params = torch.rand(2, *SHAPE), torch.randn(3, 2, 4, *SHAPE[1:])
    output, raw = params.numpy()[..., :2, :, :], params.numpy()[..., 2:, :, :]
    if noise == "imagewise":
        raw = raw.mean((-2, -1), keepdims=True)
    # softplus(raw + start − log min) with start such that it is log(0.3 / 0.05) at raw = 0
    scale = 0.05 * (1 + np.exp(raw) * (0.3 / 0.05 - 1))
    mean = 1 / (1 + np.exp(-output))
    expected = torch.tensor(stats.norm.logpdf(x.numpy(), mean, scale).sum((-1, -2, -3)))
    torch.testing.assert_close(likelihood.log_prob(x, params), expected)
    torch.testing.assert_close(likelihood.std(params), torch.tensor(np.broadcast_to(scale, mean.shape).copy()))
    logged = likelihood.logged(params)
    assert logged.keys() == {"noise_scale"}
    assert logged["noise_scale"].item() == pytest.approx(scale.mean(), rel=1e-12)


@pytest.mark.parametrize("noise", ["homoscedastic", "imagewise", "pixelwise"])
def test_noise_starts_where_the_recipe_says(noise: str) -> None:
    for scale in (0.1, 1.0, 1e20):  # the last is far above the floor, where log σ is the raw value
        likelihood = Gaussian(SHAPE, noise=noise, scale=scale)  # pyright: ignore
        std = likelihood.std(torch.zeros(likelihood.out_channels, 2, 3))
        torch.testing.assert_close(std.detach(), torch.full(SHAPE, scale), rtol=1e-12, atol=0)


def test_every_pixel_of_an_imagewise_map_counts_alike() -> None:
    """The published system reads one corner of the map; a mean has no corner."""
    likelihood = Gaussian(SHAPE, noise="imagewise")
    params = torch.randn(1, 1, 4, *SHAPE[1:], requires_grad=True)
    (slope,) = torch.autograd.grad(likelihood.log_prob(torch.rand(1, *SHAPE), params).sum(), params)
    maps = slope[..., 2:, :, :]
    assert bool((maps != 0).all())
    torch.testing.assert_close(maps, maps[..., :1, :1].expand_as(maps))


def test_a_learned_scale_has_a_floor_and_a_gradient() -> None:
    likelihood = Gaussian(SHAPE, scale=0.1, min_scale=0.05)
    with torch.no_grad():
        likelihood.raw_log_scale.fill_(-50.0)
    assert math.isclose(likelihood.log_scale.exp().item(), 0.05, rel_tol=1e-12)
    likelihood = Gaussian(SHAPE, scale=0.1, min_scale=0.05)
    likelihood.log_prob(torch.rand(2, *SHAPE), torch.rand(3, 2, *SHAPE)).sum().backward()
    assert likelihood.raw_log_scale.grad is not None
    assert likelihood.raw_log_scale.grad.abs() > 0
    pixelwise = Gaussian(SHAPE, noise="pixelwise", scale=0.1, min_scale=0.05)
    std = pixelwise.std(torch.full((4, 2, 3), -50.0))
    torch.testing.assert_close(std, torch.full(SHAPE, 0.05), rtol=1e-12, atol=0)


def test_a_fixed_scale_is_not_logged() -> None:
    params = torch.zeros(1, 1, *SHAPE)
    assert Gaussian(SHAPE, learned=False).logged(params) == {}
    assert Gaussian(SHAPE, scale=0.2).logged(params)["noise_scale"].item() == pytest.approx(0.2, rel=1e-12)


def test_a_decoded_distribution_scores_images_at_rows_of_latents() -> None:
    likelihood, x = Gaussian(SHAPE, noise="imagewise"), torch.rand(2, *SHAPE)
    params = torch.randn(3, 2, 4, *SHAPE[1:])
    many = PixelDistribution(likelihood, params).log_prob(x)
    one = PixelDistribution(likelihood, params[1]).log_prob(x)
    torch.testing.assert_close(many, likelihood.log_prob(x, params), rtol=0, atol=0)
    torch.testing.assert_close(one, many[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise": "imagewise", "learned": True}, "learned: it has no effect with imagewise noise"),
        ({"noise": "pixelwise", "learned": False}, "learned: it has no effect with pixelwise noise"),
        ({"beta_nll": 0.5}, "beta_nll: it weighs pixels by their own noise scales; homoscedastic noise has only one"),
        ({"learned": False, "min_scale": 0.01}, "min_scale: it has no effect on a noise scale that is fixed"),
    ],
)
def test_keys_without_effect_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError, match=rf"model\.likelihood\.{message}.*\n  hint: .*leave it out"):
        Gaussian(SHAPE, **options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("noise", ["homoscedastic", "pixelwise"])
def test_a_start_below_the_floor_is_refused(noise: str) -> None:
    with pytest.raises(ValueError, match=r"expected scale above its floor min_scale = 0\.001; got 0\.0001"):
        Gaussian(SHAPE, noise=noise, scale=1e-4)  # pyright: ignore
