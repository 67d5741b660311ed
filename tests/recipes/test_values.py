"""Values against annotations: strict, with errors that say what is allowed."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le

from tightbound.errors import RecipeError
from tightbound.recipes.values import describe, read_value

Choice = Literal["auto", "analytic"] | bool


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (float, "1e-3", 1e-3),
        (Annotated[float, Gt(0)] | None, "2.5", 2.5),
        (tuple[float, ...], ["1e-3", 2], (1e-3, 2.0)),
        (tuple[int, int] | None, [4, 5], (4, 5)),
        (tuple[tuple[int, ...], ...], [[1], [2, 3]], ((1,), (2, 3))),
        (int | None, None, None),
        (Choice, True, True),
        (Choice, "auto", "auto"),
        (float | Literal["auto"], "auto", "auto"),
        (bool, False, False),
        (str, "1e-3", "1e-3"),
    ],
)
def test_what_is_allowed_is_read(annotation, given, expected):
    value = read_value("key", annotation, given)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("annotation", "given", "message"),
    [
        (int, True, "key: got true; expected a whole number"),
        (int, 3.0, "key: got 3.0; expected a whole number"),
        (int, "3", "key: got '3'; expected a whole number"),
        (int, None, "key: got null; expected a whole number"),
        (bool, 1, "key: got 1; expected true or false"),
        (bool, "yes", "key: got 'yes'; expected true or false"),
        (float, True, "key: got true; expected a number"),
        (float, "fast", "key: got 'fast'; expected a number"),
        (float, float("nan"), "key: got nan; expected a number"),
        (float, "inf", "key: got 'inf'; expected a number"),
        (str, 3, "key: got 3; expected text"),
        (Annotated[int, Ge(1)], 0, "key: got 0; expected a whole number >= 1"),
        (Annotated[float, Gt(0), Le(1)], "1.5", "key: got '1.5'; expected a number > 0 and <= 1"),
        (Annotated[float, Interval(ge=0, lt=1)], 1, "key: got 1; expected a number >= 0 and < 1"),
        (Annotated[int, Ge(0)] | None, -1, "key: got -1; expected a whole number >= 0, or null"),
        (tuple[int, int], [1, 2, 3], "key: got [1, 2, 3]; expected a list of 2: a whole number, a whole number"),
        (tuple[int, ...], 5, "key: got 5; expected a list, each a whole number"),
        (Choice, "analytc", "expected one of auto, analytic, or true or false\n  hint: did you mean 'analytic'?"),
        (Choice, 1, "key: got 1; expected one of auto, analytic, or true or false"),
    ],
)
def test_what_is_not_allowed_is_refused_in_words(annotation, given, message):
    with pytest.raises(RecipeError) as error:
        read_value("key", annotation, given)
    assert message in str(error.value)


def test_ranges_are_described():
    assert describe(tuple[Annotated[int, Ge(1)], ...] | None) == "a list, each a whole number >= 1, or null"
