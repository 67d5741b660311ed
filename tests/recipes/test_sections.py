"""Sections against a registry of made-up components."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

import pytest
from annotated_types import Ge

from tightbound import registry
from tightbound.errors import RecipeError
from tightbound.recipes.sections import AUTO_LIKELIHOOD, plain, read_component, read_settings
from tightbound.registry import Factory, Nested, register


@pytest.fixture(autouse=True)
def _components() -> Iterator[None]:
    before = dict(registry._components)

    @register("wheel", "plain")
    class Plain:
        def __init__(self, *, spokes: Annotated[int, Ge(3)] = 8, rim: Literal["steel", "wood"] = "steel") -> None: ...

    @register("wheel", "disc")
    class Disc:
        def __init__(self, *, weight: float = 1.0) -> None: ...

    @register("horn", "brass")
    class Horn:
        def __init__(self, *, pitch: float = 440.0) -> None: ...

    @register("cart", "cart")
    class Cart:
        def __init__(
            self,
            *,
            front: Annotated[Factory, Nested("wheel")] = Factory("wheel", "plain", {"spokes": 5}),
            horn: Annotated[Factory, Nested("horn")] | None = None,
            spare: Annotated[Factory, Nested("wheel")] | None = Factory("wheel", "disc"),
            wheels: tuple[Annotated[Factory, Nested("wheel")], ...] = (Factory("wheel", "disc"),),
        ) -> None: ...

    yield
    registry._components.clear()
    registry._components.update(before)


def cart(given=None):
    return read_component("cart", "cart", given)


PLAIN = Factory("wheel", "plain", {"spokes": 5, "rim": "steel"})
DISC = Factory("wheel", "disc", {"weight": 1.0})


def test_nothing_given_is_every_default_filled_in():
    assert cart() == Factory("cart", "cart", {"front": PLAIN, "horn": None, "spare": DISC, "wheels": (DISC,)})


def test_without_a_kind_it_is_the_defaults_and_keeps_what_the_default_sets():
    assert cart({"front": {"rim": "wood"}}).options["front"] == Factory("wheel", "plain", {"spokes": 5, "rim": "wood"})


def test_another_kind_does_not_keep_it():
    assert cart({"front": {"kind": "disc"}}).options["front"] == DISC
    assert cart({"spare": {"kind": "plain"}}).options["spare"].options["spokes"] == 8


def test_a_string_is_the_kind():
    assert cart({"front": "disc"}).options["front"] == DISC
    assert cart("cart") == cart()


def test_without_a_kind_and_a_default_it_is_the_only_kind_of_the_family():
    assert cart({"horn": {"pitch": "4.4e2"}}).options["horn"] == Factory("horn", "brass", {"pitch": 440.0})


def test_null_is_taken_where_it_is_allowed_only():
    assert cart({"spare": None}).options["spare"] is None
    with pytest.raises(RecipeError, match=r"cart\.front: got null; expected one of disc, plain"):
        cart({"front": None})


def test_lists_of_components():
    assert cart({"wheels": ["disc", {"kind": "plain", "spokes": 3}]}).options["wheels"] == (
        DISC,
        Factory("wheel", "plain", {"spokes": 3, "rim": "steel"}),
    )
    assert cart({"wheels": []}).options["wheels"] == ()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"front": "plane"},
            "cart.front.kind: got 'plane'; expected one of disc, plain\n  hint: did you mean 'plain'?",
        ),
        ({"front": {"kind": 3}}, "cart.front.kind: got 3; expected one of disc, plain"),
        ({"front": 3}, "cart.front: got 3; expected the kind of wheel, or a mapping with its keys"),
        (
            {"frnt": {}},
            "cart.frnt: unknown key; expected one of front, horn, spare, wheels\n  hint: did you mean 'front'?",
        ),
        ({"front": {"spoke": 3}}, "cart.front.spoke: unknown key; expected one of spokes, rim"),
        ({"front": {"spokes": 2}}, "cart.front.spokes: got 2; expected a whole number >= 3"),
        ({"front": {"rim": "steal"}}, "cart.front.rim: got 'steal'; expected one of steel, wood\n  hint: did you mean"),
        ({"wheels": "disc"}, "cart.wheels: got 'disc'; expected a list, each a wheel"),
        ({"wheels": [{"kind": "disc"}, {"kind": "disk"}]}, "cart.wheels.1.kind: got 'disk'"),
        ({"wheels": [{}]}, "cart.wheels.0.kind: got null; expected one of disc, plain"),
    ],
)
def test_a_wrong_kind_key_or_value_is_refused_with_its_path(given, message):
    with pytest.raises(RecipeError) as error:
        cart(given)
    assert message in str(error.value)


def test_a_likelihood_left_open_stays_open():
    assert read_component("m.likelihood", "likelihood", None, Factory("likelihood", "brick")) is AUTO_LIKELIHOOD
    assert read_component("m.likelihood", "likelihood", "auto") is AUTO_LIKELIHOOD
    assert plain(AUTO_LIKELIHOOD) == {"kind": "auto"}
    with pytest.raises(RecipeError, match=r"m\.likelihood\.levels: unknown key; no keys are expected here"):
        read_component("m.likelihood", "likelihood", {"kind": "auto", "levels": 3})


@dataclass(frozen=True, kw_only=True)
class Settings:
    epochs: Annotated[int, Ge(1)] = 3
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.epochs == 13:
            raise ValueError("thirteen is unlucky")


def test_settings_are_read_like_components():
    assert read_settings("training", Settings, {"size": [2, 3]}) == Settings(size=(2, 3))
    assert read_settings("training", Settings, None) == Settings()
    assert plain(Settings(size=(2, 3))) == {"epochs": 3, "size": [2, 3]}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"epoch": 3}, "training.epoch: unknown key; expected one of epochs, size\n  hint: did you mean 'epochs'?"),
        ({"epochs": "many"}, "training.epochs: got 'many'; expected a whole number >= 1"),
        ({"epochs": 13}, "training: thirteen is unlucky"),
        ([1], "training: got [1]; expected a mapping of keys"),
        ("fast", "training: got 'fast'; expected a mapping of keys"),
    ],
)
def test_wrong_settings_are_refused(given, message):
    with pytest.raises(RecipeError) as error:
        read_settings("training", Settings, given)
    assert message in str(error.value)
