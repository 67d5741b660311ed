"""Runs a model whose decoder warps for the report's pictures of what and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from torch import Tensor

from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.networks import SpatialTransformer
from tightbound.report.latents import Chosen, along, as_array, prior_rows
from tightbound.report.pictures import Traversal
from tightbound.report.warp_arrays import Warps

Part = Literal["where", "what"]
PARTS: tuple[Part, ...] = ("where", "what")
_SHOWN = 8  # units of a part


def warping_decoder(model: Model) -> SpatialTransformer | None:
    """The model's decoder, if it warps."""
    decoder = getattr(model, "decoder", None)
    return decoder if isinstance(decoder, SpatialTransformer) else None


def units_of(model: Model, part: str, units: Sequence[int]) -> list[int]:
    """Those of ``units`` that are of a part of the latents, in the order given.

    Raises:
        RecipeError: the model has no such parts.
    """
    decoder = warping_decoder(model)
    if decoder is None:
        raise RecipeError(
            f"--dims: got {part!r}; this model's decoder does not warp, so its latents have no such part",
            hint="use --dims active, or a model with decoder spatial_transformer",
        )
    return [unit for unit in units if (unit >= decoder.what_dim) == (part == "where")]


def collect_warps(
    model: Model,
    chosen: Chosen | None,
    walked: Chosen | None,
    units: Sequence[int],
    order: str,
    steps: int,
    seed: int,
    split: str = "test",
) -> Warps | None:
    """What the decoder reads from where; None of a decoder that does not warp.

    Args:
        model: any.
        chosen: images whose posterior means are decoded; None for samples of the prior.
        walked: the image from whose posterior mean the walks go; None for the prior's mean.
        units: all latent units, in the order of their use.
        order: in words.
        steps: of a walk.
        seed: of samples.
        split: what the images are of.
    """
    decoder = warping_decoder(model)
    if decoder is None:
        return None
    z = prior_rows(model, seed) if chosen is None else chosen.moments.mean[0]
    before, after, places = before_and_after(model, decoder, z)
    walks = {part: _walk(model, part, walked, units, order, steps, seed, split) for part in PARTS}
    originals = None if chosen is None else as_array(chosen.images)
    return Warps(as_array(before), as_array(after), as_array(places), **walks, originals=originals, split=split)


def before_and_after(model: Model, decoder: SpatialTransformer, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean pixels without and with the warp (n, C, H, W) each, and the places read (n, H, W, 2), at z (n, D)."""
    what, where = decoder.split(z)
    canonical, places = decoder.canonical(what), decoder.places_read(where)
    mean = model.likelihood.mean
    return mean(canonical), mean(decoder.warped(canonical, places)), places


def _walk(
    model: Model,
    part: Part,
    walked: Chosen | None,
    units: Sequence[int],
    order: str,
    steps: int,
    seed: int,
    split: str,
) -> Traversal:
    found = along(model, walked, units_of(model, part, units)[:_SHOWN], order, steps, seed, split)[0]
    return replace(found, part=part)
