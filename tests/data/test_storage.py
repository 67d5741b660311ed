from __future__ import annotations

import numpy as np
import pytest
import torch

from tightbound.data.images import to_storage
from tightbound.data.storage import as_tensor, darkness, find_levels, to_channels_first
from tightbound.errors import DataError


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((9, 3, 5, 6), (0, 1, 2, 3)),
        ((9, 5, 6, 3), (0, 3, 1, 2)),
        ((9, 5, 6, 1), (0, 3, 1, 2)),
        ((9, 12, 64, 64), (0, 1, 2, 3)),
        ((9, 3, 2, 2), (0, 1, 2, 3)),  # both could be channels: the second axis wins
        ((9, 4, 4, 4), (0, 1, 2, 3)),
        ((9, 5, 5, 5), (0, 1, 2, 3)),
    ],
)
def test_four_axes(shape: tuple[int, ...], order: tuple[int, ...]) -> None:
    pixels = torch.arange(int(np.prod(shape))).reshape(shape)
    assert torch.equal(to_channels_first(pixels, "x"), pixels.permute(order))


def test_three_axes_are_one_channel() -> None:
    pixels = torch.arange(30).reshape(2, 3, 5)
    assert torch.equal(to_channels_first(pixels, "x")[:, 0], pixels)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5,), r"x: expected \(N, H, W\), \(N, C, H, W\) or \(N, H, W, C\); got shape \(5,\)"),
        ((5, 784), r"got shape \(5, 784\)\n  hint: x\.reshape\(-1, 28, 28\)"),
        ((5, 783), r"got shape \(5, 783\)\n  hint: x\.reshape\(-1, height, width\)"),
        ((2, 2, 2, 2, 2), r"got shape \(2, 2, 2, 2, 2\)"),
        ((0, 8, 8), r"x: expected at least one image; got shape \(0, 8, 8\)"),
        ((3, 0, 8), r"x: expected images of one pixel or more; got shape \(3, 0, 8\)"),
    ],
)
def test_wrong_shapes_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        to_channels_first(torch.zeros(shape), "x")


@pytest.mark.parametrize("dtype", ["int64", "uint16", "complex64", "U3", "O"])
def test_wrong_types_are_refused(dtype: str) -> None:
    with pytest.raises(DataError, match=r"x: expected pixels of type uint8, bool or float; got .*\n  hint: x\.astype"):
        as_tensor(np.zeros((2, 3, 3), dtype), "x")


def test_wrong_tensor_type_is_refused() -> None:
    with pytest.raises(DataError, match="expected pixels of type uint8, bool or float; got int64"):
        as_tensor(torch.zeros(2, 3, 3, dtype=torch.int64), "x")


def test_odd_arrays_become_tensors() -> None:
    big_endian = np.array([[[0.25, 0.5]]], dtype=">f4")
    assert as_tensor(big_endian, "x").flatten().tolist() == [0.25, 0.5]
    backward = np.arange(6, dtype=np.uint8).reshape(1, 2, 3)[:, ::-1]
    assert as_tensor(backward, "x").flatten().tolist() == [3, 4, 5, 0, 1, 2]
    read_only = np.ones((1, 2, 2), np.uint8)
    read_only.flags.writeable = False
    assert as_tensor(read_only, "x").sum() == 4


def _image(values: list[float], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype).reshape(1, 1, 1, -1)


GRAY = [k / 255 for k in range(256)]


