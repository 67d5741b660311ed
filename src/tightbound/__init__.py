"""Variational autoencoders with likelihoods you can trust.

    import tightbound as tb

    run = tb.train("digits-vae")
    model = tb.load(run.folder)
    tb.evaluate(model, x, num_samples=5000).log_likelihood

Names are imported when they are first used, so that ``import tightbound`` loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tightbound.api import build, evaluate, load, train
    from tightbound.core import Draw, Likelihood, Model, Objective, Posterior, Prior, Proposal
    from tightbound.data import DataSettings, load_data
    from tightbound.errors import DataError, RecipeError, RunError, TightboundError
    from tightbound.evaluation import Estimate, Probed
    from tightbound.recipes.recipe import Recipe, load_recipe
    from tightbound.recipes.run import Run, open_run
    from tightbound.registry import register

__all__ = [
    "DataError",
    "DataSettings",
    "Draw",
    "Estimate",
    "Likelihood",
    "Model",
    "Objective",
    "Posterior",
    "Prior",
    "Probed",
    "Proposal",
    "Recipe",
    "RecipeError",
    "Run",
    "RunError",
    "TightboundError",
    "build",
    "evaluate",
    "load",
    "load_data",
    "load_recipe",
    "open_run",
    "register",
    "train",
]

_HOMES = {
    "core": ("Draw", "Likelihood", "Model", "Objective", "Posterior", "Prior", "Proposal"),
    "data": ("DataSettings", "load_data"),
    "errors": ("DataError", "RecipeError", "RunError", "TightboundError"),
    "evaluation": ("Estimate", "Probed"),
    "api": ("build", "evaluate", "load", "train"),
    "recipes.recipe": ("Recipe", "load_recipe"),
    "recipes.run": ("Run", "open_run"),
    "registry": ("register",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("tightbound")
    if name not in _HOME_OF:
        raise AttributeError(f"module 'tightbound' has no attribute {name!r}")
    return getattr(importlib.import_module(f"tightbound.{_HOME_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
