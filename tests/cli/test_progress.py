"""What is said while something takes long; the clock is the test's."""

from __future__ import annotations

import pytest

from tightbound.commands import console, step_cost


@pytest.fixture
def clock(monkeypatch):
    """A list of one number, the time in seconds."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(step_cost.time, "perf_counter", lambda: now[0])
    return now


def seconds_shown(clock, capsys, terminal, monkeypatch):
    monkeypatch.setattr(console.sys.stderr, "isatty", lambda: terminal, raising=False)
    show = console.counter("evaluating")
    shown = []
    for second in range(1, 41):
        clock[0] = 100.0 + second / 2
        show(second, 40)
        if text := capsys.readouterr().err.strip():
            shown.append((second / 2, text))
    return shown


def test_off_a_terminal_the_counter_shows_after_2_s_then_every_10(clock, capsys, monkeypatch):
    assert seconds_shown(clock, capsys, False, monkeypatch) == [
        (2.0, "evaluating: 4 of 40 images, 18 s left"),
        (12.0, "evaluating: 24 of 40 images, 8 s left"),
    ]


def test_on_a_terminal_the_counter_shows_after_2_s_then_every_second(clock, capsys, monkeypatch):
    assert [second for second, _ in seconds_shown(clock, capsys, True, monkeypatch)] == list(range(2, 20))


@pytest.mark.parametrize(("seconds", "taken"), [(0.01, 1 + 3 + 20), (0.5, 1 + 3 + 10), (2.0, 1 + 2), (60.0, 1 + 1)])
def test_the_timed_steps_fit_into_five_seconds_but_one_is_timed_always(clock, seconds, taken):
    steps = []

    def step():
        steps.append(clock[0])
        clock[0] += seconds

    assert step_cost.time_step(step, lambda: None) == pytest.approx(seconds)
    assert len(steps) == taken
