from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.files import random_bytes, write_image
from tightbound.data import DataSettings, load_data, split_of
from tightbound.data import folder as folder_module
from tightbound.data.folder import read_folder
from tightbound.errors import DataError


def _pictures(folder: Path, count: int = 12, shape: tuple[int, ...] = (6, 7)) -> np.ndarray:
    pixels = random_bytes(count, *shape)
    for index, image in enumerate(pixels):
        write_image(folder / f"{index:03}.png", image)
    return pixels


def test_gray_and_color_keep_their_values_in_sorted_order(tmp_path: Path) -> None:
    gray = _pictures(tmp_path / "gray")
    color = _pictures(tmp_path / "color", shape=(6, 7, 3))
    assert np.array_equal(split_of(tmp_path / "gray").pixels[:, 0].numpy(), gray)
    assert np.array_equal(split_of(tmp_path / "color").pixels.numpy(), color.transpose(0, 3, 1, 2))


def test_load_data_splits_a_folder(tmp_path: Path) -> None:
    _pictures(tmp_path / "photos", 40)
    data = load_data(DataSettings(name=str(tmp_path / "photos")))
    assert data.name == "photos"
    assert data.validation is not None
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (32, 4, 4)
    assert (data.train.kind, data.train.levels, data.train.binarize) == ("levels", 255, "none")


def test_jpeg_suffixes_in_capitals_and_other_files(tmp_path: Path) -> None:
    flat = np.full((16, 16), 77, np.uint8)
    write_image(tmp_path / "B.JPG", flat)
    write_image(tmp_path / "a.jpeg", flat)
    write_image(tmp_path / ".hidden.png", flat)
    write_image(tmp_path / ".thumbnails" / "a.png", flat)
    (tmp_path / "notes.txt").write_text("no image")
    pixels = split_of(tmp_path).pixels
    assert pixels.shape == (2, 1, 16, 16)
    assert bool((pixels == 77).all())


def test_black_and_white_is_binary(tmp_path: Path) -> None:
    bits = random_bytes(10, 5, 5) % 2
    for index, image in enumerate(bits):
        write_image(tmp_path / f"{index}.png", image * 255, "1")
    split = split_of(tmp_path)
    assert (split.levels, split.kind) == (1, "binary")
    assert np.array_equal(split.pixels[:, 0].numpy(), bits)


def test_crop_takes_the_center_and_stretch_the_whole(tmp_path: Path) -> None:
    """Three columns of blocks, black, gray and white: cropping to a square keeps the gray, stretching keeps all."""
    blocks = np.repeat(np.array([[0, 128, 255]], np.uint8), 40, axis=1).repeat(40, axis=0)
    write_image(tmp_path / "a.png", blocks)
    crop = split_of(tmp_path, DataSettings(size=(8, 8))).pixels[0, 0].to(torch.int64)
    assert bool((crop[:, 3:5] == 128).all())
    assert bool(((crop - 128).abs() < 30).all())
    stretch = split_of(tmp_path, DataSettings(size=(8, 3), resize="stretch")).pixels[0, 0].to(torch.int64)
    assert bool((stretch[:, 1] == 128).all())
    assert bool((stretch[:, 0] < 30).all())
    assert bool((stretch[:, 2] > 225).all())


def test_an_image_of_the_right_size_is_not_resampled(tmp_path: Path) -> None:
    pixels = _pictures(tmp_path)
    for resize in ("crop", "stretch"):
        split = split_of(tmp_path, DataSettings(size=(6, 7), resize=resize))
        assert np.array_equal(split.pixels[:, 0].numpy(), pixels)


def test_resizing_keeps_the_mean(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(60), np.arange(40)).astype(np.uint8)
    write_image(tmp_path / "a.png", smooth)
    for settings in (DataSettings(size=(15, 10)), DataSettings(size=(11, 13), resize="stretch")):
        split = split_of(tmp_path, settings)
        assert split.image_shape == (1, *settings.size)  # pyright: ignore[reportGeneralTypeIssues]
        assert float(split.pixels.double().mean()) == pytest.approx(smooth.mean(), abs=1.0)


