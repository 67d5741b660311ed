from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.files import random_bytes
from tightbound.data import DataSettings, celeba64, data_sets, load_data
from tightbound.errors import DataError, RecipeError

PARTS = [0, 0, 1, 0, 2, 2, 0, 1, 0, 2]
NAMES = [f"{number:06}.jpg" for number in range(1, 11)]


@pytest.fixture
def folder(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten images of the original size and format, in parts that are not in order."""
    monkeypatch.setattr(celeba64, "COUNTS", (5, 2, 3))
    monkeypatch.setattr(celeba64, "_ROWS", 4)
    folder = empty_root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    for number, name in enumerate(NAMES):
        coarse = Image.fromarray(random_bytes(12, 10, 3, seed=number))
        coarse.resize((178, 218), Image.Resampling.BICUBIC).save(folder / "img_align_celeba" / name, quality=90)
    write_list(folder, PARTS)
    return folder


def write_list(folder: Path, parts: list[int], names: list[str] = NAMES) -> None:
    lines = [f"{name} {part}" for name, part in zip(names, parts, strict=True)]
    (folder / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")


def decoded(folder: Path, name: str) -> np.ndarray:
    with Image.open(folder / "img_align_celeba" / name) as image:
        return np.asarray(image.convert("RGB"), np.float64)


def triangles() -> np.ndarray:
    """(64, 148): each row weighs by a triangle of half-width 148 / 64 pixels around the center of its cell."""
    scale = 148 / 64
    centers = (np.arange(64) + 0.5) * scale
    weights = np.maximum(0, 1 - np.abs(np.arange(148) + 0.5 - centers[:, None]) / scale)
    return weights / weights.sum(1, keepdims=True)


def expected(folder: Path, name: str) -> np.ndarray:
    """The 148 × 148 pixels in the middle, rows 35 to 182 and columns 15 to 162, under triangles: float (3, 64, 64)."""
    cut = decoded(folder, name)[35:183, 15:163].transpose(2, 0, 1)
    return triangles() @ cut @ triangles().T


def test_the_parts_hold_the_middles_of_their_images(folder: Path, cache: Path) -> None:
    for _ in ("decoded", "from the cache"):
        data = load_data(DataSettings(name="celeba64"))
        assert data.name == "celeba64 (center 148 × 148 reduced to 64 × 64, bilinear)"
        splits = (data.train, data.validation, data.test)
        for part, split in enumerate(splits):
            assert split is not None
            assert split.images.mapped
            assert (split.image_shape, split.levels, split.kind) == ((3, 64, 64), 255, "levels")
            names = [name for name, found in zip(NAMES, PARTS, strict=True) if found == part]
            assert len(split) == len(names)
            batch = split.batch(torch.arange(len(names))) * 255
            for image, name in zip(batch.numpy(), names, strict=True):
                # Pillow rounds after each of the two axes, and its weights are of limited precision.
                assert np.abs(image - expected(folder, name)).max() <= 1.01
    assert len(list((cache / "converted").glob("celeba64*.npy"))) == 1
    info = next(info for info in data_sets() if info.name == "celeba64")
    assert (info.available, info.where) == (True, str(folder))


def test_training_and_validation_images_are_merged_in_their_file(folder: Path) -> None:
    data = load_data(DataSettings(name="celeba64", validation=0))
    assert data.validation is None
    assert data.train.images.mapped
    names = [name for part in (0, 1) for name, found in zip(NAMES, PARTS, strict=True) if found == part]
    batch = data.train.batch(torch.arange(7)) * 255
    assert max(np.abs(x - expected(folder, name)).max() for x, name in zip(batch.numpy(), names, strict=True)) <= 1.01
    other = load_data(DataSettings(name="celeba64", validation=3)).validation
    assert other is not None
    assert torch.equal(other.batch(torch.arange(3)) * 255, batch[4:])


def test_what_changes_is_decoded_again(folder: Path) -> None:
    before = load_data(DataSettings(name="celeba64")).train.batch(torch.arange(5))
    parts = [2, *PARTS[1:4], 0, *PARTS[5:]]
    write_list(folder, parts)
    after = load_data(DataSettings(name="celeba64")).train.batch(torch.arange(5))
    assert torch.equal(after[0], before[1])
    assert not torch.equal(after[0], before[0])


def test_a_missing_image_is_named(folder: Path) -> None:
    for name in NAMES[3:5]:
        (folder / "img_align_celeba" / name).unlink()
    message = (
        r"img_align_celeba/000004\.jpg: missing \(2 of 10 images that list_eval_partition\.txt names\)\n  hint: unpack"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="celeba64"))


def test_a_damaged_image_or_one_of_another_size_is_named(folder: Path, cache: Path) -> None:
    path = folder / "img_align_celeba" / NAMES[7]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"000008\.jpg: not a readable image: image file is truncated"):
        load_data(DataSettings(name="celeba64"))
    Image.new("RGB", (218, 178)).save(path)
    message = r"000008\.jpg: not a readable image: expected 218 × 178 pixels; got 178 × 218"
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="celeba64"))
    assert list((cache / "converted").glob("*")) == []


def test_other_lists_are_refused(folder: Path) -> None:
    write_list(folder, [0, *PARTS[1:6], 1, *PARTS[7:]])
    message = r"expected parts of 5, 2, 3 different images; got 4, 3, 3\n  hint: get it again"
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="celeba64"))
    write_list(folder, PARTS, [*NAMES[:9], NAMES[0]])
    with pytest.raises(DataError, match=r"expected parts of 5, 2, 3 different images; got 5, 2, 3"):
        load_data(DataSettings(name="celeba64"))
    write_list(folder, [3, *PARTS[1:]])
    with pytest.raises(DataError, match=r"expected parts 0, 1 and 2; got 0 to 3"):
        load_data(DataSettings(name="celeba64"))
    (folder / "list_eval_partition.txt").write_text("000001.jpg\n")
    with pytest.raises(DataError, match=r"expected lines such as '000001\.jpg 0'"):
        load_data(DataSettings(name="celeba64"))


def test_missing_files_are_named_with_the_place(empty_root: Path, cache: Path) -> None:
    message = (
        rf"celeba64: its files are missing, and no address is known\n  hint: put img_align_celeba/\*\.jpg, "
        rf"list_eval_partition\.txt into {empty_root}/celeba or {cache}/celeba"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="celeba64"))


@pytest.mark.usefixtures("folder")
def test_it_is_one_size() -> None:
    with pytest.raises(RecipeError, match=r"data\.size: expected 64 x 64, the size of celeba64"):
        load_data(DataSettings(name="celeba64", size=(32, 32)))
