"""Tightbound from Python, mirroring the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, overload

import torch

from tightbound.core import Model
from tightbound.evaluation import Estimate, Probed
from tightbound.recipes import build as building
from tightbound.recipes import evaluate as evaluating
from tightbound.recipes.build import Built
from tightbound.recipes.components import load_components
from tightbound.recipes.evaluation import needs_training_images
from tightbound.recipes.facts import DataFacts, DataKind
from tightbound.recipes.model_images import images_for
from tightbound.recipes.recipe import Recipe, load_recipe
from tightbound.recipes.run import Run, open_run, run_of
from tightbound.recipes.train import new_folder, read_data, train_run
from tightbound.training import join

AnyRecipe = str | Path | Mapping[str, Any] | Recipe


def train(
    recipe: AnyRecipe,
    data: Any = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overrides: Iterable[str] = (),
    evaluate: bool = True,
    report: bool = True,
    quiet: bool = False,
    say: Callable[[str], None] = print,
    **sections: Mapping[str, Any],
) -> Run:
    """Trains a recipe, evaluates as it says, writes the report, and returns the run.

    Args:
        recipe: a shipped name, the path of a YAML file, its content as a mapping, or a ``Recipe``.
        data: in place of the recipe's data: an array, a tensor, a Dataset, a DataLoader, a folder or a name.
        out: the run folder; None for ``runs/<recipe>-<time>-seed<n>``.
        resume: go on with the run in ``out``.
        overrides: such as ``"training.epochs=10"``.
        evaluate: whether the recipe's evaluations are made.
        report: whether report.html is written into the run folder.
        quiet: no progress.
        say: takes sentences about what was chosen and prepared.
        sections: what to change in the recipe's sections: ``training={"epochs": 10}``.

    In a script that ``torchrun`` has started several times, all train one model. The first process evaluates and
    reports; the others return when training is done, and end where the first raises an error. The run that they get
    says what was trained (``recipe``, ``facts``, ``resolved``); what else a run has is read from its folder, which they
    need not see.

    Example:
        >>> import tightbound as tb
        >>> run = tb.train("digits-vae", training={"epochs": 5})    # doctest: +SKIP
        >>> run.evaluations()[0]["log_likelihood"]                  # doctest: +SKIP

    Raises:
        RecipeError, DataError, RunError, TrainingError: what is wrong, and what to do about it.
    """
    loaded = _load(recipe, overrides, sections)
    if data is not None:
        name = str(data) if isinstance(data, str | Path) else "images in memory"
        loaded = dataclasses.replace(loaded, data=dataclasses.replace(loaded.data, name=name), source={})
    processes = join()
    said = say if not quiet else lambda text: None
    with processes.last_words():
        folder = processes.first(lambda: new_folder(loaded) if out is None else Path(out))
        run = train_run(loaded, data, folder=folder, resume=resume, say=said, quiet=quiet)
        resolved = processes.first(lambda: run and run.resolved)
    if run is None:
        return run_of(folder, resolved or {}, name=folder.name, writable=False)
    for settings in loaded.evaluation if evaluate else ():
        run.add_evaluation(evaluating.evaluate_run(run, settings))
    if report:
        from tightbound.commands.report import report_run  # lazy: it loads matplotlib

        report_run(run)
    return run


def load(run: str | Path, checkpoint: str = "auto", device: str = "cpu") -> Model:
    """The trained model of a run folder (or a zip of one), in eval mode.

    Args:
        run: the folder or zip.
        checkpoint: ``last``; ``best`` on validation images; ``auto`` is best where there is one.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Raises:
        RunError: it is missing or damaged.
    """
    return open_run(run).model(checkpoint, device)


@overload
def evaluate(
    model: Run | str | Path,
    x: Any = None,
    *,
    method: Literal["probe"],
    num_samples: int | None = None,
    **options: Any,
) -> Probed: ...


@overload
def evaluate(
    model: Model | Built | Run | str | Path,
    x: Any = None,
    method: str = "importance",
    num_samples: int | None = None,
    *,
    gray_protocol: bool = False,
    **options: Any,
) -> Estimate: ...


def evaluate(
    model: Model | Built | Run | str | Path,
    x: Any = None,
    method: str = "importance",
    num_samples: int | None = None,
    *,
    gray_protocol: bool = False,
    **options: Any,
) -> Estimate | Probed:
    """Bounds log p(x) of images, with the uncertainty of the number; or probes the latents for labels.

    Args:
        model: a model, what ``build`` gives, a run, or the path of one.
        x: images: floats (N, C, H, W) in [0, 1], or anything that ``train`` takes as data; None for the run's own.
            They must be on the grid of the model's likelihood; a run brings other images there as it did its own.
        method: ``importance``, ``annealed`` or ``bidirectional``; or ``probe``, of a run whose images have labels.
        num_samples: K an image; of annealing, chains; of a probe, for means that have no closed form.
        gray_protocol: of a model alone: gray levels are scored under a Bernoulli, as some published protocols do;
            such numbers are labeled "not a likelihood". A run and what ``build`` gives know this by themselves.
        options: of the method, such as ``seed=1``, ``limit=100`` or ``temperatures=1000``.

    Raises:
        RecipeError, DataError: a wrong method, option or image.
    """
    given = {"method": method, **options} | ({} if num_samples is None else {"samples": num_samples})
    if not isinstance(model, Model | Built):
        run = model if isinstance(model, Run) else open_run(model)
        return evaluating.evaluate_run(run, evaluating.read_method(given), data=x)
    if x is None:
        raise TypeError("evaluate(model, x): a model alone has no images; give x, or a run")
    load_components()
    settings = evaluating.read_method(given)
    if needs_training_images(settings):
        raise TypeError(
            f"evaluate(run, method={method!r}): a model alone has no training images; give a run, or call "
            "evaluation.linear_probe(model, train, x) with splits that have labels"
        )
    if isinstance(model, Built):
        model, gray_protocol = model.model, model.recipe.gray_protocol
    split, measure = images_for(model, x, gray_protocol)
    device = next(model.parameters(), torch.empty(0)).device
    return settings()(model, split.to(device), is_likelihood=measure != "not a likelihood")


def build(
    recipe: AnyRecipe,
    *,
    image_shape: tuple[int, int, int] | None = None,
    data_kind: DataKind = "binary",
    levels: int | None = None,
    overrides: Iterable[str] = (),
    **sections: Mapping[str, Any],
) -> Built:
    """The untrained model and objective of a recipe.

    Args:
        recipe: as in ``train``.
        image_shape: (C, H, W); None reads the recipe's data and takes theirs, with the kind and the levels.
        data_kind: what the pixels are: ``binary``, ``levels`` or ``continuous``.
        levels: the largest gray level, for ``levels``.
        overrides: such as ``"model.latent_dim=2"``.
        sections: what to change in the recipe's sections.

    Raises:
        RecipeError: components that do not go together, or a likelihood that is none of these data.
    """
    loaded = _load(recipe, overrides, sections)
    facts = DataFacts.of(read_data(loaded).train) if image_shape is None else DataFacts(image_shape, data_kind, levels)
    return building.build(loaded, facts)


def _load(recipe: AnyRecipe, overrides: Iterable[str], sections: Mapping[str, Any]) -> Recipe:
    return load_recipe(recipe, [*overrides, *([dict(sections)] if sections else [])])
