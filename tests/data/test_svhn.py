from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from tests.data.files import random_bytes
from tightbound.data import DataSettings, data_sets, load_data, svhn
from tightbound.data.svhn import FILES
from tightbound.errors import DataError

PIXELS = {"train": random_bytes(9, 3, 32, 32), "test": random_bytes(4, 3, 32, 32, seed=1)}
LABELS = {"train": [1, 10, 2, 10, 9, 3, 4, 5, 6], "test": [10, 7, 8, 1]}
DIGITS = {"train": [1, 0, 2, 0, 9, 3, 4, 5, 6], "test": [0, 7, 8, 1]}


@pytest.fixture
def root(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No way to the network."""
    monkeypatch.setattr(svhn, "MIRRORS", ())
    return empty_root


def write(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: np.ndarray) -> None:
    """The two files as published, row by row: X[row, column, channel, image]. Their checksums become the set's."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = {}
    for part, (name, _) in FILES.items():
        arrays = {"X": PIXELS[part].transpose(2, 3, 1, 0), "y": np.array(LABELS[part], np.uint8)[:, None], **changes}
        scipy.io.savemat(folder / name, arrays, do_compression=True)
        sums[part] = (name, hashlib.md5((folder / name).read_bytes()).hexdigest())
    monkeypatch.setattr(svhn, "FILES", sums)


@pytest.mark.parametrize("folder", ["svhn", "SVHN", "."])
def test_images_keep_their_axes_and_ten_is_the_digit_zero(
    root: Path, folder: str, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    write(root / folder, monkeypatch)
    for _ in ("converted", "from the cache"):
        data = load_data(DataSettings(name="svhn", validation=0))
        assert data.test is not None
        for split, part in ((data.train, "train"), (data.test, "test")):
            assert np.array_equal(split.pixels.numpy(), PIXELS[part])
            assert split.labels is not None
            assert split.labels.tolist() == DIGITS[part]
        assert (data.name, data.train.levels, data.train.binarize) == ("svhn", 255, "none")
    assert len(list((cache / "converted").glob("svhn_*.npy"))) == 2
    info = next(info for info in data_sets() if info.name == "svhn")
    assert (info.available, info.where) == (True, str(root / folder))


def test_an_altered_or_damaged_file_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(root / "svhn", monkeypatch)
    path = root / "svhn" / "test_32x32.mat"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"test_32x32\.mat: the checksum is not that of the published file"):
        load_data(DataSettings(name="svhn"))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no file of Matlab" * 20):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"test_32x32\.mat: cannot be read: .*\n  hint: delete it"):
            svhn.read_mat(path, hashlib.md5(content).hexdigest())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 9))}, r"expected X of uint8 \(32, 32, 3, N\) and y of \(N, 1\); got float64"),
        ({"X": np.zeros((9, 3, 32, 32), np.uint8)}, r"got uint8 \(9, 3, 32, 32\) and \(9, 1\)"),
        ({"y": np.ones((8, 1), np.uint8)}, r"got uint8 \(32, 32, 3, 9\) and \(8, 1\)"),
        ({"y": np.zeros((9, 1), np.uint8)}, r"expected labels 1 to 10; got 0 to 0"),
        ({"y": np.full((9, 1), 11, np.uint8)}, r"expected labels 1 to 10; got 11 to 11"),
    ],
)
def test_other_arrays_are_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, np.ndarray], message: str
) -> None:
    write(root / "svhn", monkeypatch, **changes)
    with pytest.raises(DataError, match=rf"train_32x32\.mat: .*{message}"):
        load_data(DataSettings(name="svhn"))


def test_missing_files_are_named_with_the_place(root: Path, cache: Path) -> None:
    message = (
        rf"cannot download train_32x32\.mat: no address is known\n  hint: put train_32x32\.mat, test_32x32\.mat into "
        rf"{root}/svhn or {cache}/svhn"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="svhn"))
    assert not next(info for info in data_sets() if info.name == "svhn").available
