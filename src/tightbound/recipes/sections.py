"""Sections of a recipe against the registry: every default filled in, every error with its path."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from tightbound.errors import RecipeError
from tightbound.recipes.values import read_value, show
from tightbound.registry import Factory, Option, find, kinds, nearest_hint, read_options

AUTO_LIKELIHOOD = Factory("likelihood", "auto")

S = TypeVar("S")


def read_component(
    path: str, family: str, given: Any, default: Factory | None = None, *, kind_key: str = "kind"
) -> Factory:
    """The component that a recipe names, with every default filled in.

    A bare string is its kind. Without a kind it is the default's, or the family's only one. Where the kind is the
    default's, what is not given is taken from the default. A likelihood left open, or ``auto``, stays so until the
    data are known.

    Args:
        path: of the section, for errors: ``model.encoder``.
        family: such as ``encoder``.
        given: what the recipe says, None for nothing.
        default: what stands where the recipe says nothing.
        kind_key: the key that names the kind.

    Raises:
        RecipeError: unknown kind or key, wrong type or range.
    """
    if given is None and family == AUTO_LIKELIHOOD.family:
        return AUTO_LIKELIHOOD
    given = {} if given is None else {kind_key: given} if isinstance(given, str) else given
    if not isinstance(given, Mapping):
        raise RecipeError(f"{path}: got {show(given)}; expected the kind of {family}, or a mapping with its keys")
    kind = _read_kind(path, family, given, default, kind_key)
    below = default.options if default is not None and default.kind == kind else {}
    keys = {key: value for key, value in given.items() if key != kind_key}
    if (family, kind) == (AUTO_LIKELIHOOD.family, AUTO_LIKELIHOOD.kind):
        _check_keys(path, keys, ())
        return AUTO_LIKELIHOOD
    options = find(family, kind).options
    _check_keys(path, keys, options)
    return Factory(family, kind, {name: _read(path, o, keys, below) for name, o in options.items()})


def read_settings(path: str, settings: type[S], given: Any) -> S:
    """A section that is a dataclass of keyword-only fields, such as ``DataSettings``."""
    given = {} if given is None else given
    if not isinstance(given, Mapping):
        raise RecipeError(f"{path}: got {show(given)}; expected a mapping of keys")
    options = read_options(settings)
    _check_keys(path, given, options)
    try:
        return settings(**{name: _read(path, option, given, {}) for name, option in options.items()})
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f"{path}: {error}") from error


def plain(value: Any) -> Any:
    """Components, settings and tuples as the mappings, lists and scalars that a YAML file holds."""
    if isinstance(value, Factory):
        key = "method" if value.family == "evaluation" else "kind"
        return {key: value.kind, **{name: plain(option) for name, option in value.options.items()}}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def _read_kind(path: str, family: str, given: Mapping[str, Any], default: Factory | None, kind_key: str) -> str:
    known = kinds(family) + (["auto"] if family == AUTO_LIKELIHOOD.family else [])
    if kind_key in given:
        kind = given[kind_key]
    elif default is not None:
        kind = default.kind
    else:
        kind = known[0] if len(known) == 1 else None
    if kind not in known:
        hint = nearest_hint(kind, known) if isinstance(kind, str) else ""
        raise RecipeError(f"{path}.{kind_key}: got {show(kind)}; expected one of {', '.join(known)}", hint=hint)
    return kind


def _check_keys(path: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    for key in given:
        if key not in known:
            allowed = f"expected one of {', '.join(known)}" if known else "no keys are expected here"
            raise RecipeError(f"{_at(path, key)}: unknown key; {allowed}", hint=nearest_hint(key, known))


def _read(path: str, option: Option, given: Mapping[str, Any], below: Mapping[str, Any]) -> Any:
    """One key: what the recipe gives, else what the parent's default gives, else the option's own default."""
    default = below.get(option.name, option.default)
    at = _at(path, option.name)
    if option.family is None:
        return read_value(at, option.annotation, given[option.name]) if option.name in given else default
    if option.many:
        return _read_many(at, option.family, given.get(option.name, default))
    if given.get(option.name, default) is None:
        if not option.optional:
            raise RecipeError(f"{at}: got null; expected one of {', '.join(kinds(option.family))}")
        return None
    return read_component(at, option.family, given.get(option.name), default)


def _read_many(path: str, family: str, given: Any) -> tuple[Factory, ...]:
    if not isinstance(given, list | tuple):
        raise RecipeError(f"{path}: got {show(given)}; expected a list, each a {family}")
    return tuple(
        read_component(f"{path}.{index}", family, None, item)
        if isinstance(item, Factory)
        else read_component(f"{path}.{index}", family, item)
        for index, item in enumerate(given)
    )


def _at(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)
