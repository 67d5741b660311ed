"""Layer by layer: what is shared, drawn and still; what each layer costs; temperatures. Against computation by hand."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pytest
import torch
from torch import Tensor

from tightbound.models import Ladder
from tightbound.numerics import generator_for
from tightbound.report import collect_pictures
from tightbound.report.layers import (
    MOST_PIXELS,
    TEMPERATURES,
    _shape,
    collect_layers,
    cooled,
    layer_grids,
    layer_kl,
    layer_samples,
)

from .models import Images, small_ladder, small_model

ROWS, COLUMNS = 3, 5


def recorded(model: Ladder, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Tensor, ...]]:
    """The latents of every batch of samples, the bottom first."""
    found: list[tuple[Tensor, ...]] = []
    descend = model._descend

    def record(
        epsilon: Tensor, given: dict[int, Tensor] | None = None, constant: Collection[int] = ()
    ) -> tuple[list[Tensor], Tensor]:
        latents, above = descend(epsilon, given, constant)
        if given is not None:
            found.append(tuple(reversed(latents)))
        return latents, above

    monkeypatch.setattr(model, "_descend", record)
    return found


@torch.no_grad()
@pytest.mark.parametrize("at_once", [256, 4])
@pytest.mark.parametrize("layer", [1, 2, 3])
def test_rows_share_what_is_above_and_what_is_below_is_at_its_mode(
    layer: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightbound.report.layers._AT_ONCE", at_once)
    model = small_ladder()
    batches = recorded(model, monkeypatch)
    (pixels,) = layer_samples(model, [layer], ROWS, COLUMNS, seed=4, temperature=0.5)
    latents = [torch.cat(parts).unflatten(0, (ROWS, COLUMNS)) for parts in zip(*batches, strict=True)]
    for above in latents[layer:]:
        assert torch.equal(above, above[:, :1].expand_as(above))  # bit by bit
        assert len(torch.unique(above[:, 0].flatten(1), dim=0)) == ROWS
    own = latents[layer - 1].flatten(2)
    assert len(torch.unique(own.flatten(0, 1), dim=0)) == ROWS * COLUMNS
    epsilon = model.epsilon_of(*reversed(latents))
    for group, i in zip(model.groups, (3, 2, 1), strict=True):
        if i < layer:  # z_i = μ(z_>i) + σ(z_>i) ε_i is at its mode where ε_i = 0
            assert epsilon[..., group.slice].abs().max() < 1e-12
    torch.testing.assert_close(pixels.params, model.decode(*reversed(latents)).params)


@torch.no_grad()
def test_a_grid_is_decoded_from_the_noise_that_its_seed_gives() -> None:
    """The same numbers, all by flat coordinates: the rows' noise above, the columns' in the layer, zeros below."""
    model, temperature = small_ladder(), 0.7
    rows = model.sample_prior(ROWS, generator_for(4, "rows of layers")).repeat_interleave(COLUMNS, 0)
    found = layer_grids(model, [2, 3], ROWS, COLUMNS, seed=4, temperature=temperature)
    top, middle, bottom = (group.slice for group in model.groups)
    for images, layer in zip(found.images, (2, 3), strict=True):
        epsilon = model.sample_prior(ROWS * COLUMNS, generator_for(4, "columns of a layer", layer))
        epsilon[:, bottom] = 0
        if layer == 2:
            epsilon[:, top] = rows[:, top]
        else:
            epsilon[:, middle] = 0
        expected = torch.sigmoid(model.params_at(temperature * epsilon)).unflatten(0, (ROWS, COLUMNS))
        np.testing.assert_allclose(images, expected, rtol=1e-6)
    assert (found.layers, found.num_layers, found.images.dtype) == ((2, 3), 3, np.float32)


@torch.no_grad()
def test_grids_are_a_function_of_the_seed_and_not_of_the_other_layers() -> None:
    model = small_ladder()
    every = layer_grids(model, [1, 2, 3], ROWS, COLUMNS, seed=4)
    np.testing.assert_array_equal(layer_grids(model, [2], ROWS, COLUMNS, seed=4).images[0], every.images[1])
    assert (layer_grids(model, [2], ROWS, COLUMNS, seed=5).images[0] != every.images[1]).any()


@torch.no_grad()
def test_at_temperature_0_everything_is_at_its_mode() -> None:
    model = small_ladder()
    still = model.sample(1, mode_layers=(1, 2, 3)).mean
    for images in layer_grids(model, [1, 2, 3], ROWS, COLUMNS, temperature=0.0).images:
        np.testing.assert_allclose(images, still.expand(ROWS, COLUMNS, 1, 3, 4), rtol=1e-6)
    np.testing.assert_allclose(cooled(model, 4, (0.0,)).images[0], still.expand(4, 1, 3, 4), rtol=1e-6)


@torch.no_grad()
def test_temperatures_multiply_the_same_noise() -> None:
    model = small_ladder(channels=3)
    found = cooled(model, 4, TEMPERATURES, seed=2)
    noise = model.sample_prior(4, generator_for(2, "report temperatures"))
    for images, temperature in zip(found.images, (0.4, 0.6, 0.8, 1.0), strict=True):
        np.testing.assert_allclose(images, torch.sigmoid(model.params_at(temperature * noise)), rtol=1e-6)


def test_a_layer_that_is_not_there() -> None:
    with pytest.raises(ValueError, match="expected layers from 1 to 3, the bottom first; got 4"):
        list(layer_samples(small_ladder(), [1, 4], 2, 2))


@torch.no_grad()
@pytest.mark.parametrize("layers", [1, 2, 3, 12])
def test_the_kl_is_that_of_the_draws_by_layer_and_by_place(layers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.report.layers._BATCH", 8)
    model, images = small_ladder(layers), Images(20, labels=[3, 3, 1, 0, 2] * 4)
    found = layer_kl(model, images, seed=5, pixel_seed=7)
    draws = [
        model.draw(images.fixed(at, min(at + 8, 20), 7), 1, generator=generator_for(5, "report layers", at // 8))
        for at in (0, 8, 16)
    ]
    by_group = [torch.cat([draw.kl[group][0].sum(-1) for draw in draws]) for group in range(layers)]  # the top first
    np.testing.assert_allclose(found.per_image, torch.stack(by_group[::-1], 1), rtol=1e-6)
    total = torch.cat([sum(kl[0].sum(-1) for kl in draw.kl) for draw in draws])  # pyright: ignore
    np.testing.assert_allclose(found.per_image.sum(1), total, rtol=1e-5)
    for layer, group in enumerate(reversed(model.groups)):
        assert found.mean_maps[layer].shape == group.shape[1:]
        assert found.mean_maps[layer].sum() == pytest.approx(found.per_image[:, layer].mean(), rel=1e-5)
    assert found.index.tolist() == [0, 2, 3, 4]  # one of each label
    drawn = model.draw(
        torch.cat([images.fixed(i, i + 1, 7) for i in (0, 2, 3, 4)]), 1, generator=generator_for(5, "report layer maps")
    )
    for maps, kl, group in zip(found.maps, drawn.kl[::-1], model.groups[::-1], strict=True):
        np.testing.assert_allclose(maps, kl[0].unflatten(-1, group.shape).sum(1), rtol=1e-6)


@torch.no_grad()
def test_images_beside_their_maps_have_the_models_border() -> None:
    model, images = small_ladder(), Images(6)
    found = layer_kl(model, images, seed=0, pixel_seed=7)
    assert model.padding == (0, 0, 0, 1)
    shown = torch.cat([images.fixed(i, i + 1, 7) for i in (0, 1, 3, 4)])  # four of six without labels
    np.testing.assert_array_equal(found.images[:, :, :3], shown)
    assert not found.images[:, :, 3:].any()
    assert found.padded


@torch.no_grad()
def test_a_report_has_layers_where_there_are_several() -> None:
    images = Images(20)
    assert collect_pictures(small_model(), images).layers is None
    assert collect_pictures(small_ladder(1), images).layers is None
    layers = collect_pictures(small_ladder(2), images, seed=3).layers
    assert layers is not None
    assert layers.kl is not None
    expected = layer_kl(small_ladder(2), images, seed=3, pixel_seed=3)
    np.testing.assert_array_equal(layers.kl.per_image, expected.per_image)
    bare = collect_pictures(small_ladder(2), None).layers
    assert bare is not None
    assert bare.kl is None


@torch.no_grad()
def test_large_images_in_many_layers_have_smaller_grids() -> None:
    assert collect_layers(small_ladder(), None).grids.images.shape == (3, 6, 10, 1, 3, 4)
    torch.set_default_dtype(torch.float32)
    model = Ladder((3, 64, 64), latent_channels=(1,) * 20, downsample=(0,) * 20, channels=1, blocks=1)
    rows, columns = _shape(model)
    assert (rows, columns) == (3, 6)
    assert rows * columns * 20 * 64 * 64 <= MOST_PIXELS
