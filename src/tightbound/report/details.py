"""What made the run: everything of resolved.json but the recipe, as names and values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tightbound.report.run_folder import Run

Group = tuple[str, list[tuple[str, str]]]


def detail_groups(run: Run) -> list[Group]:
    """Headings with name and value pairs; plain values come first, under "Run"."""
    content = {key: value for key, value in run.resolved.items() if key != "recipe"}  # shown as recipe.yaml
    plain = [(_words(key), _show(value)) for key, value in content.items() if not isinstance(value, Mapping)]
    groups = [("Run", plain)] + [
        (_words(key), list(_flat(value))) for key, value in content.items() if isinstance(value, Mapping)
    ]
    return [(heading, pairs) for heading, pairs in groups if pairs]


def _flat(content: Mapping[str, Any], path: str = "") -> list[tuple[str, str]]:
    pairs = []
    for key, value in content.items():
        name = f"{path}{key}"
        pairs += _flat(value, f"{name}.") if isinstance(value, Mapping) else [(name, _show(value))]
    return pairs


def _words(key: str) -> str:
    text = str(key).replace("_", " ")
    return text[:1].upper() + text[1:]


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_show(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else str(value)
