"""Numbers as they are printed."""

from __future__ import annotations

import math

import pytest

from tightbound.report.formatting import brief, count, duration, fixed, percent, plural, significant, with_error


@pytest.mark.parametrize(
    ("value", "error", "printed"),
    [
        (-97.3125, 0.0214, "−97.31 ± 0.02"),
        (-97.3125, 0.0146, "−97.312 ± 0.015"),  # two digits of an error that begins with 1
        (-97.3125, 0.0996, "−97.31 ± 0.10"),
        (-97.3125, 0.096, "−97.31 ± 0.10"),
        (-97.3125, 0.094, "−97.31 ± 0.09"),
        (-1234.5, 23.4, "−1,234 ± 23"),  # never rounded to tens: the zeros would look like digits
        (3.0, 3.0, "3 ± 3"),
        (0.001234, 0.00021, "0.0012 ± 0.0002"),
        (-97.3125, 1e-7, "−97.3125 ± <0.0001"),
        (-97.3125, None, "−97.31"),
        (-97.3125, 0.0, "−97.31"),
        (-97.3125, math.nan, "−97.31"),
        (-math.inf, 0.1, "not finite"),
    ],
)
def test_a_number_with_its_error(value: float, error: float | None, printed: str) -> None:
    assert with_error(value, error) == printed


def test_fixed() -> None:
    assert fixed(-1234.567) == "−1,234.57"
    assert fixed(-0.001) == "0.00"
    assert fixed(math.nan) == "not finite"


@pytest.mark.parametrize(
    ("value", "printed"), [(0.0123456, "0.0123"), (12345.6, "12,346"), (-9.87654, "−9.88"), (0.0, "0"), (41.3, "41.3")]
)
def test_significant(value: float, printed: str) -> None:
    assert significant(value) == printed


@pytest.mark.parametrize(("value", "printed"), [(0.0012, "0.12 %"), (0.5, "50 %"), (0.0, "0 %"), (1.0, "100 %")])
def test_percent(value: float, printed: str) -> None:
    assert percent(value) == printed


@pytest.mark.parametrize(
    ("seconds", "printed"), [(1.25, "1.2 s"), (59.7, "60 s"), (75.0, "1 min 15 s"), (3600.0, "1 h 0 min")]
)
def test_duration(seconds: float, printed: str) -> None:
    assert duration(seconds) == printed


def test_counts() -> None:
    assert count(10_000) == "10,000"
    assert plural(1, "image") == "1 image"
    assert plural(10_000, "image") == "10,000 images"


def test_brief_keeps_whole_clauses() -> None:
    long = "rgb, levels pixels, a continuous density on levels that are not dequantized: comparable between such only"
    assert brief(long) == "rgb, levels pixels"
    assert brief("digits, binarized at random (seed 0)") == "digits, binarized at random (seed 0)"
    assert brief("a word and another", 12) == "a word and…"
    assert brief("a (b, c), d", 8) == "a (b, c)"
    assert brief("a (b, c), d", 7) == "a (b,…"