@pytest.mark.parametrize(
    ("pixels", "levels", "stored"),
    [
        (_image([0, 1, 1], torch.uint8), 1, [0, 1, 1]),
        (_image([0, 255], torch.uint8), 1, [0, 1]),
        (_image([0, 1, 2], torch.uint8), 255, [0, 1, 2]),
        (_image([0, 1, 255], torch.uint8), 255, [0, 1, 255]),
        (_image([0, 1], torch.bool), 1, [0, 1]),
        (_image([0.0, 1.0]), 1, [0, 1]),
        (_image(GRAY), 255, list(range(256))),
        (_image(GRAY, torch.float64), 255, list(range(256))),
        (_image([0.5, 0.0, 1.0]), None, [0.5, 0.0, 1.0]),
        (_image([k / 16 for k in range(17)]), None, [k / 16 for k in range(17)]),
    ],
)
def test_levels_are_found_and_stored(pixels: torch.Tensor, levels: int | None, stored: list[float]) -> None:
    assert find_levels([pixels], "x") == levels
    made = to_storage(pixels, levels)
    assert made.dtype is (torch.float32 if levels is None else torch.uint8)
    assert made.flatten().tolist() == stored


def test_expected_levels_are_read_as_such() -> None:
    sixteenths = _image([k / 16 for k in range(17)])
    assert find_levels([sixteenths], "x", levels=16) == 16
    assert to_storage(sixteenths, 16).flatten().tolist() == list(range(17))
    assert find_levels([_image([0, 1], torch.uint8)], "x", levels=255) == 255
    assert find_levels([_image([0, 0])], "x", levels=255) == 255
    assert find_levels([_image([0, 255], torch.uint8)], "x", levels=1) == 1


@pytest.mark.parametrize(
    ("pixels", "levels", "message"),
    [
        (_image([0, 17], torch.uint8), 16, "x: expected gray levels 0 to 16; got 0 to 17"),
        (_image([0, 3], torch.uint8), 1, "x: expected gray levels 0 to 1; got 0 to 3"),
        (_image([0, 1], torch.bool), 16, "x: expected gray levels 0 to 16; got bool"),
        (_image([0.5, 1 / 3]), 16, "x: expected gray levels k/16; got floats in between"),
    ],
)
def test_other_levels_than_expected_are_refused(pixels: torch.Tensor, levels: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_levels([pixels], "x", levels=levels)


def test_parts_share_their_levels() -> None:
    binary, gray, between = _image([0.0, 1.0]), _image(GRAY), _image([0.123])
    assert find_levels([binary, gray], "x") == 255
    assert find_levels([binary, gray, between], "x") is None
    with pytest.raises(DataError, match="x: expected pixels of one type in all parts; got float32 and uint8"):
        find_levels([between, _image([3], torch.uint8)], "x")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.0, float("nan")], r"x: expected finite pixels; got NaN or infinity in image 0\n  hint: leave"),
        ([0.0, float("inf")], "x: expected finite pixels; got NaN or infinity in image 0"),
        (
            [0.0, 255.0],
            r"x: expected floats in \[0, 1\]; got 0 to 255\n  hint: divide by the largest value that a pixel can have",
        ),
        ([-1.0, 1.0], r"got -1 to 1\n  hint: if they are scaled to \[-1, 1\], give \(x \+ 1\) / 2"),
        ([-3.0, 1000.0], r"got -3 to 1000\n  hint: rescale"),
    ],
)
def test_wrong_floats_are_refused(values: list[float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        find_levels([_image(values)], "x")


def test_the_bad_image_is_named_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.data.storage._CHUNK", 8)
    pixels = torch.zeros(10, 1, 2, 2)
    pixels[7, 0, 1, 1] = float("nan")
    with pytest.raises(DataError, match="in image 7"):
        find_levels([pixels], "x")
    bytes_ = torch.zeros(10, 1, 2, 2, dtype=torch.uint8)
    bytes_[1], bytes_[9] = 1, 255
    assert find_levels([bytes_], "x") == 255


def test_bytes_of_another_scale_are_remarked() -> None:
    dark, bright = _image([0, 3, 16], torch.uint8), _image([0, 200], torch.uint8)
    assert darkness([dark]) == ("no pixel is above 16 of 255; if 16 means white, say data.levels=16",)
    for arrays in ([bright], [dark, bright], [_image([0, 1], torch.uint8)], [_image([0.0, 0.1])]):
        assert darkness(arrays) == ()
