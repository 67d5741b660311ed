"""One value of a recipe against its annotation: strict, and with an error that says what is allowed.

The only file that knows pydantic.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Annotated, Any, Literal, Union

import annotated_types
from pydantic import BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from tightbound.errors import RecipeError
from tightbound.registry import nearest_hint

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def read_value(path: str, annotation: Any, value: Any) -> Any:
    """The value as the annotation wants it.

    Bool and int are strict; floats also accept whole numbers and numeric text, because YAML reads ``1e-3`` as text;
    a list becomes a tuple; null is taken only where the annotation allows None.

    Raises:
        RecipeError: ``path: got ...; expected ...``, with the nearest name where names are expected.
    """
    try:
        return _adapter(annotation).validate_python(_as_tuples(value))
    except ValidationError:
        hint = nearest_hint(value, _names(annotation)) if isinstance(value, str) else ""
        raise RecipeError(f"{path}: got {show(value)}; expected {describe(annotation)}", hint=hint) from None


def show(value: Any) -> str:
    """A value as a recipe would write it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(list(value) if isinstance(value, tuple) else value)


def describe(annotation: Any) -> str:
    """What a value may be, in words: ``a whole number >= 1, or null``."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        ranges = " and ".join(filter(None, map(_describe_range, annotation.__metadata__)))
        return f"{describe(arguments[0])} {ranges}".strip()
    if origin is Literal:
        names = ", ".join(name if isinstance(name, str) else show(name) for name in arguments)
        return f"one of {names}" if len(arguments) > 1 else names
    if origin is tuple:
        if arguments[-1] is ...:
            return f"a list, each {describe(arguments[0])}"
        return f"a list of {len(arguments)}: " + ", ".join(map(describe, arguments))
    if origin in (Union, types.UnionType):
        return ", or ".join("null" if part is type(None) else describe(part) for part in arguments)
    return _WORDS[annotation]


def _describe_range(mark: Any) -> str:
    match mark:
        case annotated_types.Ge(bound):
            return f">= {bound}"
        case annotated_types.Gt(bound):
            return f"> {bound}"
        case annotated_types.Le(bound):
            return f"<= {bound}"
        case annotated_types.Lt(bound):
            return f"< {bound}"
        case annotated_types.Interval():
            return " and ".join(_describe_range(part) for part in mark)
        case annotated_types.MinLen(length):
            return f"(at least {length})"
        case annotated_types.MultipleOf(factor):
            return f"that {factor} divides"
        case _:
            return ""


@functools.cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(_with_numeric_text(annotation), config=ConfigDict(strict=True, allow_inf_nan=False))


def _with_numeric_text(annotation: Any) -> Any:
    """The annotation, with every float in it accepting numeric text."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is float:
        return Annotated[float, BeforeValidator(_number)]
    if origin is Annotated:
        return Annotated[(_with_numeric_text(arguments[0]), *annotation.__metadata__)]
    if origin is tuple:
        return tuple[tuple(a if a is ... else _with_numeric_text(a) for a in arguments)]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_with_numeric_text, arguments))]  # noqa: UP007 (built at run time)
    return annotation


def _number(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return float(value) if type(value) is int else value


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, list | tuple) else value


def _names(annotation: Any) -> list[str]:
    if typing.get_origin(annotation) is Literal:
        return [name for name in typing.get_args(annotation) if isinstance(name, str)]
    return [name for part in typing.get_args(annotation) if part is not ... for name in _names(part)]