def test_several_sizes_need_one_named(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", random_bytes(6, 7))
    write_image(tmp_path / "b.png", random_bytes(8, 5))
    message = r"expected images of one size; got 6 x 7 \(a\.png\) and 8 x 5 \(b\.png\)\n  hint: data\.size=\[64,64\]"
    with pytest.raises(DataError, match=message):
        split_of(tmp_path)
    assert split_of(tmp_path, DataSettings(size=(5, 4))).image_shape == (1, 5, 4)


def test_mixed_channels_need_a_color_named(tmp_path: Path) -> None:
    gray, color = random_bytes(6, 7), random_bytes(6, 7, 3)
    write_image(tmp_path / "a.png", gray)
    write_image(tmp_path / "b.png", color)
    message = (
        r"expected all images gray or all in color; got 1 gray \(a\.png\) and 1 in color \(b\.png\)"
        r"\n  hint: data\.color=gray or data\.color=rgb"
    )
    with pytest.raises(DataError, match=message) as caught:
        load_data(DataSettings(name=str(tmp_path)))
    assert caught.value.exit_status == 3
    rgb = split_of(tmp_path, DataSettings(color="rgb")).pixels.numpy()
    assert np.array_equal(rgb[0], np.stack([gray] * 3))
    assert np.array_equal(rgb[1], color.transpose(2, 0, 1))
    luma = split_of(tmp_path, DataSettings(color="gray")).pixels.numpy()
    assert np.array_equal(luma[0, 0], gray)
    assert np.abs(luma[1, 0] - color @ np.array([0.299, 0.587, 0.114])).max() <= 1


def test_transparency_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2, :, 3] = 255
    rgba[:2, :, 0] = 200
    write_image(tmp_path / "a.png", rgba)
    parts = read_folder(tmp_path, DataSettings())
    assert parts.train.pixels[0, :, 0, 0].tolist() == [200, 0, 0]
    assert parts.train.pixels[0, :, 3, 3].tolist() == [255, 255, 255]
    assert "1 images with transparency laid over white" in parts.notes


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
def test_a_camera_rotation_is_undone(tmp_path: Path, name: str) -> None:
    sideways = np.full((16, 32), 20, np.uint8)
    sideways[:, :16] = 230
    image = Image.fromarray(sideways)
    exif = image.getexif()
    exif[0x0112] = 6  # turned by 90 degrees: left becomes top
    image.save(tmp_path / name, exif=exif, quality=95)
    pixels = split_of(tmp_path, DataSettings(color="gray")).pixels[0, 0]
    assert pixels.shape == (32, 16)
    assert bool((pixels[:14] > 220).all())
    assert bool((pixels[18:] < 30).all())


def test_sixteen_bits_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 40_000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(
        DataError, match=r"a\.png: not a readable image: expected 8 bits a channel; got pixels of mode I;16"
    ):
        split_of(tmp_path)


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_a_corrupt_file_stops_or_is_counted(tmp_path: Path, damage: str) -> None:
    pixels = _pictures(tmp_path, 12, (30, 30))
    whole = (tmp_path / "004.png").read_bytes()
    content = {"cut": whole[: len(whole) // 2], "empty": b"", "noise": b"noise" * 50}[damage]
    reason = {"cut": "image file is truncated", "empty": "empty", "noise": "no image format that Pillow knows"}[damage]
    (tmp_path / "004.png").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"004\.png: not a readable image: {reason}.*\n.*data\.skip_bad=true"
    ) as caught:
        load_data(DataSettings(name=str(tmp_path)))
    assert caught.value.exit_status == 3
    data = load_data(DataSettings(name=str(tmp_path), skip_bad=True))
    assert "1 unreadable file skipped: 004.png" in data.notes
    kept = split_of(tmp_path, DataSettings(skip_bad=True)).pixels[:, 0].numpy()
    assert np.array_equal(kept, np.delete(pixels, 4, axis=0))


def test_corrupt_headers_and_bodies_are_counted_together(tmp_path: Path) -> None:
    pixels = _pictures(tmp_path, 12, (30, 30))
    for index in (3, 7):
        path = tmp_path / f"{index:03}.png"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if index == 3 else b"")
    with pytest.raises(DataError, match=r"007\.png: not a readable image"):
        split_of(tmp_path)
    data = load_data(DataSettings(name=str(tmp_path), skip_bad=True))
    assert "2 unreadable files skipped: 003.png, 007.png" in data.notes
    kept = split_of(tmp_path, DataSettings(skip_bad=True)).pixels[:, 0].numpy()
    assert np.array_equal(kept, np.delete(pixels, [3, 7], axis=0))


