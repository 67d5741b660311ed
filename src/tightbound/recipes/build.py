"""The only file that joins all parts: a recipe and the shape of the data become a model and an objective."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tightbound.core import Model, Objective
from tightbound.errors import RecipeError
from tightbound.recipes.facts import DataFacts, Measure, check_likelihood, with_likelihood
from tightbound.recipes.recipe import Recipe

_WHAT_IT_MEANS = {
    "gaussian": "q(z|x) and p(z) that are Gaussian",
    "factorized": "q(z|x) and p(z) whose units are independent",
    "stop_density": "a posterior whose density can be evaluated through detached weights",
    "inverse": "a posterior that can be inverted",
}


@dataclass(frozen=True)
class Built:
    """A recipe made real.

    Args:
        recipe: with the likelihood that the data chose, where it was open.
        facts: the data that it was built for.
        model: on the CPU, weights drawn from the recipe's seed.
        objective: what training minimizes.
        measure: what a number of this model on these data is.
        notes: sentences to print: what was chosen and why, and what the numbers are not.
    """

    recipe: Recipe
    facts: DataFacts
    model: Model
    objective: Objective
    measure: Measure
    notes: tuple[str, ...]

    @property
    def num_parameters(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


def build(recipe: Recipe, facts: DataFacts) -> Built:
    """The model and objective of a recipe for data of this shape and kind.

    Global random state is left as it was.

    Raises:
        RecipeError: components that do not go together, or a likelihood that is none of these data; with the reason.
    """
    chosen, notes = with_likelihood(recipe.model, facts)
    recipe = dataclasses.replace(recipe, model=chosen)
    objective = _make("objective", lambda: recipe.objective())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.training.seed)
        model = _make("model", lambda: recipe.model(image_shape=facts.image_shape))
    check_capabilities(recipe, model, objective)
    if "batch_dependent" in model.capabilities and recipe.training.batch_size == 1:
        raise RecipeError(
            "training.batch_size: got 1; batch statistics need at least 2 images",
            hint="use a larger batch, or normalization: weight or group",
        )
    measure, labels = check_likelihood(model.likelihood, facts, recipe.gray_protocol)
    if "batch_dependent" in model.capabilities:
        notes += (
            "batch statistics: training logs are of the training mode, every reported number of the evaluation mode",
        )
    return Built(recipe, facts, model, objective, measure, notes + labels + _without_effect(model))


def _without_effect(model: Model) -> tuple[str, ...]:
    """A note where an encoder is trained and evaluated for nothing."""
    posterior, encoder = getattr(model, "posterior", None), getattr(model, "encoder", None)
    if encoder is None or posterior is None or posterior.amortized:
        return ()
    return ("model.encoder has no effect: this posterior is the same for every image; model.encoder=null spares it",)


def check_capabilities(recipe: Recipe, model: Model, objective: Objective) -> None:
    """Refuses, before any work, an objective that needs what the model cannot do.

    Raises:
        RecipeError: with the capability that is missing and the component that lacks it.
    """
    needs = objective.needs | ({"stop_density"} if objective.stop_density else frozenset())
    for capability in sorted(needs):
        for part in ("posterior", "prior"):
            component = getattr(model, part, None)
            if part == "prior" and (component is None or capability in ("stop_density", "inverse")):
                continue
            if capability not in (model if component is None else component).capabilities:
                kind = recipe.model.options[part].kind if component is not None else recipe.model.kind
                raise RecipeError(
                    f"objective {recipe.objective.kind!r} as configured needs {_WHAT_IT_MEANS[capability]}; "
                    f"{part if component is not None else 'model'} {kind!r} is not",
                    hint=_way_out(recipe, capability, part if component is not None else "model"),
                )
    if objective.separates_samples:
        _check_separate(recipe, model)
    if not objective.uses_surrogate and model.likelihood.has_surrogate:
        likelihood = recipe.model.options.get("likelihood")
        family, part = ("model", recipe.model) if likelihood is None else ("likelihood", likelihood)
        key = "model.missing_half" if likelihood is None else "model.likelihood.beta_nll"
        raise RecipeError(
            f"objective {recipe.objective.kind!r} is a function of the true likelihood; "
            f"{family} {part.kind!r} trains on a surrogate",
            hint=f"use objective=elbo, or leave out {key}",
        )


def _check_separate(recipe: Recipe, model: Model) -> None:
    """Refuses batch statistics over samples: those of an encoder are over images, and do no harm."""
    for name in ("decoder", "prior"):
        part = getattr(model, name, None)
        if part is not None and "batch_dependent" in part.capabilities:
            raise RecipeError(
                f"objective {recipe.objective.kind!r} needs weights of samples that do not depend on each other; "
                f"{name} {recipe.model.options[name].kind!r} has batch statistics over all of them",
                hint="use objective=iwae, or normalization: weight or group there",
            )


def _way_out(recipe: Recipe, capability: str, part: str) -> str:
    """What to change where an objective needs too much."""
    if capability == "stop_density":
        ways = {
            "posterior": "a Gaussian posterior, or flows that have an inverse, such as iaf, without batch statistics",
            "model": "model.dropout=0 and model.normalization=weight or group",
        }
        return f"use objective=elbo or iwae, or {ways[part]}"
    analytic = capability == "gaussian" and recipe.objective.options.get("kl") == "analytic"
    return ("set objective.kl=auto" if analytic else "change the objective's keys") + f", or choose another {part}"


def _make(path: str, factory: Callable[[], Any]) -> Any:
    try:
        return factory()
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{path}: {error}") from error
