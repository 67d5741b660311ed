from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.data.files import random_bytes, write_image
from tightbound.cli import app
from tightbound.data import DataSettings, load_data
from tightbound.data.packed import pack
from tightbound.errors import DataError


def _parted(folder: Path) -> None:
    """Three parts of two classes, in color."""
    for index, image in enumerate(random_bytes(30, 6, 7, 3)):
        part, label = ("train", "test", "val")[min(index // 12, 2)], "ab"[index % 2]
        write_image(folder / part / label / f"{index:03}.png", image)


def test_a_packed_folder_is_the_folder(tmp_path: Path) -> None:
    """Images, parts, labels and notes; the images stay in the file."""
    _parted(tmp_path / "own")
    assert pack(tmp_path / "own", tmp_path / "packed", DataSettings()) == 30
    own, packed = (load_data(DataSettings(name=str(tmp_path / name))) for name in ("own", "packed"))
    assert packed.notes == own.notes
    for wanted, found in ((own.train, packed.train), (own.validation, packed.validation), (own.test, packed.test)):
        assert wanted is not None
        assert found is not None
        assert (len(found), found.levels, found.images.mapped) == (len(wanted), 255, True)
        torch.testing.assert_close(found.fixed(0, len(found), 0), wanted.fixed(0, len(wanted), 0), rtol=0, atol=0)
        assert found.labels is not None
        assert wanted.labels is not None
        assert found.labels.tolist() == wanted.labels.tolist()


def test_one_part_is_split_alike_and_black_and_white_is_binary(tmp_path: Path) -> None:
    for index, image in enumerate(random_bytes(40, 5, 4) % 2):
        write_image(tmp_path / "own" / f"{index:03}.png", image * 255)
    result = CliRunner().invoke(app, ["data", "pack", str(tmp_path / "own"), "--out", str(tmp_path / "packed")])
    assert result.stdout == f"40 images packed; use them by data.name={tmp_path / 'packed'}\n"
    own, packed = (load_data(DataSettings(name=str(tmp_path / name))) for name in ("own", "packed"))
    assert (packed.train.levels, len(packed.train)) == (1, 32)
    torch.testing.assert_close(packed.train.fixed(0, 32, 0), own.train.fixed(0, 32, 0), rtol=0, atol=0)


def test_what_is_skipped_leaves_no_row(tmp_path: Path) -> None:
    """A file that breaks off behind its header; the file of pixels has the rows that there are."""
    pixels = random_bytes(12, 32, 32)
    for index, image in enumerate(pixels):
        write_image(tmp_path / "own" / f"{index:03}.png", image)
    bad = tmp_path / "own" / "004.png"
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DataError, match=r"004\.png: not a readable image"):
        pack(tmp_path / "own", tmp_path / "refused", DataSettings())
    assert not (tmp_path / "refused" / "pixels.npy").exists()
    assert pack(tmp_path / "own", tmp_path / "packed", DataSettings(skip_bad=True)) == 11
    kept = np.load(tmp_path / "packed" / "pixels.npy")
    assert np.array_equal(kept[:, 0], np.delete(pixels, 4, axis=0))
    notes = load_data(DataSettings(name=str(tmp_path / "packed"))).notes
    assert "1 unreadable file skipped: 004.png" in notes


def test_refusals(tmp_path: Path) -> None:
    _parted(tmp_path / "own")
    packed = tmp_path / "packed"
    pack(tmp_path / "own", packed, DataSettings())
    with pytest.raises(DataError, match=r"expected a new folder to pack into.*\n.*--out"):
        pack(tmp_path / "own", packed, DataSettings())
    with pytest.raises(DataError, match=r"data\.size: got \(8, 8\); its images are packed as \(6, 7\)"):
        load_data(DataSettings(name=str(packed), size=(8, 8)))
    with pytest.raises(DataError, match=r"data\.color: got gray; its images are packed as rgb"):
        load_data(DataSettings(name=str(packed), color="gray"))
    with pytest.raises(DataError, match=r"data\.resize: got stretch; its images are decoded already"):
        load_data(DataSettings(name=str(packed), resize="stretch"))
    with pytest.raises(DataError, match=r"data\.skip_bad: got true; its images are decoded already"):
        load_data(DataSettings(name=str(packed), skip_bad=True))
    assert len(load_data(DataSettings(name=str(packed), size=(6, 7), color="rgb")).train) == 12
    with (packed / "pixels.npy").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"packed: not whole, or damaged\n.*pack it again"):
        load_data(DataSettings(name=str(packed)))
    for arguments, text in (
        (
            ["data", "pack", str(tmp_path / "own"), "data.validation=3"],
            "data.validation: got 3; it has no effect in packing",
        ),
        (["data", "pack", str(tmp_path / "own"), "data.binarize=threshold"], "data.binarize: got threshold; it has no"),
        (["data", "pack", str(tmp_path / "own"), "data.levels=16"], "data.levels: got 16; it has no effect in packing"),
        (["data", "pack"], "data pack: expected a folder of images"),
        (["data", "pack", str(tmp_path / "none")], "none is no folder"),
        (["data", "digits", "--out", "x"], "--out has an effect with pack alone"),
    ):
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 2
        assert text in result.stderr


@pytest.mark.parametrize("shape", [(30, 2, 6, 7), (30, 6, 7), (30,)])
def test_pixels_that_are_neither_gray_nor_in_color_are_damage(shape: tuple[int, ...], tmp_path: Path) -> None:
    _parted(tmp_path / "own")
    pack(tmp_path / "own", tmp_path / "packed", DataSettings())
    pixels = tmp_path / "packed" / "pixels.npy"
    np.save(pixels, np.zeros(shape, np.uint8))
    about = tmp_path / "packed" / "packed.json"
    about.write_text(json.dumps({**json.loads(about.read_text()), "size": pixels.stat().st_size}))
    with pytest.raises(DataError, match=r"packed: not whole, or damaged"):
        load_data(DataSettings(name=str(tmp_path / "packed")))
