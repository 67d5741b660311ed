from __future__ import annotations

import zipfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.data.files import drawing_bytes, write_drawings, write_image
from tightbound.data.drawings import read_drawings, shrink
from tightbound.errors import DataError

INK = np.random.default_rng(0).random((4, 105, 105)) < 0.3
NAMES = ("Bengali/character02/0011_01", "Bengali/character02/0011_02", "Arcadian/character01/0020_01")


def _written(folder: Path, names: tuple[str, ...] = NAMES) -> Path:
    return write_drawings(folder / "images.zip", dict(zip(names, INK, strict=False)))


def test_gray_levels_are_the_share_of_ink() -> None:
    """Each small pixel is 15/4 × 15/4 large ones: the exact mean, in fractions."""
    shrunk = shrink(INK)
    for row, column in ((0, 0), (0, 1), (3, 27), (13, 14), (27, 27)):
        area = Fraction(0)
        for i in range(105):
            for j in range(105):
                if INK[0, i, j]:
                    area += _overlap(i, row) * _overlap(j, column)
        assert shrunk[0, row, column] == round(255 * area / Fraction(15, 4) ** 2)


def _overlap(large: int, small: int) -> Fraction:
    """How much of [large, large + 1] lies in [15/4 small, 15/4 (small + 1)]."""
    start, end = Fraction(15, 4) * small, Fraction(15, 4) * (small + 1)
    return max(Fraction(0), min(end, Fraction(large + 1)) - max(start, Fraction(large)))


def test_known_drawings() -> None:
    """Blank, all ink, and one vertical line of 3 pixels, 4 to 6: of 15/4 to 30/4 it covers 3 / (15/4) = 0.8."""
    ink = np.zeros((3, 105, 105), bool)
    ink[1] = True
    ink[2, :, 4:7] = True
    blank, full, line = shrink(ink)
    assert (blank == 0).all()
    assert (full == 255).all()
    assert (line[:, 1] == 204).all()
    assert (np.delete(line, 1, axis=1) == 0).all()


def test_no_ink_is_lost() -> None:
    """The mean is kept but for the rounding: 784 errors of at most half a level, within 4 s.e."""
    kept = shrink(INK).mean(axis=(1, 2)) / 255
    assert np.abs(kept - INK.mean(axis=(1, 2))).max() < 0.5 / 255 / np.sqrt(784) * 4


def test_drawings_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    """As they are named, not as they lie in the file; other entries do not count; ink is bright and stands upright."""
    pixels, characters = read_drawings(_written(tmp_path), 3)
    assert characters == [20, 11, 11]
    assert np.array_equal(pixels, shrink(INK[[2, 0, 1]]))
    corner = np.zeros((105, 105), bool)
    corner[:30, 60:] = True  # top right
    upright, _ = read_drawings(write_drawings(tmp_path / "one.zip", {NAMES[0]: corner}), 1)
    assert (upright[0, :8, 16:] == 255).all()
    assert (upright[0, 8:] == 0).all()
    assert (upright[0, :, :16] == 0).all()


def test_gray_and_color_files_are_read_alike(tmp_path: Path) -> None:
    for mode in ("L", "RGB"):
        image = write_image(tmp_path / f"{mode}.png", np.where(INK[0], 0, 255).astype(np.uint8), mode)
        with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
            file.write(image, f"{NAMES[0]}.png")
        assert np.array_equal(read_drawings(tmp_path / "x.zip", 1)[0], shrink(INK[:1]))


def test_another_number_of_drawings_is_refused(tmp_path: Path) -> None:
    message = r"images\.zip: expected 4 drawings, ALPHABET/characterNN/NNNN_NN\.png; got 3\n  hint: get it again"
    with pytest.raises(DataError, match=message):
        read_drawings(_written(tmp_path), 4)


def test_another_size_is_refused(tmp_path: Path) -> None:
    path = write_drawings(tmp_path / "images.zip", {NAMES[0]: INK[0], NAMES[1]: INK[1, :28, :30]})
    message = r"images\.zip: expected drawings of 105 × 105 pixels; images/Bengali/.*0011_02\.png has 28 × 30"
    with pytest.raises(DataError, match=message):
        read_drawings(path, 2)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    path = _written(tmp_path)
    whole = path.read_bytes()
    at = whole.index(b"0011_01.png") + 60
    changed = whole[:at] + bytes([whole[at] ^ 255]) + whole[at + 1 :]
    for content in (whole[: len(whole) // 2], b"", b"no zip", changed):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"images\.zip: cannot be read: .*\n  hint: delete it and get it again"):
            read_drawings(path, 3)
    with pytest.raises(DataError, match=r"absent\.zip: cannot be read: "):
        read_drawings(tmp_path / "absent.zip", 3)


@pytest.mark.parametrize("content", [b"", b"no picture", drawing_bytes(INK[0])[:100], drawing_bytes(INK[0])[:700]])
def test_a_damaged_drawing_is_named(tmp_path: Path, content: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as file:
        file.writestr(f"{NAMES[0]}.png", content)
    with pytest.raises(DataError, match=r"images\.zip: cannot be read: "):
        read_drawings(tmp_path / "images.zip", 1)
