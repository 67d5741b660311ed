"""The table and the lines of a probe: every layer under its name, accuracies with their errors."""

from __future__ import annotations

from tightbound.report.probes import probe_headlines, probe_table


def row(*accuracies: float) -> dict:
    layers = [
        {"layer": i, "features": 10 * i, "accuracy": a, "accuracy_error": 0.0123, "converged": i != 2, "iterations": 9}
        for i, a in enumerate(accuracies, start=1)
    ]
    if len(layers) > 1:
        layers[-1] |= {"layer": "all", "features": 1234}
    return {
        "method": "probe",
        "split": "test",
        "images": 300,
        "layers": layers,
        "majority_accuracy": 0.1,
        "probe": {"classes": 7},
        "sentence": "labels read off latents",
    }


def test_a_ladder_has_a_row_for_each_layer_and_for_all() -> None:
    table = probe_table(row(0.5, 0.25, 0.81234))
    assert table.title == "Linear probe, 300 test images"
    assert table.rows == (
        ("Layer 1 (bottom)", "10", "50.0 % ± 1.2 %", "yes"),
        ("Layer 2 (top)", "20", "25.0 % ± 1.2 %", "no"),
        ("All 2 layers", "1,234", "81.2 % ± 1.2 %", "yes"),
        ("Most frequent class, always", "0", "10.0 %", "–"),
    )
    assert table.note == "Labels read off latents. 7 classes; the error is that of another test set."
    lines = probe_headlines(row(0.5, 0.25, 0.81234))
    assert [line.name for line in lines] == ["Probe", "Layer 1 (bottom)", "Layer 2 (top)"]
    assert (lines[0].value, lines[0].note) == (
        "81.2 % ± 1.2 %",
        "1,234 features; 10.0 % by always guessing one class",
    )


def test_one_layer_needs_no_name() -> None:
    assert [cells[0] for cells in probe_table(row(0.5)).rows] == ["The latents", "Most frequent class, always"]
    assert [line.name for line in probe_headlines(row(0.5))] == ["Probe"]
