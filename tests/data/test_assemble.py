from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.data.files import random_bytes
from tightbound.data import Data, DataSettings, Split, data_of
from tightbound.data.arrays import parts_of_arrays
from tightbound.data.assemble import Habits, assemble
from tightbound.errors import DataError, RecipeError


def _numbered(count: int) -> np.ndarray:
    """Images that say which they are: image i has the bytes i // 256, i % 256 and, never binary, 2."""
    index = np.arange(count)
    return np.stack([index // 256, index % 256, np.full(count, 2)], -1).astype(np.uint8).reshape(count, 1, 3)


def _numbers(split: Split | None) -> list[int]:
    assert split is not None
    pixels = split.pixels.flatten(1).to(torch.int64)
    return (pixels[:, 0] * 256 + pixels[:, 1]).tolist()


def _all(data: Data) -> list[list[int]]:
    return [_numbers(split) for split in (data.train, data.validation, data.test)]


def test_splits_of_own_data_are_disjoint_exhaustive_and_deterministic() -> None:
    data = data_of(_numbered(500))
    train, validation, test = _all(data)
    assert (len(train), len(validation), len(test)) == (400, 50, 50)
    assert sorted(train + validation + test) == list(range(500))
    assert all(part == sorted(part) for part in (train, validation, test))
    assert _all(data_of(_numbered(500))) == [train, validation, test]
    other = _all(data_of(_numbered(500), DataSettings(seed=1)))
    assert other[1] != validation
    assert other[2] != test
    assert "test: 50 of 500 images held out, since the data name none (data.seed=0)" in data.notes
    assert "validation: 50 of 450 training images kept apart (data.seed=0)" in data.notes


def test_the_test_images_do_not_depend_on_the_other_settings() -> None:
    test = _numbers(data_of(_numbered(300)).test)
    for settings in (DataSettings(validation=0), DataSettings(validation=7, train_limit=5)):
        assert _numbers(data_of(_numbered(300), settings).test) == test


def test_validation_numbers() -> None:
    none = data_of(_numbered(100), DataSettings(validation=0))
    assert none.validation is None
    assert len(none.train) == 90
    some = data_of(_numbered(100), DataSettings(validation=13))
    assert (len(some.train), len(_numbers(some.validation))) == (77, 13)


def test_parts_of_their_own_are_kept() -> None:
    arrays = {"train": _numbered(60)[:30], "validation": _numbered(60)[30:40], "test": _numbered(60)[40:]}
    assert _all(data_of(arrays)) == [list(range(30)), list(range(30, 40)), list(range(40, 60))]
    assert [note for note in data_of(arrays).notes if not note.startswith("no pixel")] == []
    merged = data_of(arrays, DataSettings(validation=0))
    assert merged.validation is None
    assert _numbers(merged.train) == list(range(40))
    unheld = data_of({"train": arrays["train"], "test": arrays["test"]})
    assert (len(unheld.train), len(_numbers(unheld.validation))) == (27, 3)


def test_train_limit_takes_the_first_of_a_permutation() -> None:
    small, large = (_numbers(data_of(_numbered(200), DataSettings(train_limit=n)).train) for n in (20, 50))
    assert len(small) == 20
    assert set(small) < set(large)
    assert small != list(range(20))


def test_training_on_the_test_images_says_so() -> None:
    data = data_of(_numbered(200), DataSettings(train_split="test", train_limit=5))
    assert set(_numbers(data.train)) < set(_numbers(data.test))
    assert any(note.startswith("trained on the test images (data.train_split=test)") for note in data.notes)
    assert not set(_numbers(data.validation)) & set(_numbers(data.test))


@pytest.mark.parametrize(
    ("count", "settings", "message"),
    [
        (1, {}, r"array: expected at least 2 images to keep 1 apart \(test split\); got 1\n  hint: give more images"),
        (
            2,
            {},
            r"array: expected at least 2 images to keep 1 apart \(validation split\); got 1\n  hint: data\.vali",
        ),
        (20, {"validation": 18}, r"expected at least 19 images to keep 18 apart \(validation split\); got 18"),
        (20, {"train_limit": 17}, r"array: expected data\.train_limit up to 16, the training images; got 17"),
    ],
)
def test_too_few_images(count: int, settings: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        data_of(_numbered(count), DataSettings(**settings))


def test_a_set_may_have_no_test_images() -> None:
    parts = parts_of_arrays({"train": _numbered(20)}, where="x")
    habits = Habits(validation=0, test=0)
    data = assemble("x", parts, DataSettings(), habits)
    assert (data.validation, data.test) == (None, None)
    assert _numbers(data.train) == list(range(20))
    with pytest.raises(DataError, match=r"x: expected test images to train on \(data\.train_split=test\); it has none"):
        assemble("x", parts, DataSettings(train_split="test"), habits)


def test_three_images_are_enough() -> None:
    assert [len(part) for part in _all(data_of(_numbered(3)))] == [1, 1, 1]


def test_static_binarization_is_drawn_once_by_the_seed() -> None:
    n = 400
    pixels = np.tile(np.arange(256, dtype=np.uint8).reshape(1, 16, 16), (n, 1, 1))
    first, again, other = (data_of(pixels, DataSettings(binarize="static", seed=seed)) for seed in (0, 0, 1))
    assert (first.train.kind, first.train.levels, first.train.binarize) == ("binary", 1, "static")
    assert torch.equal(first.train.pixels, again.train.pixels)
    assert not torch.equal(first.train.pixels, other.train.pixels)
    assert first.validation is not None
    assert first.test is not None
    drawn = torch.cat([first.train.pixels, first.validation.pixels, first.test.pixels]).double()
    mean, p = drawn.mean(0).flatten(), torch.arange(256) / 255
    assert mean[0] == 0
    assert mean[-1] == 1
    assert bool(((mean - p).abs() <= 4.5 * (p * (1 - p) / n).sqrt()).all())
    assert torch.equal(first.train.fixed(0, 9, 1), first.train.fixed(0, 9, 2))


def test_static_binarization_of_an_image_does_not_depend_on_the_split() -> None:
    pixels = random_bytes(50, 8, 8)
    arrays = {"train": pixels[:40], "test": pixels[40:]}
    whole = data_of(arrays, DataSettings(binarize="static", validation=0))
    part = data_of(arrays, DataSettings(binarize="static", validation=10))
    rows = {tuple(row) for row in whole.train.pixels.flatten(1).tolist()}
    assert {tuple(row) for row in part.train.pixels.flatten(1).tolist()} < rows


def test_static_binarization_of_floats() -> None:
    levels = np.array([0.0, 0.3, 0.71, 1.0])
    data = data_of(np.tile(levels.reshape(1, 2, 2), (4000, 1, 1)), DataSettings(binarize="static", validation=0))
    mean = data.train.pixels.double().mean(0).flatten()
    assert mean[0] == 0
    assert mean[3] == 1
    assert mean[1] == pytest.approx(0.3, abs=4 * (0.21 / 3600) ** 0.5)
    assert mean[2] == pytest.approx(0.71, abs=4 * (0.71 * 0.29 / 3600) ** 0.5)


def test_color_can_be_binarized_and_dequantized() -> None:
    color = random_bytes(30, 3, 4, 4)
    assert data_of(color, DataSettings(binarize="dynamic")).train.kind == "binary"
    assert data_of(color, DataSettings(dequantize="uniform")).train.kind == "continuous"


def test_binarizing_binary_pixels_is_remarked() -> None:
    bits = random_bytes(30, 4, 4) % 2
    data = data_of(bits, DataSettings(binarize="dynamic"))
    assert data.train.binarize == "none"
    assert "data.binarize=dynamic changes nothing: the pixels are 0 and 1 already" in data.notes
    assert torch.equal(data.train.fixed(0, 5, 0), data.train.pixels[:5].to(torch.float32))


@pytest.mark.parametrize(
    ("pixels", "settings", "message"),
    [
        (random_bytes(20, 4, 4) % 2, {}, r"data\.dequantize=uniform: expected gray levels; got binary pixels\n  hint"),
        (random_bytes(20, 4, 4), {"binarize": "dynamic"}, r"expected gray levels; got binary pixels"),
        (random_bytes(20, 4, 4), {"binarize": "static"}, r"expected gray levels; got binary pixels"),
        (random_bytes(20, 4, 4) / 999, {}, r"data\.dequantize=uniform: expected gray levels; got floats that are no"),
    ],
)
def test_dequantization_needs_levels(pixels: np.ndarray, settings: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        data_of(pixels, DataSettings(dequantize="uniform", **settings))
    assert caught.value.exit_status == 2


def test_size_and_color_of_an_array_are_what_they_are() -> None:
    pixels = random_bytes(20, 4, 6)
    assert data_of(pixels, DataSettings(size=(4, 6), color="gray")).image_shape == (1, 4, 6)
    with pytest.raises(
        RecipeError, match=r"data\.size: expected 4 x 6, the size of array; got 6 x 4\n  hint: only a folder"
    ):
        data_of(pixels, DataSettings(size=(6, 4)))
    with pytest.raises(
        RecipeError, match=r"data\.color: expected the 1 channels of array; got rgb\n  hint: only a folder"
    ):
        data_of(pixels, DataSettings(color="rgb"))
