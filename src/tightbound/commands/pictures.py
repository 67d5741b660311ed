"""``tightbound sample`` and ``reconstruct``: pictures and arrays."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
import typer
from torch import Tensor

from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.numerics import generator_for
from tightbound.recipes.evaluate import open_images
from tightbound.recipes.files import write_arrays, write_whole
from tightbound.recipes.run import Run, open_run
from tightbound.report import grids
from tightbound.report.uncertainty import scale_of

_GAP = 2
_LEAST_SIDE = 64  # pixels: smaller images are enlarged to about that


@torch.no_grad()
def write_samples(
    path: Path, out: Path | None, *, number: int, show: str, checkpoint: str, seed: int, device: str | None
) -> None:
    """Draws images from the model.

    An .npz has ``samples``, ``mean``, ``std`` (N, C, H, W) and the flat latents ``epsilon`` (N, E).
    """
    if show not in ("sample", "mean"):
        raise RecipeError(f"--show: got {show!r}; expected one of sample, mean")
    run = open_run(path)
    target = target_of(run, path, out, f"{'samples' if show == 'sample' else 'sample-means'}-seed{seed}")
    model = run.model(checkpoint, device or "auto")
    generator = generator_for(seed, "samples", device=_device(model))
    epsilon = model.sample_prior(number, generator)
    params = model.params_at(epsilon)
    likelihood = model.likelihood
    arrays = {"samples": likelihood.sample(params, generator), "mean": likelihood.mean(params)}
    if target.suffix == ".npz":
        arrays |= {"std": likelihood.std(params), "epsilon": epsilon}
        write_arrays(target, {name: _numpy(value) for name, value in arrays.items()})
    else:
        tiles = grids.to_rgba(_numpy(arrays["samples" if show == "sample" else "mean"]))
        _write_png(target, tiles, columns=math.ceil(math.sqrt(number)))
    typer.echo(target)


@torch.no_grad()
def write_reconstructions(
    path: Path,
    out: Path | None,
    *,
    number: int,
    split: str | None,
    data: str | None,
    checkpoint: str,
    seed: int,
    device: str | None,
) -> None:
    """Encodes images and decodes one posterior sample of each: rows of originals, means, and standard deviations."""
    run = open_run(path)
    target = target_of(run, path, out, f"reconstructions-seed{seed}")
    images = open_images(run, data, split)
    model = run.model(checkpoint, device or "auto")
    x = images.fixed(0, number, seed).to(next(model.parameters()))
    params = model.draw(x, 1, generator=generator_for(seed, "reconstructions", device=_device(model))).params[0]
    mean, std = _numpy(model.likelihood.mean(params)), _numpy(model.likelihood.std(params))
    if target.suffix == ".npz":
        write_arrays(target, {"originals": _numpy(x), "mean": mean, "std": std, "index": np.arange(len(x))})
    else:
        rows = [grids.to_rgba(_numpy(x)), grids.to_rgba(mean), grids.heat(std, scale_of([std]).top)]
        _write_png(target, np.concatenate(rows), columns=len(x))
    typer.echo(target)


def target_of(run: Run, path: Path, out: Path | None, name: str) -> Path:
    """Where the picture goes: checked before any work.

    Args:
        run: the run.
        path: as it was given.
        out: as it was given; None for the run's figures/.
        name: of the file there.

    Raises:
        RecipeError: ``out`` is no picture and no archive, or is missing although the run is a zip.
    """
    if out is None:
        check_writable(run, path)
    target = run.folder / "figures" / f"{name}.png" if out is None else out
    if target.suffix not in (".png", ".npz"):
        raise RecipeError(f"--out: got {str(out)!r}; expected a file that ends in .png or .npz")
    return target


def check_writable(run: Run, path: Path) -> None:
    """Refuses to write into a zip.

    Raises:
        RecipeError: the run is one; the hint asks for --out.
    """
    if not run.writable:
        raise RecipeError(f"{path} is a zip: nothing is written into it", hint="name a file with --out")


def _write_png(path: Path, tiles: np.ndarray, *, columns: int) -> None:
    factor = max(1, round(_LEAST_SIDE / max(tiles.shape[1:3])))
    tiles = tiles.repeat(factor, axis=1).repeat(factor, axis=2)
    write_whole(path, lambda file: file.write(grids.png(grids.grid(tiles, columns, _GAP))))


def _device(model: Model) -> torch.device:
    return next(model.parameters()).device


def _numpy(value: Tensor) -> np.ndarray:
    return value.float().cpu().numpy()
