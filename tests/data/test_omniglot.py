from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from tests.data.files import write_drawings
from tightbound.data import DataSettings, data_sets, load_data, omniglot
from tightbound.data.drawings import read_drawings, shrink
from tightbound.errors import DataError

_random = np.random.default_rng(0)
INK = {"train": _random.random((6, 105, 105)) < 0.2, "test": _random.random((4, 105, 105)) < 0.2}
FILES = {"train": "images_background.zip", "test": "images_evaluation.zip"}
LEVELS = {"train": _random.integers(0, 256, (5, 28, 28)), "test": _random.integers(0, 256, (3, 28, 28))}
ALPHABETS, CHARACTERS = {"train": [0, 0, 2, 2, 0], "test": [2, 0, 1]}, {"train": [1, 3, 1, 1, 1], "test": [1, 3, 1]}


@pytest.fixture
def folder(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a small set, nothing in it yet, and no way to the network."""
    small = {part: (name, len(INK[part]), "0" * 32) for part, name in FILES.items()}
    monkeypatch.setattr(omniglot, "ZIPS", small)
    monkeypatch.setattr(omniglot, "MIRRORS", ())
    monkeypatch.setattr(omniglot, "CHARDATA_COUNTS", {part: len(levels) for part, levels in LEVELS.items()})
    return empty_root / "omniglot"


def _write_zips(folder: Path) -> None:
    for part, first in (("train", 7), ("test", 965)):
        names = [f"Latin/character{k // 2 + 1:02}/{first + k // 2:04}_{k % 2 + 1:02}" for k in range(len(INK[part]))]
        write_drawings(folder / FILES[part], dict(zip(names, INK[part], strict=True)))


def _write_chardata(folder: Path, **changes: np.ndarray) -> Path:
    """As the published file: a column an image, each laid out column by column."""
    folder.mkdir(exist_ok=True)
    arrays = {}
    for part, prefix in (("train", ""), ("test", "test")):
        columns = [image.ravel(order="F") / 255 for image in LEVELS[part]]
        arrays[f"{prefix}data"] = np.stack(columns, axis=1)
        arrays[f"{prefix}target"] = np.eye(50)[:, ALPHABETS[part]]
        arrays[f"{prefix}targetchar"] = np.array(CHARACTERS[part], np.float64)[None]
    scipy.io.savemat(folder / "chardata.mat", {**arrays, **changes}, do_compression=True)
    return folder / "chardata.mat"


def _check(pixels: torch.Tensor, labels: torch.Tensor | None, expected: np.ndarray, numbers: Sequence[int]) -> None:
    assert pixels.shape == (len(expected), 1, 28, 28)
    assert np.array_equal(pixels[:, 0].numpy(), expected)
    assert labels is not None
    assert labels.tolist() == list(numbers)


def test_the_two_zip_files(folder: Path, cache: Path) -> None:
    _write_zips(folder)
    for _ in ("converted", "from the cache"):
        data = load_data(DataSettings(name="omniglot", validation=0))
        assert data.test is not None
        _check(data.train.pixels, data.train.labels, shrink(INK["train"]), [7, 7, 8, 8, 9, 9])
        _check(data.test.pixels, data.test.labels, shrink(INK["test"]), [965, 965, 966, 966])
        assert (data.train.levels, data.train.binarize) == (255, "dynamic")
        assert data.name == "omniglot (drawings)"
        assert data.notes[0].startswith("omniglot: the background and evaluation drawings, brought to 28 × 28 by area")
        assert data.notes[0].endswith("numbers do not compare with those of its split")
        assert sorted(path.name for path in folder.iterdir()) == sorted(FILES.values())
        assert len(list((cache / "converted").glob("omniglot_*.npy"))) == 2
    info = next(info for info in data_sets() if info.name == "omniglot")
    assert (info.available, info.where) == (True, str(folder))


@pytest.mark.usefixtures("folder")
def test_the_layout_of_torchvision(empty_root: Path) -> None:
    _write_zips(empty_root / "omniglot-py")
    assert len(load_data(DataSettings(name="omniglot", validation=2)).train) == 4


def test_chardata_is_preferred_and_said(folder: Path) -> None:
    _write_zips(folder)
    assert load_data(DataSettings(name="omniglot", validation=0)).name == "omniglot (drawings)"
    _write_chardata(folder)
    for _ in ("converted", "from the cache"):
        data = load_data(DataSettings(name="omniglot", validation=0))
        assert data.name == "omniglot (chardata.mat)"
        assert data.notes[0] == "omniglot: the images of chardata.mat, in the split of Burda et al. 2016"
        assert data.test is not None
        # Pairs of alphabet and character, numbered in their order: (0, 1) (0, 3) (1, 1) (2, 1).
        _check(data.train.pixels, data.train.labels, LEVELS["train"], [0, 1, 3, 3, 0])
        _check(data.test.pixels, data.test.labels, LEVELS["test"], [3, 1, 2])
    assert next(info for info in data_sets() if info.name == "omniglot").where == str(folder)


def test_other_grays_are_rounded_and_said(folder: Path) -> None:
    _write_chardata(folder, data=np.full((784, 5), 0.3))
    data = load_data(DataSettings(name="omniglot", validation=0))
    assert (data.train.pixels == 76).all()  # 76.5 to the even level
    assert data.notes[0].endswith("Burda et al. 2016, pixels rounded to k/255")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": np.full((784, 4), 0.5)}, r"expected 'data' of 784 × 5; got 784 × 4\n  hint: get it again"),
        ({"testtarget": np.zeros((50, 2))}, r"expected 'testtarget' of any × 3; got 50 × 2"),
        ({"testtargetchar": np.zeros((1, 3, 2))}, r"expected 'testtargetchar' of 1 × 3; got 1 × 3 × 2"),
        ({"testdata": np.full((784, 3), 255.0)}, r"expected pixels in \[0, 1\]; got 255 to 255"),
        ({"testdata": np.full((784, 3), -0.5)}, r"expected pixels in \[0, 1\]; got -0\.5 to -0\.5"),
        ({"testdata": np.full((784, 3), np.nan)}, r"expected pixels in \[0, 1\]; got nan to nan"),
    ],
)
def test_other_arrays_are_refused(folder: Path, changes: dict[str, np.ndarray], message: str) -> None:
    _write_chardata(folder, **changes)
    with pytest.raises(DataError, match=rf"chardata\.mat: {message}"):
        load_data(DataSettings(name="omniglot"))


def test_a_damaged_chardata_is_named(folder: Path) -> None:
    path = _write_chardata(folder)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (whole[:middle], b"", b"no file of Matlab" * 20, whole[:200] + bytes(500) + whole[700:]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"chardata\.mat: cannot be read: .*\n  hint: delete it and get it again"):
            load_data(DataSettings(name="omniglot"))
    scipy.io.savemat(path, {"other": np.zeros(3)})
    with pytest.raises(DataError, match=r"chardata\.mat: expected 'data' of 784 × 5; got nothing"):
        load_data(DataSettings(name="omniglot"))


def test_missing_files_are_named_with_the_place(folder: Path, cache: Path) -> None:
    message = (
        rf"cannot download images_background\.zip: no address is known\n  hint: put images_background\.zip, "
        rf"images_evaluation\.zip into {folder} or {cache}/omniglot, or chardata\.mat"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="omniglot"))
    info = next(info for info in data_sets() if info.name == "omniglot")
    assert not info.available
    assert info.where.startswith("downloaded when first used; or put images_background.zip")


@pytest.mark.real_data
def test_the_real_drawings(data_root: Path, tmp_path: Path) -> None:
    """Two characters of the real file, since all take a while: the first are Alphabet_of_the_Magi's 709 and 710."""
    import shutil
    import zipfile

    path = data_root / "omniglot" / FILES["train"]
    with zipfile.ZipFile(path) as file, zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
        names = sorted(name for name in file.namelist() if name.endswith(".png"))
        assert len(names) == 19_280
        for name in names[:40]:
            with file.open(name) as source, some.open(name, "w") as target:
                shutil.copyfileobj(source, target)
    pixels, characters = read_drawings(tmp_path / "some.zip", 40)
    assert characters == [709] * 20 + [710] * 20
    shares = pixels.mean(axis=(1, 2)) / 255
    assert ((shares > 0.01) & (shares < 0.2)).all()  # strokes, not paper, are bright
    assert (pixels.max(axis=(1, 2)) > 200).all()
