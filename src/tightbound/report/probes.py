"""What linear probes read off the latents, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass

from tightbound.report.formatting import count, plural, significant
from tightbound.report.run_folder import Row
from tightbound.report.tables import Headline


@dataclass(frozen=True)
class ProbeTable:
    """The table of one probe.

    Args:
        title: above it.
        header: names of its columns.
        rows: cells, one row a layer and one for a guess.
        note: what it is, below it.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str


def probe_table(row: Row) -> ProbeTable:
    """A row of evaluation.json as a table: the layers from the bottom, all of them together, and the plain guess."""
    layers = tuple(
        (_name(layer, row), count(layer["features"]), _accuracy(layer), "yes" if layer["converged"] else "no")
        for layer in row["layers"]
    )
    guess = ("Most frequent class, always", "0", _percent(row["majority_accuracy"]), "–")
    title = f"Linear probe, {plural(row['images'], str(row['split']) + ' image')}"
    header = ("Layer", "Features", "Accuracy ± standard error", "Fit converged")
    sentence, classes = str(row["sentence"]), row["probe"]["classes"]
    note = f"{sentence[0].upper()}{sentence[1:]}. {classes} classes; the error is that of another test set."
    return ProbeTable(title, header, (*layers, guess), note)


def probe_headlines(row: Row) -> list[Headline]:
    """The same as lines of text: the accuracy, and of several layers that of each."""
    *single, whole = row["layers"]
    note = f"{plural(whole['features'], 'feature')}; {_percent(row['majority_accuracy'])} by always guessing one class"
    made = [Headline("Probe", _accuracy(whole), "accuracy", note)]
    return made + [
        Headline(_name(layer, row), _accuracy(layer), "accuracy", plural(layer["features"], "feature"))
        for layer in single
    ]


def _name(layer: Row, row: Row) -> str:
    several = len(row["layers"]) > 1
    if layer["layer"] == "all":
        return f"All {len(row['layers']) - 1} layers"
    ends = {1: " (bottom)", len(row["layers"]) - 1: " (top)"} if several else {}
    return f"Layer {layer['layer']}{ends.get(layer['layer'], '')}" if several else "The latents"


def _accuracy(layer: Row) -> str:
    return f"{_percent(layer['accuracy'])} ± {significant(100 * layer['accuracy_error'], 2)} %"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
