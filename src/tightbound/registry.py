"""The registry: a class becomes a recipe key.

    @register("posterior", "diagonal")
    class DiagonalGaussian(Posterior):
        def __init__(self, feature_dim: int, latent_dim: int, *, log_scale_offset: float = 0.0): ...

Arguments before ``*`` are *wiring*: the parent component hands them over, a recipe never names them. Arguments
after ``*`` are the recipe's keys; each has an annotation and an immutable default. A key that holds another component
is annotated ``Annotated[Factory, Nested("posterior")]`` and has a ``Factory`` as default: a callable that takes wiring,
so the parent decides. Anything else is refused here, at registration, not in a user's run.
"""

from __future__ import annotations

import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, Union

from tightbound.errors import RecipeError

WIRING = ("image_shape", "latent_dim", "feature_dim", "out_channels")
# Posteriors: stop_density and gaussian (with a closed-form KL); flows: inverse; priors and posteriors: factorized, over
# units. Of any: batch_dependent, what one image gives depends on the others; follows_target, samples take gradients of
# log p(x, z); of models, starts_by_data: ``training.initialize: auto`` scales all weights by the first images.
CAPABILITIES = frozenset(
    {"stop_density", "gaussian", "inverse", "factorized", "batch_dependent", "follows_target", "starts_by_data"}
)

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Nested:
    """Annotation mark: the value of this key is a component of ``family``."""

    family: str


@dataclass(frozen=True)
class Factory:
    """A component chosen but not yet built: ``factory(image_shape=..., latent_dim=...)`` builds it.

    The caller offers all the wiring it has; the component takes what its constructor names.
    """

    family: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, **wiring: Any) -> Any:
        """Builds the component; raises ``TypeError`` if its parent does not offer wiring that it needs."""
        component = find(self.family, self.kind)
        missing = [name for name in component.wiring if name not in wiring]
        if missing:
            raise TypeError(f"{self.family} {self.kind!r} needs {', '.join(missing)}, which its parent does not give")
        return component.target(**{name: wiring[name] for name in component.wiring}, **self.options)


@dataclass(frozen=True)
class Option:
    """One recipe key of a component."""

    name: str
    annotation: Any
    default: Any
    family: str | None = None  # of the nested component, if this key holds one
    many: bool = False  # a tuple of nested components
    optional: bool = False  # None is allowed


@dataclass(frozen=True)
class Component:
    """A registered class: what it is called, what its parent gives it, what a recipe may say."""

    family: str
    kind: str
    target: Callable[..., Any]
    wiring: tuple[str, ...]
    options: Mapping[str, Option]
    summary: str


_components: dict[tuple[str, str], Component] = {}


def register(family: str, kind: str) -> Callable[[T], T]:
    """Makes the decorated class the ``kind`` of ``family`` in recipes.

    Raises:
        TypeError: if the constructor breaks the rule at the top of this file.
    """

    def decorate(target: T) -> T:
        known = _components.get((family, kind))
        if known is not None and known.target.__qualname__ != target.__qualname__:
            raise TypeError(f"{family} {kind!r} is already registered by {known.target.__qualname__}")
        wiring, options = _read_signature(target)
        summary = (inspect.getdoc(target) or "").split("\n")[0]
        _components[family, kind] = Component(family, kind, target, wiring, options, summary)
        return target

    return decorate


def find(family: str, kind: str) -> Component:
    """The component, or a ``RecipeError`` that names the nearest kind."""
    try:
        return _components[family, kind]
    except KeyError:
        known = kinds(family)
        raise RecipeError(
            f"unknown {family} {kind!r}; known: {', '.join(known)}", hint=nearest_hint(kind, known)
        ) from None


def kinds(family: str) -> list[str]:
    """The registered kinds of a family, sorted."""
    return sorted(kind for known_family, kind in _components if known_family == family)


def families() -> list[str]:
    """The families that have a component, sorted."""
    return sorted({family for family, _ in _components})


def nearest_hint(given: str, known: Iterable[str]) -> str:
    """``did you mean 'iwae'?`` or an empty string."""
    close = difflib.get_close_matches(str(given), list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else ""


def read_options(target: Callable[..., Any]) -> dict[str, Option]:
    """The recipe keys of any callable whose keyword-only arguments follow the registry rule."""
    return _read_signature(target)[1]


def _read_signature(target: Callable[..., Any]) -> tuple[tuple[str, ...], dict[str, Option]]:
    function = target.__init__ if isinstance(target, type) else target
    hints = typing.get_type_hints(function, include_extras=True)
    wiring: list[str] = []
    options: dict[str, Option] = {}
    for name, parameter in inspect.signature(target).parameters.items():
        where = f"{target.__qualname__}({name})"
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            raise TypeError(f"{where}: *args and **kwargs hide recipe keys; name each argument")
        if parameter.kind is not parameter.KEYWORD_ONLY:
            if name not in WIRING:
                raise TypeError(f"{where}: an argument before * must be wiring ({', '.join(WIRING)})")
            wiring.append(name)
            continue
        if name not in hints:
            raise TypeError(f"{where}: a recipe key needs an annotation")
        if parameter.default is parameter.empty:
            raise TypeError(f"{where}: a recipe key needs a default")
        options[name] = _read_option(where, name, hints[name], parameter.default)
    return tuple(wiring), options


def _read_option(where: str, name: str, annotation: Any, default: Any) -> Option:
    inner, optional = _strip_optional(annotation)
    many = typing.get_origin(inner) is tuple and any(_nested(a) for a in typing.get_args(inner) if a is not ...)
    nested = _nested(typing.get_args(inner)[0] if many else inner)
    if nested is not None:
        allowed = (tuple,) if many else ((Factory, type(None)) if optional else (Factory,))
        if not isinstance(default, allowed):
            raise TypeError(f"{where}: the default of a nested component must be a Factory")
        return Option(name, annotation, default, nested.family, many, optional)
    if not _is_plain(inner):
        raise TypeError(f"{where}: a recipe key is bool, int, float, str, Literal, a tuple of these, or a component")
    if not _is_immutable(default):
        raise TypeError(f"{where}: the default {default!r} is mutable")
    return Option(name, annotation, default, optional=optional)


def _strip_optional(annotation: Any) -> tuple[Any, bool]:
    if typing.get_origin(annotation) in (Union, types.UnionType):
        parts = [a for a in typing.get_args(annotation) if a is not type(None)]
        if len(parts) == 1:
            return parts[0], True
    return annotation, False


def _nested(annotation: Any) -> Nested | None:
    if typing.get_origin(annotation) is Annotated:
        return next((m for m in annotation.__metadata__ if isinstance(m, Nested)), None)
    return None


def _is_plain(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _is_plain(typing.get_args(annotation)[0])
    if origin is Literal:
        return True
    if origin is tuple:
        return all(a is ... or _is_plain(a) for a in typing.get_args(annotation))
    if origin in (Union, types.UnionType):
        return all(a is type(None) or _is_plain(a) for a in typing.get_args(annotation))
    return annotation in (bool, int, float, str)


def _is_immutable(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(_is_immutable(item) for item in value)
    return value is None or isinstance(value, bool | int | float | str)
