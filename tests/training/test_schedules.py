from __future__ import annotations

import math

import pytest

from tightbound.errors import RecipeError
from tightbound.recipes.recipe import load_recipe
from tightbound.training.schedules import Constant, Cosine, Polynomial, RunLength, Staircase

RUN = RunLength(steps_per_epoch=10, total_steps=100)


def test_warm_up_is_linear_then_one() -> None:
    schedule = Constant(warm_up_steps=4)
    assert [schedule.factor(step, RUN) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    in_epochs = Constant(warm_up_epochs=0.4)
    assert [in_epochs.factor(step, RUN) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_cosine_at_known_angles() -> None:
    schedule = Cosine(warm_up_steps=20, final=0.1)
    assert schedule.factor(20, RUN) == 1.0
    assert schedule.factor(60, RUN) == pytest.approx(0.1 + 0.9 * 0.5)
    assert schedule.factor(20 + 20, RUN) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)
    assert schedule.factor(100, RUN) == pytest.approx(0.1)
    assert schedule.factor(9, RUN) == pytest.approx(0.5)


def test_cosine_ends_where_it_is_told_to() -> None:
    for schedule in (Cosine(epochs=4), Cosine(steps=40)):
        assert schedule.factor(20, RUN) == pytest.approx(0.5)
        assert schedule.factor(40, RUN) == pytest.approx(0.0)
        assert schedule.factor(90, RUN) == pytest.approx(0.0)


def test_polynomial_at_known_points() -> None:
    assert Polynomial().factor(25, RUN) == pytest.approx(0.75)
    assert Polynomial(power=2.0).factor(50, RUN) == pytest.approx(0.25)
    assert Polynomial(power=0.5, final=0.2, steps=64).factor(48, RUN) == pytest.approx(0.2 + 0.8 * 0.5)


def test_a_decay_by_epochs_has_one_rate_an_epoch() -> None:
    schedule = Polynomial(power=0.9, staircase=True)
    for epoch in range(10):
        found = [schedule.factor(step, RUN) for step in range(10 * epoch, 10 * epoch + 10)]
        assert found == pytest.approx([(1 - epoch / 10) ** 0.9] * 10)
    assert Cosine(staircase=True).factor(59, RUN) == pytest.approx(0.5)


def test_staircase_halves_at_the_epochs_of_the_published_recipe() -> None:
    schedule = Staircase(ratio=0.5, at_epochs=(800, 1600, 2400))
    run = RunLength(steps_per_epoch=300, total_steps=750_000)
    at = [0, 239_999, 240_000, 479_999, 480_000, 719_999, 720_000, 749_999]
    assert [schedule.factor(step, run) for step in at] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125, 0.125]


def test_staircase_by_distance_and_by_steps() -> None:
    assert [Staircase(ratio=0.1, every_steps=30).factor(s, RUN) for s in (29, 30, 60)] == pytest.approx([1, 0.1, 0.01])
    assert [Staircase(ratio=0.1, every_epochs=3).factor(s, RUN) for s in (29, 30, 60)] == pytest.approx([1, 0.1, 0.01])
    assert [Staircase(ratio=0.1, at_steps=(5, 7)).factor(s, RUN) for s in (4, 5, 7)] == pytest.approx([1, 0.1, 0.01])


def test_contradictions_are_refused() -> None:
    with pytest.raises(RecipeError, match="one of warm_up_epochs and warm_up_steps; got both"):
        Constant(warm_up_epochs=1.0, warm_up_steps=3)
    with pytest.raises(RecipeError, match="at most one of epochs and steps; got both"):
        Cosine(epochs=1.0, steps=3)
    with pytest.raises(RecipeError, match="exactly one of at_epochs, at_steps, every_epochs and every_steps"):
        Staircase()


@pytest.mark.parametrize(("key", "value"), [("at_epochs", [0.0]), ("at_steps", [3, -1])])
def test_a_stair_before_the_first_step_is_refused(key: str, value: list) -> None:
    with pytest.raises(
        RecipeError, match=f"training.schedule.{key}: got .*; expected a list, each a (whole )?number > 0"
    ):
        load_recipe("digits-vae", [{"training": {"schedule": {"kind": "staircase", key: value}}}])
