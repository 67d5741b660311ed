"""The first paragraph: what was trained on what, what the number is, what to watch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tightbound.report.described import kind_of, model_traits, objective_words, section
from tightbound.report.formatting import plural, with_article, with_error
from tightbound.report.run_folder import Row, Run
from tightbound.report.tables import quantity
from tightbound.report.warnings import Finding


def recipe_of(run: Run) -> Row:
    """The recipe with every default filled in, or empty."""
    return section(run.resolved, "recipe")


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
    model, data = section(recipe, "model"), section(recipe, "data")
    traits = model_traits(model)
    size = f" of {plural(int(run.resolved['parameters']), 'parameter')}" if run.resolved.get("parameters") else ""
    having = f" with {_listed(traits)}" if traits else ""
    objective = objective_words(recipe)
    trained = f"trained{f' by {objective}' if objective else ''}{_length(run.metrics)}"
    on = f" on {Path(data['name']).name}" if data.get("name") else ""
    return f"A{with_article(kind_of(model, 'model'))[1:]}{size}{having}, {trained}{on}."


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


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
