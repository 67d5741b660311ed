from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.files import random_bytes
from tightbound.data import DataSettings, data_of, load_data, split_of
from tightbound.data.arrays import parts_of_arrays, read_array_file
from tightbound.errors import DataError, RecipeError


def test_npy_keeps_its_values(tmp_path: Path) -> None:
    pixels = random_bytes(6, 5, 7, 3)
    np.save(tmp_path / "x.npy", pixels)
    parts = read_array_file(tmp_path / "x.npy")
    assert parts.train.levels == 255
    assert np.array_equal(parts.train.pixels.numpy(), pixels.transpose(0, 3, 1, 2))
    assert parts.notes == ("the last axis is read as channels: (N, H, W, C)",)


def test_npz_with_parts_and_labels(tmp_path: Path) -> None:
    train, valid, test = (random_bytes(n, 4, 4, seed=n) for n in (5, 3, 2))
    for keys in [
        ("train", "valid", "test", "y_train", "labels_valid", "y_test"),
        ("x_train", "x_val", "x_test", "y_train", "y_val", "y_test"),
        ("train_images", "val_images", "test_images", "train_labels", "val_labels", "test_labels"),
    ]:
        arrays = (train, valid, test, np.arange(5), np.arange(3)[:, None], np.arange(2, dtype=np.uint8))
        np.savez(tmp_path / "x.npz", **dict(zip(keys, arrays, strict=True)))
        parts = read_array_file(tmp_path / "x.npz")
        assert parts.validation is not None
        assert parts.test is not None
        for images, pixels in [(parts.train, train), (parts.validation, valid), (parts.test, test)]:
            assert np.array_equal(images.pixels[:, 0].numpy(), pixels)
            assert images.labels is not None
            assert images.labels.tolist() == list(range(len(pixels)))


@pytest.mark.parametrize("key", ["x", "images", "arr_0", "anything"])
def test_npz_of_one_array(tmp_path: Path, key: str) -> None:
    pixels = random_bytes(5, 4, 4)
    np.savez_compressed(tmp_path / "x.npz", **{key: pixels, "labels": np.arange(5)})
    images = read_array_file(tmp_path / "x.npz").train
    assert np.array_equal(images.pixels[:, 0].numpy(), pixels)
    assert images.labels is not None
    assert images.labels.tolist() == [0, 1, 2, 3, 4]


def test_a_large_npy_stays_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.data.arrays.MAPPED_ABOVE", 100)
    pixels = random_bytes(40, 6, 6)
    np.save(tmp_path / "x.npy", pixels)
    sentences: list[str] = []
    data = load_data(DataSettings(name=str(tmp_path / "x.npy"), binarize="threshold"), progress=sentences.append)
    assert sentences == ["checking x.npy, which is read from the disk"]
    assert data.test is not None
    assert data.validation is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 4, 4)
    assert data.train.images.mapped
    assert data.train.pixels.data_ptr() == data.test.pixels.data_ptr()
    rows = data.train.images.rows
    assert rows is not None
    assert np.array_equal(data.train.fixed(0, 32, 0)[:, 0].numpy(), pixels[rows.numpy()] > 127.5)
    with pytest.raises(
        DataError, match=r"data\.binarize=static: expected images that fit in memory; got a memory-mapped"
    ):
        load_data(DataSettings(name=str(tmp_path / "x.npy"), binarize="static"))


