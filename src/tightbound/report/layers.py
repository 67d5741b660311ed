"""Runs a ladder layer by layer: samples of one layer at a time, at several temperatures, and what each layer costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from tightbound.core import LatentGroup, PixelDistribution
from tightbound.models import Ladder
from tightbound.numerics import generator_for
from tightbound.report.codes import like
from tightbound.report.latents import ImageSource, as_array, one_of_each
from tightbound.report.layer_arrays import Cooled, LayerGrids, LayerKL, Layers

TEMPERATURES = (0.4, 0.6, 0.8, 1.0)
COOLED = 8
COSTED = 256  # images whose KL is split into layers
MAPPED = 4  # of which maps are shown
MOST_PIXELS = 1_500_000  # of all grids of the page, for its bytes
_SHAPES = ((6, 10), (5, 9), (4, 8), (4, 7), (3, 6), (3, 5), (2, 4))  # of a grid, as many pixels as there may be
_AT_ONCE = 256  # images decoded
_BATCH = 32  # images encoded


def layer_samples(
    model: Ladder, layers: Sequence[int], rows: int, columns: int, *, seed: int = 0, temperature: float = 1.0
) -> Iterator[PixelDistribution]:
    """p(x | z) of rows × columns (R, S) samples of each of these layers i, the others as the layer's picture needs.

    z_>i is one sample of the prior for each row, the same tensor in all its columns; z_i ~ p(z_i | z_>i) is drawn
    anew in every column; z_<i is at the mode of p(z_j | z_>j). The rows of all layers come from the same samples: row r
    of one layer has the z_>i that row r of every other layer has, too.

    Args:
        model: in eval mode.
        layers: counted from the bottom from 1.
        rows: R.
        columns: S.
        seed: the pictures are a function of it, of the layer, and of R and S.
        temperature: all noise is multiplied by it.

    Raises:
        ValueError: a layer that is not there.
    """
    for layer in layers:
        if not 1 <= layer <= model.num_layers:
            raise ValueError(f"expected layers from 1 to {model.num_layers}, the bottom first; got {layer}")
    shared = generator_for(seed, "rows of layers", device=like(model).device)
    latents = model.latents_at(temperature * model.sample_prior(rows, shared))
    by_layer = {model.num_layers - group: z for group, z in enumerate(latents)}
    for layer in layers:
        generator = generator_for(seed, "columns of a layer", layer, device=like(model).device)
        above = {i: z.repeat_interleave(columns, 0) for i, z in by_layer.items() if i > layer}
        yield _decoded(model, layer, above, (rows, columns), generator, temperature)


def _decoded(
    model: Ladder,
    layer: int,
    above: dict[int, Tensor],
    shape: tuple[int, int],
    generator: torch.Generator,
    temperature: float,
) -> PixelDistribution:
    """Some images at a time, so that many rows take no more memory."""
    total = shape[0] * shape[1]
    parts = []
    for start in range(0, total, _AT_ONCE):
        count = min(_AT_ONCE, total - start)
        given = {i: z[start : start + count] for i, z in above.items()}
        below = range(1, layer)
        pixels = model.sample(count, generator, mode_layers=below, latents=given, temperature=temperature)
        parts.append(pixels.params)
    return PixelDistribution(model.likelihood, torch.cat(parts).unflatten(0, shape))


def layer_grids(
    model: Ladder, layers: Sequence[int], rows: int, columns: int, *, seed: int = 0, temperature: float = 1.0
) -> LayerGrids:
    """The means of the pixels of ``layer_samples``, whose arguments these are."""
    found = layer_samples(model, layers, rows, columns, seed=seed, temperature=temperature)
    images = np.stack([as_array(pixels.mean) for pixels in found])
    return LayerGrids(images, tuple(layers), model.num_layers, temperature=temperature)


def cooled(model: Ladder, number: int, temperatures: Sequence[float], *, seed: int = 0) -> Cooled:
    """The means of the pixels of ``number`` samples at each temperature; the noise is the same at all of them."""
    images = []
    for temperature in temperatures:
        generator = generator_for(seed, "report temperatures", device=like(model).device)
        images.append(as_array(model.sample(number, generator, temperature=temperature).mean))
    return Cooled(np.stack(images), tuple(temperatures))


def layer_kl(model: Ladder, split: ImageSource, *, seed: int = 0, pixel_seed: int = 0, name: str = "test") -> LayerKL:
    """The KL of every layer at one posterior sample of each image, over at most 256 images, and its maps.

    Args:
        model: in eval mode.
        split: the images.
        seed: of the posterior samples.
        pixel_seed: of the pixels' own noise.
        name: of the split.
    """
    count = min(len(split), COSTED)
    costs, totals = [], None
    for start in range(0, count, _BATCH):
        x = split.fixed(start, min(start + _BATCH, count), pixel_seed)
        maps = _kl_maps(model, x, generator_for(seed, "report layers", start // _BATCH, device=like(model).device))
        costs.append(torch.stack([each.sum((1, 2)) for each in maps], dim=1))
        sums = [each.sum(0) for each in maps]
        totals = sums if totals is None else [a + b for a, b in zip(totals, sums, strict=True)]
    assert totals is not None
    index = one_of_each(split, MAPPED)
    shown = torch.cat([split.fixed(i, i + 1, pixel_seed) for i in index])
    maps = _kl_maps(model, shown, generator_for(seed, "report layer maps", device=like(model).device))
    return LayerKL(
        as_array(torch.cat(costs)),
        tuple(as_array(total / count) for total in totals),
        as_array(pad(shown, model.padding)),
        tuple(as_array(each) for each in maps),
        np.array(index),
        name,
        any(model.padding),
    )


def _kl_maps(model: Ladder, x: Tensor, generator: torch.Generator) -> list[Tensor]:
    """(B, h, w) nats at each position of each layer, the bottom first."""
    draw = model.draw(x.to(like(model)), 1, generator=generator)
    return [_over_channels(kl[0], group) for kl, group in zip(draw.kl[::-1], model.groups[::-1], strict=True)]


def _over_channels(kl: Tensor, group: LatentGroup) -> Tensor:
    """(B, units) -> (B, h, w)."""
    return kl.unflatten(-1, group.shape).sum(1)


def collect_layers(
    model: Ladder, split: ImageSource | None, *, seed: int = 0, pixel_seed: int = 0, name: str = "test"
) -> Layers:
    """All that the report shows of a ladder of several layers; ``split`` may be None."""
    rows, columns = _shape(model)
    grids = layer_grids(model, range(1, model.num_layers + 1), rows, columns, seed=seed)
    kl = None
    if split is not None and len(split):
        kl = layer_kl(model, split, seed=seed, pixel_seed=pixel_seed, name=name)
    return Layers(grids, cooled(model, COOLED, TEMPERATURES, seed=seed), kl)


def _shape(model: Ladder) -> tuple[int, int]:
    """Rows and columns of a grid: fewer where there are many layers of large images."""
    _, height, width = model.image_shape
    pixels = model.num_layers * height * width
    fitting = [shape for shape in _SHAPES if shape[0] * shape[1] * pixels <= MOST_PIXELS]
    return fitting[0] if fitting else _SHAPES[-1]
