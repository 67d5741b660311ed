"""The registry rule: what a constructor may ask for, and what is refused at registration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from annotated_types import Ge

from tightbound import registry
from tightbound.core import Component
from tightbound.errors import RecipeError
from tightbound.registry import Factory, Nested, find, kinds, nearest_hint, read_options, register


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_components", {})


class Blue:
    """A color. With details."""

    def __init__(self, latent_dim: int, *, shade: Annotated[int, Ge(1)] = 3) -> None:
        self.latent_dim, self.shade = latent_dim, shade


def test_a_component_is_what_its_signature_says() -> None:
    register("color", "blue")(Blue)
    component = find("color", "blue")
    assert component.wiring == ("latent_dim",)
    assert component.summary == "A color. With details."
    assert component.options["shade"].default == 3
    assert kinds("color") == ["blue"]


def test_a_factory_takes_the_wiring_its_class_names() -> None:
    register("color", "blue")(Blue)
    blue = Factory("color", "blue", {"shade": 5})(latent_dim=7, image_shape=(1, 2, 2))
    assert (blue.latent_dim, blue.shade) == (7, 5)
    with pytest.raises(TypeError, match="color 'blue' needs latent_dim, which its parent does not give"):
        Factory("color", "blue")(image_shape=(1, 2, 2))


def test_nested_components() -> None:
    def parent(
        *,
        one: Annotated[Factory, Nested("color")] = Factory("color", "blue"),
        maybe: Annotated[Factory, Nested("color")] | None = None,
        many: tuple[Annotated[Factory, Nested("color")], ...] = (),
    ) -> None: ...

    options = read_options(parent)
    assert {name: option.family for name, option in options.items()} == {
        "one": "color",
        "maybe": "color",
        "many": "color",
    }
    assert [options[name].many for name in ("one", "maybe", "many")] == [False, False, True]
    assert [options[name].optional for name in ("one", "maybe", "many")] == [False, True, False]


def test_plain_values() -> None:
    def target(
        *,
        flag: bool = True,
        rate: float | None = None,
        mode: Literal["a", "b"] = "a",
        sizes: tuple[Annotated[int, Ge(1)], ...] = (1, 2),
    ) -> None: ...

    assert list(read_options(target)) == ["flag", "rate", "mode", "sizes"]


def keywords(**anything: Any) -> None: ...
def positional(width: int, *, a: int = 1) -> None: ...
def bare(*, a=1) -> None: ...  # pyright: ignore[reportMissingParameterType]
def required(*, a: int) -> None: ...
def mutable(*, a: tuple[int, ...] = [1]) -> None: ...  # pyright: ignore
def loose(*, a: dict[str, int] = {}) -> None: ...  # noqa: B006 (what is refused)
def unbuilt(*, a: Annotated[Factory, Nested("color")] = "blue") -> None: ...  # pyright: ignore


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        (keywords, r"\*args and \*\*kwargs hide recipe keys"),
        (positional, r"positional\(width\): an argument before \* must be wiring"),
        (bare, "needs an annotation"),
        (required, "needs a default"),
        (mutable, r"the default \[1\] is mutable"),
        (loose, "a recipe key is bool, int, float, str"),
        (unbuilt, "the default of a nested component must be a Factory"),
    ],
)
def test_anything_else_fails_at_registration(target: Callable[..., Any], reason: str) -> None:
    with pytest.raises(TypeError, match=reason):
        register("color", "red")(target)


def test_a_kind_has_one_owner() -> None:
    register("color", "blue")(Blue)
    register("color", "blue")(Blue)  # a module imported twice is no conflict
    with pytest.raises(TypeError, match="color 'blue' is already registered by Blue"):
        register("color", "blue")(type("Other", (), {"__init__": lambda self: None}))


def test_a_capability_is_one_of_a_closed_set() -> None:
    with pytest.raises(TypeError, match="Misspelled: unknown capability 'gausian'; expected some of batch_dependent"):
        type("Misspelled", (Component,), {"capabilities": frozenset({"gausian"}), "__qualname__": "Misspelled"})


def test_an_unknown_kind_names_the_nearest() -> None:
    register("color", "blue")(Blue)
    with pytest.raises(RecipeError, match=r"unknown color 'bleu'; known: blue\n  hint: did you mean 'blue'\?"):
        find("color", "bleu")
    assert nearest_hint("zzz", ["blue"]) == ""
