from __future__ import annotations

import pytest

from tightbound.errors import RecipeError
from tightbound.registry import Factory, kinds, read_options
from tightbound.training import TrainingSettings


def test_every_field_is_a_recipe_key() -> None:
    options = read_options(TrainingSettings)
    assert set(options) == set(TrainingSettings.__dataclass_fields__)
    assert options["optimizer"].family == "optimizer"
    assert options["schedule"].family == "schedule"
    assert options["schedule"].optional


def test_both_lengths_are_refused() -> None:
    with pytest.raises(RecipeError, match="one of epochs and steps; got epochs = 50 and steps = 100"):
        TrainingSettings(steps=100)


def test_no_length_is_refused() -> None:
    with pytest.raises(RecipeError, match="got neither"):
        TrainingSettings(epochs=None)


def test_components_are_registered() -> None:
    assert kinds("optimizer") == ["adadelta", "adam", "adamax", "adamw", "rmsprop"]
    assert kinds("schedule") == ["constant", "cosine", "polynomial", "staircase"]
    assert TrainingSettings().optimizer == Factory("optimizer", "adam")
