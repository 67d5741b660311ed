"""What a recipe needs to know of the data: the likelihood that fits them, and what a number about them is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tightbound.core import Likelihood
from tightbound.errors import RecipeError
from tightbound.recipes.sections import AUTO_LIKELIHOOD, read_component
from tightbound.registry import Factory

DataKind = Literal["binary", "levels", "continuous"]
Measure = Literal["probability", "density", "not a likelihood"]

_FEW_LEVELS = 16


@dataclass(frozen=True)
class DataFacts:
    """The header of a data set, after binarization and dequantization.

    Args:
        image_shape: (C, H, W).
        kind: ``binary`` {0, 1}, ``levels`` integer gray levels, or ``continuous``.
        levels: the largest stored integer (16 for digits, 255 for 8-bit images); None for floats.
    """

    image_shape: tuple[int, int, int]
    kind: DataKind = "binary"
    levels: int | None = None

    @classmethod
    def of(cls, split: Any) -> DataFacts:
        """The facts of a ``data.Split``."""
        return cls(tuple(split.image_shape), split.kind, split.levels)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> DataFacts:
        """What ``to_dict`` gave, read back."""
        channels, height, width = given["image_shape"]
        return cls((int(channels), int(height), int(width)), given["kind"], given["levels"])

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {"image_shape": list(self.image_shape), "kind": self.kind, "levels": self.levels}


def choose_likelihood(facts: DataFacts) -> tuple[Factory, str]:
    """The likelihood for data whose recipe leaves it open, and a sentence why."""
    if facts.kind == "binary":
        given, why = {"kind": "bernoulli"}, "the pixels are binary"
    elif facts.kind == "levels" and facts.levels is not None and facts.levels <= _FEW_LEVELS:
        given = {"kind": "binomial", "levels": facts.levels}
        why = f"the pixels are integers from 0 to {facts.levels}, and it is an exact probability of these"
    else:
        given = {"kind": "gaussian", "learned": True}
        pixels = "8-bit gray or color" if facts.levels else "continuous"
        why = f"the pixels are {pixels}; its noise scale is learned"
    chosen = read_component("model.likelihood", "likelihood", given)
    return chosen, f"likelihood: {chosen.kind}, chosen because {why}"


def with_likelihood(model: Factory, facts: DataFacts) -> tuple[Factory, tuple[str, ...]]:
    """The model with its open likelihood chosen, and the sentences why (none if the recipe names it)."""
    if model.options.get("likelihood") != AUTO_LIKELIHOOD:
        return model, ()
    chosen, why = choose_likelihood(facts)
    return dataclasses.replace(model, options={**model.options, "likelihood": chosen}), (why,)


def check_likelihood(likelihood: Likelihood, facts: DataFacts, gray_protocol: bool) -> tuple[Measure, tuple[str, ...]]:
    """What a number of this likelihood on these data is, and the sentences that label it.

    Raises:
        RecipeError: the likelihood is none of these data.
    """
    if gray_protocol and (likelihood.data_kind != "binary" or facts.kind == "binary"):
        raise RecipeError(
            "gray_protocol: true has no effect here: it is for a Bernoulli on gray pixels",
            hint="leave it out",
        )
    match likelihood.data_kind:
        case "binary":
            return _check_bernoulli(facts, gray_protocol)
        case "levels":
            return _check_levels(likelihood, facts)
        case _:
            return "density", _label_density(facts)


def _check_bernoulli(facts: DataFacts, gray_protocol: bool) -> tuple[Measure, tuple[str, ...]]:
    if facts.kind == "binary":
        return "probability", ()
    if gray_protocol:
        note = "gray levels scored under a Bernoulli, as the published protocol does: not a likelihood"
        return "not a likelihood", (note,)
    pixels = "continuous" if facts.levels is None or facts.kind == "continuous" else f"0 to {facts.levels}"
    raise RecipeError(
        f"model.likelihood: a Bernoulli is a likelihood of binary pixels only; these are {pixels}",
        hint="data.binarize=dynamic (or threshold), another model.likelihood (auto chooses), or gray_protocol=true "
        "for a published protocol, whose numbers are then labeled as no likelihood",
    )


def _check_levels(likelihood: Likelihood, facts: DataFacts) -> tuple[Measure, tuple[str, ...]]:
    levels = 1 if facts.kind == "binary" else facts.levels
    if facts.kind == "continuous" or levels is None:
        raise RecipeError(
            "model.likelihood: it is a probability of integer gray levels; these pixels are continuous",
            hint="use model.likelihood=gaussian, or data.dequantize=none",
        )
    if likelihood.levels not in (None, levels):
        raise RecipeError(
            f"model.likelihood.levels: got {likelihood.levels}; the pixels are integers from 0 to {levels}",
            hint=("data.binarize=none for gray levels, or " if facts.kind == "binary" else "")
            + f"model.likelihood.levels={levels}, or model.likelihood=auto",
        )
    return "probability", ()


def _label_density(facts: DataFacts) -> tuple[str, ...]:
    if facts.kind == "continuous":
        return ()
    pixels = "binary pixels" if facts.kind == "binary" else f"integer pixels (0 to {facts.levels})"
    return (
        f"a continuous density on {pixels} that are not dequantized: comparable between such models only "
        "(data.dequantize=uniform gives a bound on the probability of the integers)",
    )
