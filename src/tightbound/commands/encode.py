"""``tightbound encode``: what the posterior says of every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import typer

from tightbound.commands.console import counter, say
from tightbound.core import Model
from tightbound.data import Split
from tightbound.errors import RecipeError
from tightbound.evaluation.codes import encode_images
from tightbound.evaluation.source import Images
from tightbound.recipes.evaluate import open_images
from tightbound.recipes.files import write_arrays
from tightbound.recipes.run import open_run


def write_codes(
    path: Path,
    data: str,
    out: Path,
    *,
    samples: int,
    split: str | None,
    checkpoint: str,
    seed: int,
    device: str | None,
) -> None:
    """Writes ``mean`` (N, D), ``samples`` (K, N, D), ``index``, ``label`` if any, and how the mean was made.

    The layers of a ladder of several are numbered, the bottom first: ``mean_1``, ``samples_1``, ``mean_2``, ...
    ``mean_samples`` is 0 where the mean is in closed form, else the number of posterior samples that it averages.
    """
    if out.suffix != ".npz":
        raise RecipeError(f"--out: got {str(out)!r}; expected a file that ends in .npz")
    run = open_run(path)
    images = open_images(run, data, split)
    model = run.model(checkpoint, device or "auto")
    arrays = code_arrays(model, images, samples=samples, seed=seed)
    arrays["index"] = np.arange(len(images))
    if images.labels is not None:
        arrays["label"] = images.labels.cpu().numpy()
    write_arrays(out, arrays)
    say(f"{len(images):,} images; {_describe(int(arrays['mean_samples']))}")
    typer.echo(out)


def code_arrays(model: Model, images: Split, *, samples: int, seed: int) -> dict[str, np.ndarray]:
    """Posterior means and samples of images, float32; pixel noise and samples are functions of the seed.

    Returns:
        ``mean`` (N, D), ``samples`` (K, N, D) and ``mean_samples`` ().
    """
    show = counter("encoding")
    codes = encode_images(
        model,
        Images(model, images, seed),
        samples=samples,
        seed=seed,
        progress=lambda done: show(done, len(images)),
    )
    layers = len(codes.means)
    names = [""] if layers == 1 else [f"_{layer}" for layer in range(layers, 0, -1)]
    arrays = {f"mean{n}": mean.float().numpy() for n, mean in zip(names, codes.means, strict=True)}
    arrays |= {f"samples{n}": z.float().numpy() for n, z in zip(names, codes.samples, strict=True)}
    return arrays | {"mean_samples": np.array(codes.mean_samples)}


def _describe(mean_samples: int) -> str:
    return f"means over {mean_samples} posterior samples" if mean_samples else "means in closed form"
