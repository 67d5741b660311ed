"""The first paragraph: what was trained on what, what the number is, what to watch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tightbound.report.formatting import plural, with_error
from tightbound.report.run_folder import Row, Run
from tightbound.report.tables import quantity
from tightbound.report.warnings import Finding

_NAMES = {"vae": "VAE", "bernoulli": "Bernoulli", "gaussian": "Gaussian"}


def recipe_of(run: Run) -> Row:
    """The recipe with every default filled in, or empty."""
    return _section(run.resolved, "recipe")


def run_name(run: Run) -> str:
    """The recipe's name, or the folder's."""
    name = recipe_of(run).get("name")
    return str(name) if name else run.folder.resolve().name


def summary(run: Run, found: Sequence[Finding]) -> str:
    """Plain sentences of whatever is known."""
    sentences = [_what(run), _result(run), _watch(found)]
    return " ".join(sentence for sentence in sentences if sentence)


def _what(run: Run) -> str:
    recipe = recipe_of(run)
    model, data = _section(recipe, "model"), _section(recipe, "data")
    traits = []
    if model.get("latent_dim"):
        traits.append(plural(int(model["latent_dim"]), "latent unit"))
    likelihood = _section(model, "likelihood").get("kind")
    if likelihood and likelihood != "auto":
        traits.append(f"a {_NAMES.get(likelihood, str(likelihood).replace('_', ' '))} likelihood")
    if run.resolved.get("parameters"):
        traits.append(plural(int(run.resolved["parameters"]), "parameter"))
    kind = _NAMES.get(model.get("kind", "model"), str(model.get("kind", "model")).replace("_", " "))
    having = f" with {_listed(traits)}" if traits else ""
    trained = f"trained{_length(run.metrics)}" + (f" on {Path(data['name']).name}" if data.get("name") else "")
    return f"A {kind}{having}, {trained}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _section(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = of.get(key)
    return value if isinstance(value, Mapping) else {}


def _length(metrics: Sequence[Row]) -> str:
    steps = max((int(row.get("step") or 0) for row in metrics), default=0)
    epochs = max((float(row.get("epoch") or 0) for row in metrics), default=0.0)
    if not steps and not epochs:
        return ""
    if not epochs:
        return f" for {plural(steps, 'step')}"
    length = f"{epochs:.3g} epoch{'' if epochs == 1 else 's'} ({plural(steps, 'step')})"
    return f" for {length}"


def _result(run: Run) -> str:
    main = run.main
    if main is None:
        return "It has not been evaluated yet: the curves are all there is."
    row = main.row
    where = plural(row["images"], f"{row.get('split', '')} image".strip()) if row.get("images") else "the images"
    number = ""
    if row.get("log_likelihood") is not None:
        value = with_error(row["log_likelihood"], row.get("standard_error"))
        number = f"Mean {quantity(row)} over {where}: {value} nats per image."
    sentence = str(row.get("sentence") or "").strip()
    if sentence:
        sentence = sentence[0].upper() + sentence[1:].rstrip(".") + "."
    return f"{number} {sentence}".strip()


def _watch(found: Sequence[Finding]) -> str:
    warnings = sum(finding.level == "warning" for finding in found)
    return f"See the {'warning' if warnings == 1 else f'{warnings} warnings'} below." if warnings else ""
