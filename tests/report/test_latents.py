"""Arrays of the pictures of latents are what the model gives at the stated points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tightbound.numerics import generator_for
from tightbound.report.codes import correlation, prior_latents
from tightbound.report.latents import (
    MOST_SHOWN,
    along,
    between,
    choose,
    encode_many,
    encoded_rows,
    generated_rows,
    one_of_each,
    units_shown,
)

from .models import Images, correlated_model, small_ladder, small_model, without_closed_form


@torch.no_grad()
def test_rows_of_images_decode_the_posterior_means() -> None:
    model, images = correlated_model(), Images(9)
    rows = encoded_rows(
        model, choose(model, images, [5, 2], seed=7), prior_latents(model, 0), np.array([0.1, 0.3, 0.2])
    )
    x = images.pixels[[5, 2]].clone()
    x[:, :, 0, 0] = 1
    q = model.posterior.base(model.encode(x.double()).features)
    probability = torch.sigmoid(model.params_at(q.mean))
    np.testing.assert_array_equal(rows.originals, x)
    np.testing.assert_allclose(rows.z, q.mean, rtol=1e-6)
    np.testing.assert_allclose(rows.mean, probability, rtol=1e-6)
    np.testing.assert_allclose(rows.std, (probability * (1 - probability)).sqrt(), rtol=1e-6)  # that of a Bernoulli
    assert (rows.units.tolist(), rows.groups, rows.mean_samples) == ([0, 1, 2], (3,), 0)


@torch.no_grad()
def test_rows_of_the_prior_decode_its_samples() -> None:
    model = small_model()
    rows = generated_rows(model, 6, 4, prior_latents(model, 4))
    probability = torch.sigmoid(model.params_at(torch.from_numpy(rows.z).double()))
    np.testing.assert_allclose(rows.mean, probability, rtol=1e-5)
    assert rows.samples is not None
    assert set(np.unique(rows.samples)) == {0.0, 1.0}
    np.testing.assert_array_equal(rows.z, generated_rows(model, 6, 4, prior_latents(model, 4)).z)
    assert (rows.z != generated_rows(model, 6, 5, prior_latents(model, 5)).z).all()


def test_of_many_units_those_that_vary_most_are_shown() -> None:
    spread = np.arange(100.0)
    spread[3] = 500
    assert units_shown(spread).tolist() == [3, *range(100 - MOST_SHOWN + 1, 100)]


@torch.no_grad()
def test_the_means_of_an_image_do_not_depend_on_the_others() -> None:
    model, images = without_closed_form(correlated_model()), Images(9)
    together, alone = choose(model, images, [5, 2], seed=0), choose(model, images, [2], seed=0)
    assert together.moments.samples == 64
    torch.testing.assert_close(together.moments.flat_mean[1:], alone.moments.flat_mean)


def test_one_image_of_each_label() -> None:
    assert one_of_each(Images(9, labels=[4, 4, 1, 1, 9, 0, 0, 0, 0]), 3) == [0, 2, 4]
    assert one_of_each(Images(9, labels=9 * [4]), 3) == [0, 1, 2]
    assert one_of_each(Images(2), 3) == [0, 1]
    assert one_of_each(Images(10_000), 4) == [0, 2500, 5000, 7500]
    assert one_of_each(Images(7), 3) == [0, 2, 4]


@torch.no_grad()
def test_an_interpolation_has_the_images_own_means_in_its_corners() -> None:
    model, images = correlated_model(), Images(9, labels=list(range(9)))
    chosen = choose(model, images, [8, 3, 1, 5], seed=0)
    picture, std, epsilon = between(model, chosen, 3, "test")
    own = torch.sigmoid(model.params_at(chosen.moments.flat_mean))
    np.testing.assert_allclose(picture.means[[0, 0, -1, -1], [0, -1, 0, -1]], own, rtol=1e-5)
    center = torch.sigmoid(model.params_at(chosen.moments.flat_mean.mean(0, keepdim=True)))
    np.testing.assert_allclose(picture.means[1, 1], center[0], rtol=1e-5)
    np.testing.assert_allclose(std, model.likelihood.std(model.params_at(epsilon)))
    assert picture.label is not None
    assert picture.index.tolist() == picture.label.tolist() == [8, 3, 1, 5]


@torch.no_grad()
def test_a_traversal_decodes_the_image_with_one_coordinate_changed() -> None:
    model = correlated_model()
    chosen = choose(model, Images(9), [4], seed=0)
    picture, _, _ = along(model, chosen, [2, 0], "", 5, 0, "test")
    for row, unit in enumerate([2, 0]):
        for column, score in enumerate([-3, -1.5, 0, 1.5, 3]):
            point = chosen.moments.flat_mean.clone()
            point[0, unit] = score
            expected = torch.sigmoid(model.params_at(point))
            np.testing.assert_allclose(picture.means[row, column], expected[0], rtol=1e-5)
    origin, _, epsilon = along(model, None, [1], "", 3, 0, "test")
    np.testing.assert_array_equal(epsilon, [[[0, -3, 0], [0, 0, 0], [0, 3, 0]]])
    assert origin.held_at == "the prior's mean"


@torch.no_grad()
def test_correlations_are_averaged_over_the_images(monkeypatch) -> None:
    monkeypatch.setattr("tightbound.report.latents._BATCH", 4)
    model, images = correlated_model(), Images(9)
    codes, found = encode_many(model, images, seed=0, pixel_seed=0)
    q = model.posterior.base(model.encode(images.fixed(0, 9, 0).double()).features)
    matrices = correlation(q)
    assert matrices is not None
    assert found is not None
    np.testing.assert_allclose(codes.mean, q.mean, rtol=1e-5)
    np.testing.assert_allclose(found.mean_absolute, matrices.abs().mean(0), rtol=1e-6)
    np.testing.assert_allclose(found.example, matrices[0], rtol=1e-6)
    assert encode_many(small_model(), images, seed=0, pixel_seed=0)[1] is None


@torch.no_grad()
def test_fewer_images_are_encoded_where_means_are_of_samples(monkeypatch) -> None:
    monkeypatch.setattr("tightbound.report.latents._SAMPLED", 6)
    monkeypatch.setattr("tightbound.report.latents._BATCH", 4)
    codes, found = encode_many(without_closed_form(correlated_model()), Images(20), seed=0, pixel_seed=0)
    assert found is None
    assert (len(codes.mean), codes.mean_samples) == (6, 16)


@torch.no_grad()
def test_units_of_a_ladder_know_their_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three layers of 4, 3 and 8 units, the top first; the images' codes are the same in smaller batches."""
    model, images = small_ladder(), Images(9)
    assert [group.shape for group in model.groups] == [(4, 1, 1), (3, 1, 1), (2, 2, 2)]
    picture, _, epsilon = along(model, choose(model, images, [4], seed=0), [0, 3, 4, 6, 7, 14], "", 3, 0, "test")
    assert picture.layers is not None
    assert picture.layers.tolist() == [3, 3, 2, 2, 1, 1]
    assert epsilon[5, :, 14].tolist() == [-3, 0, 3]
    assert along(small_model(), None, [1], "", 3, 0, "test")[0].layers is None
    codes, _ = encode_many(model, images, seed=0, pixel_seed=0)
    assert (codes.groups, codes.mean.shape, codes.mean_samples) == (3, (9, 15), 16)
    monkeypatch.setattr("tightbound.report.latents._MOST_AT_ONCE", 2 * 16 * 15)
    in_pairs, _ = encode_many(model, images, seed=0, pixel_seed=0)
    noise = [generator_for(0, "report codes", i) for i in range(5)]
    drawn = [
        model.draw(images.fixed(2 * i, min(2 * i + 2, 9), 0).double(), 16, generator=g) for i, g in enumerate(noise)
    ]
    gaussians = [[pair[0].mean for pair in draw.densities if pair is not None] for draw in drawn]
    expected = torch.cat([torch.cat([top, *(mean.mean(0) for mean in lower)], 1) for top, *lower in gaussians])
    np.testing.assert_allclose(in_pairs.mean, expected, rtol=1e-5, atol=1e-6)
