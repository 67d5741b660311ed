"""Numbers as people read them: a real minus sign, as many digits as the error allows, the unit beside it."""

from __future__ import annotations

import math
import re
from decimal import Decimal

MINUS = "\u2212"
_MOST_DECIMALS = 4


def fixed(value: float, decimals: int = 2) -> str:
    """``-1234.567`` -> ``−1,234.57``; a value that is not finite is said to be so."""
    if not math.isfinite(value):
        return "not finite"
    text = f"{value:,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def with_error(value: float, error: float | None, decimals: int = 2) -> str:
    """``−97.31 ± 0.02``: the error to one digit (two where the first is 1), the value to the same place.

    Args:
        value: the estimate.
        error: its standard error; None, zero or not finite if there is none, then ``value`` is given to ``decimals``.
        decimals: places of a value without an error.
    """
    if error is None or not math.isfinite(error) or error <= 0 or not math.isfinite(value):
        return fixed(value, decimals)
    smallest = 10.0**-_MOST_DECIMALS
    if error < smallest:
        return f"{fixed(value, _MOST_DECIMALS)} ± <{smallest:.{_MOST_DECIMALS}f}"
    places = min(_decimals_of_error(error), _MOST_DECIMALS)
    return f"{fixed(value, places)} ± {fixed(error, places)}"


def _decimals_of_error(error: float) -> int:
    """Decimal places that leave one significant digit of the error, or two where the first digit is 1."""
    rounded = Decimal(f"{error:.1e}")  # two significant digits first, so that 0.0996 counts as 0.10
    digits = 2 if rounded.as_tuple().digits[0] == 1 else 1
    return max(0, digits - 1 - rounded.adjusted())


def significant(value: float, digits: int = 3) -> str:
    """``0.012345`` -> ``0.0123``; ``12345`` -> ``12,345``: never in scientific notation above 1."""
    if not math.isfinite(value) or value == 0:
        return fixed(value, 0)
    places = digits - 1 - math.floor(math.log10(abs(value)))
    return fixed(value, max(0, places))


def percent(fraction: float) -> str:
    """``0.0012`` -> ``0.12 %``, ``0.5`` -> ``50 %``."""
    if fraction in (0, 1):
        return f"{fraction * 100:.0f} %"
    return f"{significant(100 * fraction, 2)} %"


def count(number: float) -> str:
    """``10000`` -> ``10,000``."""
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """``75`` -> ``1 min 15 s``."""
    if seconds < 60:
        return f"{significant(seconds, 2)} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def plural(number: int, noun: str) -> str:
    """``1 image``, ``10,000 images``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def with_article(noun: str) -> str:
    """``a VAE``, ``an image``: by the first letter."""
    return f"{'an' if noun[:1] in 'aeiou' else 'a'} {noun}"


def brief(text: str, most: int = 60) -> str:
    """The first clauses of a text, as many as fit in ``most`` characters; at least its first words.

    They end at commas, but not at one within parentheses: what is opened is closed, or cut visibly.
    """
    clauses = re.split(r", (?![^()]*\))", text)
    while len(clauses) > 1 and len(", ".join(clauses)) > most:
        clauses.pop()
    short = ", ".join(clauses)
    return short if len(short) <= most else f"{short[: most - 1].rsplit(' ', 1)[0]}…"
