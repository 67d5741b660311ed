from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage, stats

from tests.data.files import idx_bytes, random_bytes, write_idx
from tightbound.data import (
    Data,
    DataSettings,
    Mnist,
    MultiMnist,
    data_sets,
    load_data,
    object_attributes,
)
from tightbound.data.multi_mnist import reduced, resampling
from tightbound.data.multi_objects import MultiObjects, Objects, draw_objects, put_together
from tightbound.data.sprites import draw_sprites
from tightbound.errors import RecipeError

N = 100_000
FIRST_1000 = "d579427413ee8359f3c477c2d88c3c2a838a36781fd0877db195e1a8c6724d84"
FIRST_1000_DIGITS = "172d601ed65325c7585a08025812c33ca8114d8805b6849a2e2ce73cec275e8e"


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 1,000 images."""
    monkeypatch.setattr(MultiObjects, "counts", (900, 100))


@pytest.fixture
def digits(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A small MNIST of smooth blobs, and no way to the network."""
    blobs = ndimage.zoom(random_bytes(30, 7, 7).astype(float), (1, 4, 4), order=1).astype(np.uint8)
    content = {
        "train-images-idx3-ubyte": blobs,
        "train-labels-idx1-ubyte": np.arange(30, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": blobs[:4],
        "t10k-labels-idx1-ubyte": np.arange(4, dtype=np.uint8),
    }
    for name, array in content.items():
        write_idx(empty_root / "mnist" / name, array)
    sums = {name: ("0" * 32, hashlib.md5(idx_bytes(array)).hexdigest()) for name, array in content.items()}
    monkeypatch.setattr(Mnist, "checksums", sums)
    monkeypatch.setattr(Mnist, "mirrors", ())
    monkeypatch.setattr(MultiMnist, "num_sprites", 30)
    return blobs


def digest(data: Data) -> str:
    assert data.test is not None
    return hashlib.sha256(data.train.pixels.numpy().tobytes() + data.test.pixels.numpy().tobytes()).hexdigest()


def test_numbers_sprites_and_places_are_uniform() -> None:
    objects = draw_objects(N, 5040, 18, seed=3)
    for values, below in ((objects.number, 3), (objects.top, 47), (objects.left, 47), (objects.sprite, 5040)):
        counts = np.bincount(values.ravel(), minlength=below)
        assert len(counts) == below  # and none is beyond: every frame is inside the image
        assert stats.chisquare(counts).pvalue > 1e-3
    columns = np.column_stack([objects.number, objects.sprite, objects.top, objects.left])
    correlations = np.corrcoef(columns.T)[np.triu_indices(7, 1)]
    assert np.abs(correlations).max() < 4.5 / N**0.5


def test_an_image_depends_on_its_index_alone() -> None:
    some, all_ = draw_objects(10, 7, 18, seed=3), draw_objects(100, 7, 18, seed=3)
    assert all(np.array_equal(few, many[:10]) for few, many in zip(some, all_, strict=True))
    assert not np.array_equal(some.left, draw_objects(10, 7, 18, seed=4).left)


def test_overlaps_are_added_and_clipped() -> None:
    red, green, white = (np.zeros((3, 2, 2), bool) for _ in range(3))
    red[0], green[1], white[:] = True, True, True
    white[:, 1, 1] = False
    objects = Objects(
        number=np.array([0, 1, 2, 2]),
        sprite=np.array([[0, 1], [0, 1], [0, 1], [2, 0]]),
        top=np.array([[5, 5], [5, 5], [5, 6], [62, 62]]),
        left=np.array([[9, 9], [9, 9], [9, 10], [0, 0]]),
    )
    images = put_together(objects, np.stack([red, green, white]))
    assert not images[0].any()
    assert np.argwhere(images[1]).tolist() == [[0, 5, 9], [0, 5, 10], [0, 6, 9], [0, 6, 10]]
    assert images[2, :, 5, 9].tolist() == [True, False, False]
    assert images[2, :, 6, 10].tolist() == [True, True, False]  # yellow
    assert images[2, :, 7, 11].tolist() == [False, True, False]
    assert images[2].sum() == 8
    # Red on white is white, and red where white has a hole.
    assert images[3, :, 62:, :2].sum(0).tolist() == [[3, 3], [3, 1]]


def test_the_images_are_those_of_a_plain_loop() -> None:
    objects, sprites = draw_objects(60, 5040, 18, seed=5), draw_sprites().reshape(-1, 3, 18, 18)
    expected = np.zeros((60, 3, 64, 64), int)
    for image, number in enumerate(objects.number):
        for slot in range(number):
            top, left = objects.top[image, slot], objects.left[image, slot]
            expected[image, :, top : top + 18, left : left + 18] += sprites[objects.sprite[image, slot]]
    assert np.array_equal(put_together(objects, sprites), np.minimum(expected, 1))


def test_the_same_images_on_every_machine(cache: Path) -> None:
    for _ in ("made", "from the cache"):
        data = load_data(DataSettings(name="multi_dsprites", validation=0))
        assert digest(data) == FIRST_1000
        assert data.name == "multi_dsprites (our own images)"
        assert "made here as published, from a seed of our own" in data.notes[0]
        assert (data.train.levels, data.train.binarize, data.train.kind) == (1, "none", "binary")
        assert (len(data.train), data.image_shape) == (900, (3, 64, 64))
    packed = next((cache / "converted").glob("multi_dsprites*.npy"))
    assert packed.stat().st_size == 1000 * 3 * 64 * 64 // 8 + 128  # and numpy's header
    info = next(info for info in data_sets() if info.name == "multi_dsprites")
    assert (info.available, info.where) == (True, "")


def test_attributes_tell_what_is_in_an_image() -> None:
    data = load_data(DataSettings(name="multi_dsprites", validation=0))
    found = object_attributes("multi_dsprites")
    assert list(found) == ["shape", "angle", "scale", "color", "x", "y"]
    assert data.train.labels is not None
    numbers = data.train.labels.numpy()
    for values in found.values():
        assert values.shape == (1000, 2)
        assert np.array_equal((~np.isnan(values[:900])).sum(1), numbers)
    sprites, images = draw_sprites(), data.train.pixels.numpy().astype(bool)
    for image in np.flatnonzero(numbers == 1)[:50]:
        shape, angle, scale, color, x, y = (values[image, 0] for values in found.values())
        turn, size = round(angle / (2 * np.pi) * 40), round((scale - 0.5) * 10)
        sprite = sprites[int(shape), turn, size, int(color)]
        assert np.array_equal(images[image, :, int(y) - 9 : int(y) + 9, int(x) - 9 : int(x) + 9], sprite)
        assert images[image].sum() == sprite.sum()


@pytest.mark.usefixtures("digits")
def test_digits_come_from_mnist() -> None:
    data = load_data(DataSettings(name="multi_mnist", validation=0))
    found = object_attributes("multi_mnist")
    assert list(found) == ["digit", "x", "y"]
    assert data.train.labels is not None
    assert data.image_shape == (1, 64, 64)
    objects, sprites = MultiMnist().objects(), MultiMnist().sprites()[:, 0]
    one = np.flatnonzero(data.train.labels.numpy() == 1)[:50]
    for image in one:
        x, y = int(found["x"][image, 0]), int(found["y"][image, 0])
        sprite = objects.sprite[image, 0]
        assert found["digit"][image, 0] == sprite % 10
        assert np.array_equal(data.train.pixels[image, 0, y - 9 : y + 9, x - 9 : x + 9].numpy(), sprites[sprite])


def test_digits_are_reduced_as_their_definition_says(digits: np.ndarray) -> None:
    """A Gaussian of σ = (28/18 − 1) / 2, then a cubic spline at 18 × 18 points, image by image, rounded."""
    for image, small in zip(digits, reduced(digits), strict=True):
        smooth = ndimage.gaussian_filter(image / 255, (28 / 18 - 1) / 2, mode="mirror")
        spline = ndimage.zoom(smooth, 18 / 28, order=3, mode="mirror", grid_mode=True)
        np.testing.assert_allclose(resampling(28) @ (image / 255) @ resampling(28).T, spline, atol=1e-12)
        assert np.array_equal(small, np.round(spline) > 0)
    np.testing.assert_allclose(resampling(28).sum(1), 1, atol=1e-12)  # an even gray stays as it is


def test_digits_need_mnist(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Mnist, "mirrors", ())
    info = next(info for info in data_sets() if info.name == "multi_mnist")
    assert not info.available
    assert info.where.startswith("made when first used from MNIST; downloaded when first used; or put train-images")
    assert str(empty_root / "mnist") in info.where


def test_only_sets_of_objects_have_attributes() -> None:
    with pytest.raises(TypeError, match="expected multi_dsprites or multi_mnist; got digits"):
        object_attributes("digits")
    with pytest.raises(RecipeError, match=r"unknown data 'multi_mnits'.*\n  hint: did you mean 'multi_mnist'"):
        object_attributes("multi_mnits")


@pytest.mark.real_data
def test_the_real_digits_are_the_same_on_every_machine(data_root: Path) -> None:
    assert (data_root / "mnist").is_dir()
    assert digest(load_data(DataSettings(name="multi_mnist", validation=0))) == FIRST_1000_DIGITS
    ink = MultiMnist().sprites().sum((1, 2, 3))
    assert len(ink) == 60_000
    assert ink.min() > 0  # no digit is so thin that nothing is left of it
