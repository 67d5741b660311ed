"""``tightbound layers``: what each layer of a ladder decides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import typer

from tightbound.commands.pictures import target_of
from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.models import Ladder
from tightbound.numerics import generator_for
from tightbound.recipes.files import write_arrays, write_whole
from tightbound.recipes.run import open_run
from tightbound.report import grids
from tightbound.report.latents import as_array
from tightbound.report.layer_arrays import LayerGrids
from tightbound.report.layer_samples import layer_sheet
from tightbound.report.layers import layer_samples


@torch.no_grad()
def write_layers(
    path: Path,
    out: Path | None,
    *,
    layers: Sequence[int] | None,
    rows: int,
    columns: int,
    show: str,
    temperature: float,
    checkpoint: str,
    seed: int,
    device: str | None,
) -> None:
    """Writes one grid a layer; in a .png all of them, the top layer first.

    In the grid of layer i each row shares one prior sample of all layers above, layer i is sampled anew in every
    column, and the layers below are at the mode of p(z_j | z_>j). A layer's grid does not depend on which others are
    asked for.

    An .npz has ``mean``, ``std`` and ``samples`` (n, R, S, C, H, W) of the pixels, and the n ``layers``.

    Args:
        path: the run.
        out: .png or .npz; None for the run's figures/.
        layers: counted from the bottom from 1; None for all.
        rows: R.
        columns: S.
        show: what a .png shows, ``mean`` or ``sample``.
        temperature: all noise of the latents is multiplied by it.
        checkpoint: which weights.
        seed: of everything drawn.
        device: where.

    Raises:
        RecipeError: the model has no layers, or not the one that is asked for.
    """
    if show not in ("sample", "mean"):
        raise RecipeError(f"--show: got {show!r}; expected one of sample, mean")
    if not 0 <= temperature < math.inf:
        raise RecipeError(f"--temperature: got {temperature}; expected a number >= 0")
    run = open_run(path)
    target = target_of(run, path, out, _name(layers, show, temperature, seed))
    model = _ladder(run.model(checkpoint, device or "auto"))
    chosen = _chosen(layers, model.num_layers)
    found = {"mean": [], "std": [], "samples": []}
    pixels_of = layer_samples(model, chosen, rows, columns, seed=seed, temperature=temperature)
    for layer, pixels in zip(chosen, pixels_of, strict=True):
        if not pixels.params.isfinite().all():
            raise RecipeError(
                f"--temperature: got {temperature:g}, where the model's pixels are not finite", hint="1 is its own"
            )
        generator = generator_for(seed, "pixels of a layer", layer, device=pixels.params.device)
        found["mean"].append(as_array(pixels.mean))
        found["std"].append(as_array(pixels.stddev))
        found["samples"].append(as_array(pixels.sample(generator)))
    arrays = {name: np.stack(values) for name, values in found.items()}
    if target.suffix == ".npz":
        write_arrays(target, arrays | {"layers": np.array(chosen)})
    else:
        images = arrays["mean" if show == "mean" else "samples"]
        sheet = layer_sheet(LayerGrids(images, tuple(chosen), model.num_layers))
        write_whole(target, lambda file: file.write(grids.png(sheet)))
    typer.echo(target)


def _ladder(model: Model) -> Ladder:
    if isinstance(model, Ladder):
        return model
    raise RecipeError(
        "this run's model is no ladder: it has one level of latents and no layers to look at",
        hint="draw from it with `tightbound sample`",
    )


def _chosen(layers: Sequence[int] | None, known: int) -> list[int]:
    """In ascending order.

    Raises:
        RecipeError: a layer that is not there, or is named twice.
    """
    if not layers:
        return list(range(1, known + 1))
    for layer in layers:
        if not 1 <= layer <= known:
            there = "there is one layer" if known == 1 else f"there are {known} layers, the bottom first"
            raise RecipeError(f"--layer: got {layer}; expected {_range(known)}, as {there}")
        if list(layers).count(layer) > 1:
            raise RecipeError(f"--layer: got {layer} twice; expected each layer once")
    return sorted(layers)


def _range(known: int) -> str:
    return "1" if known == 1 else f"1 to {known}"


def _name(layers: Sequence[int] | None, show: str, temperature: float, seed: int) -> str:
    """The file's name in figures/."""
    parts = ["layers", *map(str, sorted(layers or ()))]
    parts += ["samples"] if show == "sample" else []
    parts += [] if temperature == 1 else [f"temperature{temperature:g}"]
    return "-".join([*parts, f"seed{seed}"])