def test_folders_without_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected images; found none\n  hint: files that are read: \.bmp") as caught:
        load_data(DataSettings(name=str(tmp_path)))
    assert caught.value.exit_status == 3
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"a\.png: not a readable image: .* \(at least 2 bad of \d+ files\)"):
        split_of(tmp_path)
    with pytest.raises(DataError, match="expected images; none of 2 files can be read"):
        split_of(tmp_path, DataSettings(skip_bad=True))


def test_class_folders_become_labels(tmp_path: Path) -> None:
    cats, dogs = _pictures(tmp_path / "cats", 3), _pictures(tmp_path / "dogs", 2)
    parts = read_folder(tmp_path, DataSettings())
    assert np.array_equal(parts.train.pixels[:, 0].numpy(), np.concatenate([cats, dogs]))
    assert parts.train.labels is not None
    assert parts.train.labels.tolist() == [0, 0, 0, 1, 1]
    assert "labels: 2 classes, the subfolders" in parts.notes
    _pictures(tmp_path, 1)
    assert read_folder(tmp_path, DataSettings()).train.labels is None


def test_one_subfolder_is_no_class(tmp_path: Path) -> None:
    _pictures(tmp_path / "img", 3)
    assert read_folder(tmp_path, DataSettings()).train.labels is None


def test_train_and_test_folders_are_parts(tmp_path: Path) -> None:
    for part, count in (("train", 5), ("val", 3), ("test", 4)):
        for index, name in enumerate(("cats", "dogs")):
            _pictures(tmp_path / part / name, count + index)
    parts = read_folder(tmp_path, DataSettings())
    assert parts.validation is not None
    assert parts.test is not None
    assert [len(images) for images in parts.all().values()] == [11, 7, 9]
    assert parts.test.labels is not None
    assert parts.test.labels.tolist() == [0] * 4 + [1] * 5


def test_a_folder_named_test_alone_is_a_class(tmp_path: Path) -> None:
    _pictures(tmp_path / "test", 3)
    parts = read_folder(tmp_path, DataSettings())
    assert (len(parts.train), parts.test) == (3, None)


def test_large_folders_are_cached(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_module, "CACHED_FROM", 5)
    pixels = _pictures(tmp_path / "x")
    (tmp_path / "x" / "006.png").write_bytes(b"")
    settings = DataSettings(skip_bad=True)
    first = read_folder(tmp_path / "x", settings)
    monkeypatch.setattr(folder_module, "decode", None)  # the second time nothing is decoded
    second = read_folder(tmp_path / "x", settings)
    assert np.array_equal(first.train.pixels[:, 0].numpy(), np.delete(pixels, 6, axis=0))
    assert torch.equal(first.train.pixels, second.train.pixels)
    assert first.notes == second.notes == ("1 unreadable file skipped: 006.png",)
    monkeypatch.undo()
    monkeypatch.setenv("TIGHTBOUND_CACHE", str(cache))
    monkeypatch.setattr(folder_module, "CACHED_FROM", 5)
    write_image(tmp_path / "x" / "006.png", pixels[6])
    third = read_folder(tmp_path / "x", settings)
    assert np.array_equal(third.train.pixels[:, 0].numpy(), pixels)
    assert third.notes == ()


def test_slow_reading_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.data.progress._PATIENCE", -1.0)
    _pictures(tmp_path, 4)
    said: list[str] = []
    load_data(DataSettings(name=str(tmp_path)), progress=said.append)
    assert said == ["4 of 4 image headers", "4 of 4 images"]


@pytest.mark.real_data
def test_drawings_of_a_real_set(data_root: Path, tmp_path: Path) -> None:
    """A few of OMNIGLOT's one-bit drawings, in its folders: strokes are black on white, 105 x 105."""
    import zipfile

    with zipfile.ZipFile(data_root / "omniglot" / "images_evaluation.zip") as archive:
        names = [name for name in archive.namelist() if name.endswith(".png")][:40]
        archive.extractall(tmp_path, names)
    split = split_of(tmp_path)
    assert len(split) == 40
    assert split.image_shape == (1, 105, 105)
    assert split.kind == "binary"
    assert 0.8 < float(split.pixels.double().mean()) < 0.99
