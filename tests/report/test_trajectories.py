"""The grid of trajectories: what stands above a column and beside a row."""

from __future__ import annotations

import numpy as np
import pytest

from tightbound.report import trajectory_grid as module
from tightbound.report.trajectory_grid import Course, short, trajectory_grid


@pytest.mark.parametrize(("steps", "head", "caption"), [(3, "3", "of 3 steps."), (2, "flow", "of 2 steps, and where")])
def test_a_flow_after_the_steps_is_no_step(
    monkeypatch: pytest.MonkeyPatch, steps: int, head: str, caption: str
) -> None:
    """Four points: three of two steps, and what the flows make of the last."""
    written: list[str] = []
    monkeypatch.setattr(module, "write", lambda axes, x, y, text, **style: written.append(text))
    rng = np.random.default_rng(0)
    originals, means = rng.random((2, 1, 8, 8)), rng.random((2, 4, 1, 8, 8))
    errors, acceptance = np.array([0.25, 1_234_567.8]), np.array([0.78, 0.0])
    course = Course(originals, means, np.arange(4), errors, acceptance, np.array([5, 7]), "test", True, steps)
    exhibit = trajectory_grid(course)
    assert written == ["x", "error, acceptance", "0", "1", "2", head, "5", "0.25, 0.78", "7", "1.2e6, 0.00"]
    assert caption in exhibit.caption


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (-0.5, "−0.50"),
        (999.0, "999.00"),
        (-23_456.0, "−2.3e4"),
        (9.96e11, "1.0e12"),
        (np.inf, "not finite"),
    ],
)
def test_energy_errors_fit_beside_a_row(error: float, text: str) -> None:
    assert short(error) == text
