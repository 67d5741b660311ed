"""``tightbound encode``: what the posterior says of every image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import typer
from torch import Tensor

from tightbound.commands.console import counter, say
from tightbound.core import Model
from tightbound.data import Split
from tightbound.errors import RecipeError
from tightbound.numerics import generator_for
from tightbound.recipes.evaluate import open_images
from tightbound.recipes.files import write_arrays
from tightbound.recipes.run import open_run
from tightbound.report.codes import POSTERIOR_SAMPLES
from tightbound.report.codes import closed_mean as _closed_mean

_BATCH = 256


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

    A ladder's latent groups are numbered, top first: ``mean_0``, ``samples_0``, ``mean_1``, ... ``mean_samples`` is 0
    where the mean is in closed form, else the number of posterior samples that it averages.
    """
    if out.suffix != ".npz":
        raise RecipeError(f"--out: got {str(out)!r}; expected a file that ends in .npz")
    run = open_run(path)
    images = open_images(run, data, split)
    model = run.model(checkpoint, device or "auto")
    arrays = encode_images(model, images, samples=samples, seed=seed)
    arrays["index"] = np.arange(len(images))
    if images.labels is not None:
        arrays["label"] = images.labels.cpu().numpy()
    write_arrays(out, arrays)
    say(f"{len(images):,} images; {_describe(int(arrays['mean_samples']))}")
    typer.echo(out)


@torch.no_grad()
def encode_images(model: Model, images: Split, *, samples: int, seed: int) -> dict[str, np.ndarray]:
    """Posterior means and samples of images; pixel noise and samples are functions of the seed.

    Returns:
        ``mean`` (N, D), ``samples`` (K, N, D) and ``mean_samples`` ().
    """
    like, progress = next(model.parameters()), counter("encoding")
    means: list[list[Tensor]] = []
    drawn: list[list[Tensor]] = []
    mean_samples = 0
    for start in range(0, len(images), _BATCH):
        x = images.fixed(start, start + _BATCH, seed).to(like)
        encoding = model.encode(x)
        closed = _closed_mean(model, encoding)
        count = samples if closed is not None else max(samples, POSTERIOR_SAMPLES)
        generator = generator_for(seed, "encode", start // _BATCH, device=like.device)
        latents = [z.flatten(2) for z in model.draw(x, count, encoding=encoding, generator=generator).latents]
        means.append([_cpu(z.mean(0)) for z in latents] if closed is None else [_cpu(closed)])
        drawn.append([_cpu(z[:samples]) for z in latents])
        mean_samples = 0 if closed is not None else count
        progress(start + len(x), len(images))
    names = [""] if len(means[0]) == 1 else [f"_{level}" for level in range(len(means[0]))]
    arrays = {f"mean{n}": torch.cat([m[i] for m in means]).numpy() for i, n in enumerate(names)}
    arrays |= {f"samples{n}": torch.cat([z[i] for z in drawn], dim=1).numpy() for i, n in enumerate(names)}
    return arrays | {"mean_samples": np.array(mean_samples)}


def _cpu(value: Tensor) -> Tensor:
    return value.float().cpu()


def _describe(mean_samples: int) -> str:
    return f"means of {mean_samples} posterior samples" if mean_samples else "means in closed form"
