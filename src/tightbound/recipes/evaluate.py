"""Evaluations of runs, and the images that commands on a run look at."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tightbound.core import Model
from tightbound.data import DataSettings, Split, data_of, split_of
from tightbound.errors import DataError, RecipeError
from tightbound.evaluation import Estimate, Probed
from tightbound.recipes.evaluation import Progress, Say, needs_training_images, shares_images
from tightbound.recipes.facts import DataFacts, check_likelihood
from tightbound.recipes.run import Run
from tightbound.recipes.sections import read_component
from tightbound.registry import Factory, kinds
from tightbound.training import ALONE, Processes, resolve_device

SPLITS = ("train", "validation", "test")


def read_method(given: Mapping[str, Any]) -> Factory:
    """An evaluation's settings, such as ``{"method": "importance", "samples": 5000}``, validated.

    Raises:
        RecipeError: unknown method or key, wrong type or range.
    """
    return read_component("evaluation", "evaluation", given, Factory("evaluation", "importance"), kind_key="method")


def open_images(run: Run, data: Any = None, split: str | None = None) -> Split:
    """Images to run a trained model on, prepared as those that it was trained on.

    Args:
        run: the run.
        data: None for the run's own data; else a name, a folder, a file, an array, a tensor, a Dataset or a DataLoader.
        split: of the data; None is ``test`` of the run's own, and of others the test images or, if they have none, all.

    Raises:
        DataError: they are missing, bad, or not of the model's shape, or there is no such split.
    """
    return _open(run, data, split)[0]


def _open(run: Run, data: Any, split: str | None) -> tuple[Split, str]:
    """The images of ``open_images``, and what they are called."""
    if split is not None and split not in SPLITS:
        raise RecipeError(f"split: got {split!r}; expected one of {', '.join(SPLITS)}")
    if data is None:
        found = _split(run.data(), split or "test", run.name)
        name = run.resolved["data"].get("name", run.recipe.data.name)
    else:
        settings = _settings(run, data)
        name = str(data) if isinstance(data, str | Path) else type(data).__name__
        if name in kinds("data"):  # which edition it is, only the loaded set knows
            data = data_of(data, settings)
            name = data.name
        found = split_of(data, settings) if split is None else _split(data_of(data, settings), split, name)
    if tuple(found.image_shape) != run.facts.image_shape:
        raise DataError(
            f"{run.name} is a model of {_shape(run.facts.image_shape)} images; got {_shape(found.image_shape)}",
            hint="channels × height × width; a folder is resized as the run's data.size says",
        )
    return found, name


def evaluate_run(
    run: Run,
    settings: Factory,
    *,
    data: Any = None,
    device: str = "auto",
    model: Model | None = None,
    progress: Progress = None,
    say: Say = None,
    processes: Processes = ALONE,
) -> Estimate | Probed:
    """Evaluates a run; what it is and of what is filled in. Nothing is written.

    Args:
        run: the run.
        settings: from ``read_method``.
        data: other images than the run's own, see ``open_images``.
        device: where.
        model: the run's model, if it is loaded already.
        progress: called with images done and images in all.
        say: told before it begins how long it will take, by a method that knows.
        processes: that share the images, each with the same run and arguments; all get the result.

    Raises:
        RecipeError: a method whose images cannot be shared; see also the method.
        DataError: see ``open_images``.
    """
    options = settings.options
    if processes.are_several and not shares_images(settings):
        hint = "evaluate in one process: leave out --processes, or the launcher"
        raise RecipeError(f"method: got {settings.kind}, whose images cannot be shared between processes", hint=hint)
    parts, images = processes.in_turn(lambda: _parts(run, settings, data))
    split = parts["source"]
    checkpoint = run.checkpoint(options["checkpoint"])
    model = processes.each(lambda: _model(run, checkpoint, device, processes)) if model is None else model
    gray = run.recipe.gray_protocol and split.kind != "binary"
    measure, labels = check_likelihood(model.likelihood, DataFacts.of(split), gray)
    there = next(model.parameters()).device
    estimate = settings()(
        model,
        **{name: part.to(there) for name, part in parts.items()},
        is_likelihood=measure != "not a likelihood",
        progress=progress,
        say=say,
        **({"processes": processes} if processes.are_several else {}),
    )
    if isinstance(estimate, Estimate) and estimate.precision is not None:
        labels += (f"network bodies in {estimate.precision}",)
    name = "data" if data is not None else options["split"]
    return dataclasses.replace(
        estimate,
        threads=torch.get_num_threads() * processes.world_size,
        split=name,
        checkpoint=checkpoint,
        protocol=_protocol(run, images, data, split, options["seed"], labels),
    )


def _parts(run: Run, settings: Factory, data: Any) -> tuple[dict[str, Split], str]:
    """What a method is handed, ``source`` being what is evaluated, and the name of the images."""
    split = settings.options["split"]
    if needs_training_images(settings):
        return _fit_and_score(run, data, split)
    source, name = _open(run, data, split if data is None else None)
    return {"source": source}, name


def _model(run: Run, checkpoint: str, device: str, processes: Processes) -> Model:
    if processes.are_several:
        processes.device(resolve_device(device))  # one for each; cuda is its own from here on
    return run.model(checkpoint, device)


def _fit_and_score(run: Run, data: Any, split: str) -> tuple[dict[str, Split], str]:
    """Training images, others to score what is fitted to them, and their name: of the run's own data or of other.

    Raises:
        RecipeError: they are the same images.
        DataError: see ``open_images``.
    """
    if data is None:
        run = dataclasses.replace(run, loaded=run.data())  # read once
        if split == "test" and run.recipe.data.train_split == "test":
            raise RecipeError(
                f"split: got 'test'; {run.name} was trained on these images (data.train_split=test)",
                hint="a probe needs others to be scored on: split=validation, or other data",
            )
    part = split if data is None else "test"  # with its test images held out, where other data name none
    source, name = _open(run, data, part)
    return {"train": open_images(run, data, "train"), "source": source}, name


def _split(data: Any, name: str, where: str) -> Split:
    found = getattr(data, name)
    if found is None:
        have = ", ".join(part for part in SPLITS if getattr(data, part) is not None)
        raise DataError(f"{where} has no {name} images", hint=f"it has {have}")
    return found


def _settings(run: Run, data: Any) -> DataSettings:
    """The run's data settings for other data: the same preparation, whatever the other data's habit."""
    kept = run.recipe.data
    if isinstance(data, str) and data in kinds("data"):
        if data != kept.name:  # sizes and shares were chosen for the run's own images
            kept = dataclasses.replace(kept, size=None, validation=None, train_limit=None, partial=False)
        kept = dataclasses.replace(kept, levels=None)
        return kept if kept.binarize == "auto" else dataclasses.replace(kept, binarize=_binarize(run))
    if str(data) != kept.name:  # shares were chosen for the run's own images
        kept = dataclasses.replace(kept, validation=None, train_limit=None)
    # Binarized once, the run's own images have lost their gray levels.
    levels = kept.levels if _binarize(run) == "static" else run.facts.levels
    changed = dataclasses.replace(kept, binarize=_binarize(run), levels=levels, partial=False)
    return _as_shaped(changed, run.facts.image_shape) if _is_folder(data) else changed


def _as_shaped(settings: DataSettings, image_shape: tuple[int, int, int]) -> DataSettings:
    """Settings that bring a folder's images to the size of a model's, and settle gray or color where that is open."""
    channels, height, width = image_shape
    color = settings.color if settings.color != "auto" else {1: "gray", 3: "rgb"}.get(channels, "auto")
    return dataclasses.replace(settings, size=settings.size or (height, width), color=color)


def _is_folder(data: Any) -> bool:
    return isinstance(data, str | Path) and Path(data).expanduser().is_dir()


def _binarize(run: Run) -> Any:
    return run.resolved["data"].get("binarize", run.recipe.data.binarize)


def _protocol(run: Run, name: str, data: Any, split: Split, seed: int, labels: tuple[str, ...]) -> str:
    """What the images are called and how the pixels were made, in words."""
    ways = {"dynamic": f"binarized at random (seed {seed})", "static": "binarized once", "threshold": "thresholded"}
    kinds_of_pixels = {"levels": f"gray levels 0 to {split.levels}", "binary": "binary pixels"}
    parts = [name, ways.get(split.binarize, kinds_of_pixels.get(split.kind, "continuous pixels"))]
    if _is_folder(data):
        parts.insert(1, f"brought to {_shape(run.facts.image_shape)}")
    if split.dequantize == "uniform":
        parts.append(f"dequantized (seed {seed})")
    return ", ".join([*parts, *labels])


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape))
