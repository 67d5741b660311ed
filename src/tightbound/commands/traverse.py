"""``tightbound traverse``: decoded means between images, or along one latent unit at a time."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import typer
from torch import Tensor

from tightbound.commands.pictures import target_of
from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.recipes.evaluate import open_images
from tightbound.recipes.files import write_arrays, write_whole
from tightbound.recipes.run import Run, open_run
from tightbound.registry import nearest_hint
from tightbound.report import read_run
from tightbound.report.exhibit import Exhibit
from tightbound.report.latents import Chosen, along, as_array, between, choose, group_sizes
from tightbound.report.layer_names import layer_of_unit
from tightbound.report.ranking import units_by_use
from tightbound.report.walk_grids import interpolation_grid, traversal_grid
from tightbound.report.warps import PARTS, units_of

MOST_USED = 10  # units of ``--dims`` without a value
MOST_ROWS = 400  # of a picture
_WORDS = ("active", "all", "where", "what")  # in place of units, and ``layer1``, ...
_LAYER = re.compile(r"layer(\d+)")
_LISTED = 8  # indices that a file name takes


@torch.no_grad()
def write_traversal(
    path: Path,
    out: Path | None,
    *,
    images: str | None,
    dims: str | None,
    steps: int,
    split: str | None,
    data: str | None,
    checkpoint: str,
    seed: int,
    device: str | None,
) -> None:
    """Walks through the latent space in the model's flat coordinates ε (where it can be, the prior is N(0, I) there).

    With two or four ``images`` alone: bilinear interpolation between their posterior means. With ``dims``: each of
    these units from −3 to 3 standard deviations of the prior, the others at the posterior mean of the one image in
    ``images``, or at the prior's mean. Posterior means are in closed form, or else of 64 samples.

    An .npz has ``means`` and ``std`` (R, S, C, H, W) of the pixels, ``epsilon`` (R, S, E), the ``index`` of the images,
    and with ``dims`` the ``units`` of the rows.

    Args:
        path: the run.
        out: .png or .npz; None for the run's figures/.
        images: indices in the split, such as ``3,7,12,40``.
        dims: indices of latent units; ``active`` for the ten that are used most, ``all`` for all, most used first; of
            a ladder ``layer2`` for the ten of layer 2 (1 is the bottom) that are; of a decoder that warps, ``where``
            for those of the warp and ``what`` for the others.
        steps: S.
        split: of the images.
        data: other images than the run's own.
        checkpoint: which weights.
        seed: of pixel noise and of samples.
        device: where.

    Raises:
        RecipeError: neither or too much is asked for, or an image or unit that does not exist.
    """
    index = None if images is None else indices("--images", images)
    _check_request(index, dims, chosen_data=split is not None or data is not None)
    run = open_run(path)
    target = target_of(run, path, out, _name(index, dims, seed))
    source = None if index is None else open_images(run, data, split)
    if source is not None and index is not None:
        check_range("--images", index, len(source), "images")
    model = run.model(checkpoint, device or "auto")
    units, order = ([], "") if dims is None else _units(run, model, dims)
    if target.suffix == ".png" and len(units) > MOST_ROWS:
        raise RecipeError(
            f"--dims: got {len(units):,} units; a picture has at most {MOST_ROWS} rows",
            hint="name fewer units, or write an .npz with --out",
        )
    chosen = None if source is None or index is None else choose(model, source, index, seed)
    name = "data" if data is not None else split or "test"
    if dims is not None:
        picture, std, epsilon = along(model, chosen, units, order, steps, seed, name)
        exhibit = traversal_grid(replace(picture, part=dims if dims in PARTS else ""))
    else:
        assert chosen is not None
        picture, std, epsilon = between(model, chosen, steps, name)
        exhibit = interpolation_grid(picture)
    extra = {"units": np.array(units)} if dims is not None else {}
    _write(target, exhibit, picture.means, std, epsilon, chosen, extra)
    typer.echo(target)


def _write(
    target: Path,
    exhibit: Exhibit,
    means: np.ndarray,
    std: Tensor,
    epsilon: Tensor,
    chosen: Chosen | None,
    extra: dict[str, np.ndarray],
) -> None:
    if target.suffix == ".png":
        return write_whole(target, lambda file: file.write(exhibit.png))
    index = np.array([], dtype=np.int64) if chosen is None else chosen.index
    arrays = {"means": means, "std": as_array(std), "epsilon": as_array(epsilon), "index": index}
    return write_arrays(target, arrays | extra)


def _check_request(index: list[int] | None, dims: str | None, *, chosen_data: bool) -> None:
    """What is asked for is one thing, and every option has an effect."""
    if index is None and dims is None:
        raise RecipeError(
            "expected --images, --dims or --trajectory; got none",
            hint="such as --images 0,1,2,3 or --dims active",
        )
    if dims is None and index is not None and len(index) not in (2, 4):
        raise RecipeError(f"--images: got {len(index)}; expected two or four images to walk between")
    if dims is not None and index is not None and len(index) != 1:
        raise RecipeError(
            f"--images: got {len(index)} with --dims; expected one, whose other units are kept",
            hint="leave out --dims to walk between images",
        )
    if index is None and chosen_data:
        raise RecipeError("--split and --data choose images: without --images they have no effect")


def indices(option: str, text: str) -> list[int]:
    """``3,7`` or ``[3, 7]`` -> [3, 7]."""
    try:
        given = [int(part) for part in text.strip().removeprefix("[").removesuffix("]").split(",")]
    except ValueError:
        words = _WORDS if option == "--dims" else ()
        or_words = f", or {', '.join(words[:-1])} or {words[-1]}" if words else ""
        message = f"{option}: got {text!r}; expected whole numbers with commas, such as 3,7{or_words}"
        raise RecipeError(message, hint=nearest_hint(text, words)) from None
    twice = [value for value in given if given.count(value) > 1]
    if twice:
        raise RecipeError(f"{option}: got {twice[0]} twice; expected each number once")
    return given


def check_range(option: str, given: list[int], size: int, what: str) -> None:
    """Refuses a number that there is no image or unit of."""
    for value in given:
        if not 0 <= value < size:
            raise RecipeError(f"{option}: got {value}; expected 0 to {size - 1}, as there are {size:,} {what}")


def _units(run: Run, model: Model, dims: str) -> tuple[list[int], str]:
    """The units to walk along, and in words how they are sorted."""
    sizes = group_sizes(model)
    if dims in _WORDS:
        found = read_run(run.folder).main
        units, order = units_by_use({} if found is None else found.row, sizes)
        if dims in PARTS:
            return units_of(model, dims, units), order
        return (units if dims == "all" else units[:MOST_USED]), order
    if layer := _LAYER.fullmatch(dims):
        return _units_of_layer(run, int(layer[1]), sizes)
    units = indices("--dims", dims)
    check_range("--dims", units, sum(sizes), "latent units")
    return units, ""


def _units_of_layer(run: Run, layer: int, sizes: tuple[int, ...]) -> tuple[list[int], str]:
    """The units of a ladder's layer that are used most."""
    if not 1 <= layer <= len(sizes):
        there = "the only one" if len(sizes) == 1 else f"the bottom, to layer{len(sizes)}, the top"
        raise RecipeError(f"--dims: got layer{layer}; expected layer1, {there}")
    found = read_run(run.folder).main
    units, order = units_by_use({} if found is None else found.row, sizes)
    return [unit for unit in units if layer_of_unit(unit, sizes) == layer][:MOST_USED], order


def _name(index: list[int] | None, dims: str | None, seed: int) -> str:
    """The file's name in figures/."""
    parts = ["interpolation"] if dims is None else ["traversal", _short(dims)]
    if index is not None:
        parts += ["images", *map(str, index)]
    return "-".join([*parts, f"seed{seed}"])


def _short(dims: str) -> str:
    if dims in _WORDS or _LAYER.fullmatch(dims):
        return dims
    units = indices("--dims", dims)
    return "-".join(map(str, units)) if len(units) <= _LISTED else f"{len(units)}-units"
