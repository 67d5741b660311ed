from __future__ import annotations

import numpy as np
import pytest

from tightbound.data.sprites import ANGLES, COLORS, SCALES, SHAPES, draw_shape, draw_sprites, sprite_facts

# Areas at scale 1, of shapes within a circle of radius 9.
AREAS = {"square": 2 * 9**2, "triangle": 0.75 * 3**0.5 * 9**2, "ellipse": np.pi * 9 * 4.5}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", SCALES)
def test_areas_grow_with_the_square_of_the_scale(shape: str, scale: float) -> None:
    """The mean number of pixels over many angles is the area up to the rim, which a pixel is on or off of: 4 %."""
    angles = np.random.default_rng(0).random(1000) * 2 * np.pi
    assert draw_shape(shape, angles, scale).sum((1, 2)).mean() == pytest.approx(AREAS[shape] * scale**2, rel=0.04)


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_inside_the_circle_however_it_is_turned(shape: str) -> None:
    drawn = draw_shape(shape, np.linspace(0, 7, 301), 1.0)
    centers = np.arange(18) + 0.5 - 9
    distance = np.hypot(centers[:, None], centers)
    assert distance[drawn.any(0)].max() <= 9
    # Its corners come near to the circle: it is not cut.
    assert (drawn & (distance > 7.5)).any((1, 2)).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_ten_angles_are_a_quarter_turn_counterclockwise(shape: str) -> None:
    for scale in SCALES:
        drawn = draw_shape(shape, ANGLES, scale)
        assert np.array_equal(drawn[10:], np.rot90(drawn[:30], axes=(1, 2)))


def test_symmetries() -> None:
    square, ellipse, triangle = (draw_shape(shape, ANGLES, 1.0) for shape in ("square", "ellipse", "triangle"))
    assert np.array_equal(square[:30], square[10:])
    assert np.array_equal(ellipse[:20], ellipse[20:])
    assert not np.array_equal(triangle[0], triangle[10])
    assert np.array_equal(triangle[0], triangle[0, :, ::-1])


def test_how_they_stand() -> None:
    """The square of side 12.7 has 12 × 12 pixels; the triangle points up; the ellipse lies."""
    square, triangle, ellipse = (draw_shape(shape, ANGLES[:1], 1.0)[0] for shape in SHAPES)
    assert square[3:15, 3:15].all()
    assert square.sum() == 12 * 12
    widths = triangle.sum(1)
    assert (np.diff(widths[:14]) >= 0).all()
    assert (int(widths[1]), int(widths[13]), int(widths[14:].sum())) == (2, 14, 0)
    assert (ellipse.any(0).sum(), ellipse.any(1).sum()) == (18, 10)


def test_facts_are_in_the_order_of_the_sprites() -> None:
    sprites = draw_sprites().reshape(-1, 3, 18, 18)
    facts = sprite_facts()
    assert {key: len(values) for key, values in facts.items()} == dict.fromkeys(facts, 5040)
    for index in (0, 7, 41, 1234, 2500, 5039):
        shape, angle, scale, color = (facts[key][index] for key in ("shape", "angle", "scale", "color"))
        outline = draw_shape(SHAPES[int(shape)], np.array([angle]), scale)[0]
        for channel, on in enumerate(list(COLORS.values())[int(color)]):
            assert np.array_equal(sprites[index, channel], outline & bool(on))
    # Each of the 5,040 combinations once.
    assert len({tuple(row) for row in np.stack(list(facts.values()), axis=1).round(6)}) == 5040