def test_float_arrays_are_told_apart() -> None:
    gray = random_bytes(20, 4, 4)
    data = data_of(gray / 255, DataSettings(validation=0))
    assert data.train.levels == 255
    again = data_of(gray, DataSettings(validation=0))
    assert torch.equal(data.train.pixels, again.train.pixels)
    between = data_of(np.random.default_rng(0).random((20, 4, 4)))
    assert between.train.levels is None
    assert between.train.pixels.dtype is torch.float32


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": np.zeros(3)}, r"x\.npz: expected one array of images; got 'a' \(3,\)\n  hint: name it 'x'"),
        (
            {"a": random_bytes(2, 3, 3), "b": random_bytes(2, 3, 3)},
            r"expected one array of images; got 'a' \(2, 3, 3\), 'b'",
        ),
        ({}, "expected one array of images; got none"),
        ({"test": random_bytes(2, 3, 3)}, "expected an array for train; got 'test'"),
        (
            {"val": random_bytes(2, 3, 3), "valid": random_bytes(2, 3, 3)},
            "one array for validation; got several, 'valid'",
        ),
        (
            {"train": random_bytes(2, 3, 3), "test": random_bytes(2, 4, 3)},
            r"expected one \(C, H, W\) for all parts; got \{'train': \(1, 3, 3\), 'test': \(1, 4, 3\)\}",
        ),
        ({"x": random_bytes(3, 3, 3), "y": np.arange(2)}, r"expected 3 labels, one an image; got shape \(2,\)"),
        ({"x": random_bytes(3, 3, 3), "y": np.zeros(3)}, "expected integer labels; got float64"),
        ({"x": random_bytes(3, 3, 3), "y": np.array(["a", "b", "c"])}, "expected integer labels; got <U1"),
        ({"x": np.full((2, 3, 3), np.nan)}, "x.npz: expected finite pixels; got NaN or infinity in image 0"),
        ({"x": np.zeros((2, 9))}, r"x\.npz: expected \(N, H, W\).*\n  hint: x\.reshape\(-1, 3, 3\)"),
    ],
)
def test_wrong_npz_files_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], message: str) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load_data(DataSettings(name=str(tmp_path / "x.npz")))
    assert caught.value.exit_status == 3


def test_python_objects_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([{}, 1], dtype=object), allow_pickle=True)
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match=rf"{name}: expected an array of numbers; got Python objects\n  hint: save"):
            read_array_file(tmp_path / name)


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("damage", ["cut", "noise", "empty"])
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: str) -> None:
    path = tmp_path / name
    (np.save if name == "x.npy" else np.savez_compressed)(path, random_bytes(50, 8, 8))
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "noise": b"noise" * 99, "empty": b""}[damage])
    with pytest.raises(DataError, match=rf"{name}: not a readable \.np[yz] file: "):
        read_array_file(path)


def test_damage_inside_an_npz_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, x=random_bytes(50, 8, 8))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"x\.npz: not a readable \.npz file"):
        read_array_file(path)


def test_labels_may_be_tensors() -> None:
    parts = parts_of_arrays({"train": torch.zeros(2, 3, 3)}, {"train": torch.tensor([4, 2])}, where="x")
    assert parts.train.labels is not None
    assert parts.train.labels.tolist() == [4, 2]


def test_levels_of_ones_own() -> None:
    counts = torch.arange(40 * 6, dtype=torch.int32).reshape(40, 2, 3).remainder(17).to(torch.uint8)
    settings = DataSettings(levels=16, validation=0)
    data = data_of(counts, settings)
    assert (data.train.levels, data.train.kind) == (16, "levels")
    assert torch.equal(data_of(counts / 16, settings).train.pixels, data.train.pixels)
    assert data.notes[0].startswith("test: ")  # no remark that the bytes are dark
    with pytest.raises(DataError, match="expected gray levels 0 to 15; got 0 to 16"):
        data_of(counts, DataSettings(levels=15))
    for wrong, message in ((0, "data.levels: expected 1 or more; got 0"), (256, "expected 255 or less; got 256")):
        with pytest.raises(RecipeError, match=message):
            DataSettings(levels=wrong)
    with pytest.raises(RecipeError, match=r"data\.levels: got 16; the gray levels of digits are known"):
        load_data(DataSettings(name="digits", levels=16))


def test_a_split_of_data_is_its_test_images() -> None:
    data = data_of(random_bytes(20, 4, 4))
    assert split_of(data) is data.test
