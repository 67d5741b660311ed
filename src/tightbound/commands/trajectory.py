"""``tightbound traverse --trajectory``: decoded trajectories of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import typer

from tightbound.commands.pictures import target_of
from tightbound.commands.traverse import MOST_ROWS, check_range, indices
from tightbound.errors import RecipeError
from tightbound.evaluation.trajectory import trajectories
from tightbound.recipes.evaluate import open_images
from tightbound.recipes.files import write_arrays, write_whole
from tightbound.recipes.run import open_run
from tightbound.report.codes import like
from tightbound.report.latents import as_array, one_of_each
from tightbound.report.trajectory_grid import Course, shown, trajectory_grid
from tightbound.report.walks import decoded

SHOWN = 10  # images, where none are named


@torch.no_grad()
def write_trajectories(
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
    """Decodes where samples of the posterior go: a Hamiltonian one by itself, others by Hamiltonian Monte Carlo.

    A picture shows at most ``steps`` points of each trajectory. An .npz has all P: ``means`` and ``std`` (n, P, C, H,
    W), ``epsilon`` (n, P, E), ``energy_error`` (n, P), ``acceptance`` (n), ``step_size``, and the ``index`` of the
    images. Hamiltonian Monte Carlo takes ``steps`` − 1 leapfrog steps.

    Args:
        path: the run.
        out: .png or .npz; None for the run's figures/.
        images: indices in the split; None for the first of each label, or the first ten.
        dims: refused.
        steps: points.
        split: of the images.
        data: other images than the run's own.
        checkpoint: which weights.
        seed: of pixel noise, samples and momenta.
        device: where.

    Raises:
        RecipeError: ``dims``, or images that do not exist or are too many for a picture.
    """
    if dims is not None:
        raise RecipeError("--dims: a trajectory moves all units; leave out --dims or --trajectory")
    index = None if images is None else indices("--images", images)
    run = open_run(path)
    name = "-".join(["trajectory", *([] if index is None else ["images", *map(str, index)]), f"seed{seed}"])
    target = target_of(run, path, out, name)
    source = open_images(run, data, split)
    index = one_of_each(source, SHOWN) if index is None else index
    check_range("--images", index, len(source), "images")
    if target.suffix == ".png" and len(index) > MOST_ROWS:
        raise RecipeError(f"--images: got {len(index)}; a picture has at most {MOST_ROWS} rows", hint="write an .npz")
    model = run.model(checkpoint, device or "auto")
    x = torch.cat([source.fixed(i, i + 1, seed) for i in index]).to(like(model))
    found = trajectories(model, x, steps - 1, index=index, seed=seed)
    errors, acceptance = as_array(found.energy_error.T), as_array(found.acceptance)
    epsilon = found.epsilon.transpose(0, 1)
    if target.suffix == ".npz":
        means, deviations = decoded(model, epsilon)
        arrays = {"means": means, "std": deviations, "epsilon": epsilon, "step_size": found.step_size}
        kept = {name: as_array(value) for name, value in arrays.items()}
        others = {"energy_error": errors, "acceptance": acceptance, "index": np.array(index)}
        write_arrays(target, kept | others)
    else:
        at = shown(epsilon.shape[1], steps)
        means = as_array(decoded(model, epsilon[:, at])[0])
        where = "data" if data is not None else split or "test"
        course = Course(
            as_array(x), means, at, errors[:, -1], acceptance, np.array(index), where, found.own, found.num_steps
        )
        exhibit = trajectory_grid(course)
        write_whole(target, lambda file: file.write(exhibit.png))
    typer.echo(target)
