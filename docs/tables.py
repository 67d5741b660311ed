"""Writes docs/components.md from the registry: `make docs`. A test keeps the committed file up to date."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from tightbound.core import Step
from tightbound.errors import RecipeError
from tightbound.recipes.build import build
from tightbound.recipes.components import load_components
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.recipes.sections import plain
from tightbound.registry import find, kinds
from tightbound.training import TrainingStep

PAGE = Path(__file__).parent / "components.md"
SHAPE = (1, 8, 8)
FAMILIES = ("encoder", "decoder", "posterior", "prior", "likelihood", "objective")
# Variants of a component that ask more of the rest than its defaults do.
VARIANTS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("decoder", "mlp, batch normalization"): {"kind": "mlp", "normalization": "batch"},
    ("posterior", "flow, planar"): {"kind": "flow", "flows": [{"kind": "planar"}]},
    ("likelihood", "gaussian, beta_nll"): {"kind": "gaussian", "noise": "imagewise", "beta_nll": 0.5},
    ("objective", "elbo, kl: analytic"): {"kind": "elbo", "kl": "analytic"},
    ("objective", "elbo, free bits per unit"): {"kind": "elbo", "free_bits": 0.1, "free_bits_per": "unit"},
}
# Fewer than the default, as nothing here depends on how many: a translation leaves one of three latents to the image.
SMALL: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("prior", "vamp"): {"components": 20},
    ("decoder", "spatial_transformer"): {"warp": "translation"},
}
DATA_KIND = {
    "bernoulli": "binary",
    "binomial": "levels",
    "discretized_logistic": "levels",
    "discretized_logistic_mixture": "levels",
}


def choices(family: str) -> list[str]:
    """The kinds of a family and the variants of them."""
    return kinds(family) + [name for variant_family, name in VARIANTS if variant_family == family]


def pairs() -> Iterator[tuple[tuple[str, str], tuple[str, str]]]:
    """Every pair of choices from two families."""
    load_components()
    for left, right in itertools.combinations(FAMILIES, 2):
        yield from itertools.product(((left, a) for a in choices(left)), ((right, b) for b in choices(right)))


def refusal(*chosen: tuple[str, str]) -> str | None:
    """Builds these components, the rest on defaults, and takes two steps; None, or the reason of a refusal."""
    model: dict[str, Any] = {"latent_dim": 3, "likelihood": "bernoulli"}
    objective: Mapping[str, Any] = {"kind": "elbo"}
    for family, name in chosen:
        value = VARIANTS.get((family, name), {"kind": name})
        if family == "objective":
            objective = value
        else:
            model[family] = {**value, **SMALL.get((family, name), {})}
    likelihood = dict(chosen).get("likelihood", "bernoulli")
    kind = DATA_KIND.get(likelihood, "continuous")
    levels = 16 if kind == "levels" else None
    if levels:
        model["likelihood"] = {"kind": likelihood, "levels": levels}
    facts = DataFacts(SHAPE, kind, levels)  # pyright: ignore[reportArgumentType]
    try:
        built = build(load_recipe({"name": "pair", "model": model, "objective": dict(objective)}), facts)
    except RecipeError as error:
        return error.message
    take_two_steps(built.model.double(), built.objective, levels or 1)
    return None


def take_two_steps(model: Any, objective: Any, levels: int) -> None:
    """Two optimizer steps on random images; a loss that is not finite raises."""
    generator = torch.Generator().manual_seed(0)
    x = (torch.rand(4, *SHAPE, generator=generator, dtype=torch.float64) * levels).round() / levels
    step = TrainingStep(model, objective)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for done in range(2):
        noise = torch.randn(objective.num_samples, 4, model.noise_size, generator=generator, dtype=torch.float64)
        position = Step(torch.tensor(done), torch.tensor(0.1 * done))
        loss = step(x, noise, position).value
        if not loss.isfinite():
            raise AssertionError(f"loss {loss.item()} at step {done}")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def page() -> str:
    """The page's text."""
    load_components()
    lines = ["# Components", "", "Made by `make docs` from the code; do not edit. Every kind is a key of a recipe.", ""]
    for family in ("model", *FAMILIES, "flow", "warm_up", "optimizer", "schedule", "evaluation"):
        lines += [f"## {family}", "", "| kind | what it is | keys and defaults |", "|---|---|---|"]
        for kind in kinds(family):
            component = find(family, kind)
            keys = ", ".join(f"`{o.name}: {show(o.default)}`" for o in component.options.values()) or "none"
            lines.append(f"| `{kind}` | {escape(component.summary)} | {escape(keys)} |")
        lines.append("")
    lines += [
        "## What goes together",
        "",
        "Every pair of components, the rest on their defaults, is built and takes two steps in the tests, or is "
        "refused with a reason before any work. ✓ trains.",
        "",
    ]
    reasons: list[str] = []
    for left, right in (
        ("decoder", "objective"),
        ("posterior", "objective"),
        ("prior", "objective"),
        ("likelihood", "objective"),
    ):
        lines += matrix(left, right, reasons)
    lines += ["All other pairs train." if others_train() else "Not all other pairs train: run the tests.", ""]
    lines += [f"{number}. {reason}" for number, reason in enumerate(reasons, 1)]
    return "\n".join(lines).rstrip() + "\n"


def matrix(left: str, right: str, reasons: list[str]) -> list[str]:
    """A table of two families; refusals are numbered into ``reasons``."""
    columns = choices(right)
    lines = [f"| {left} \\ {right} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in choices(left):
        cells = []
        for column in columns:
            reason = refusal((left, row), (right, column))
            if reason is not None and reason not in reasons:
                reasons.append(reason)
            cells.append("✓" if reason is None else f"refused ({reasons.index(reason) + 1})")
        lines.append(f"| `{row}` | " + " | ".join(cells) + " |")
    return [*lines, ""]


def others_train() -> bool:
    """Whether every pair that no table shows trains."""
    return all(refusal(a, b) is None for a, b in pairs() if "objective" not in (a[0], b[0]))


def show(value: Any) -> str:
    """A default as a recipe writes it."""
    value = plain(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {show(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(show(v) for v in value) + "]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def escape(text: str) -> str:
    """Text that does not end a table cell."""
    return text.replace("|", "\\|")


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
