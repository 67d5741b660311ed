from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.files import idx_bytes, random_bytes, write_idx
from tightbound.data import DataSettings, data_sets, load_data, mnist
from tightbound.errors import DataError

CONTENT = {
    "train-images-idx3-ubyte": random_bytes(30, 28, 28),
    "train-labels-idx1-ubyte": random_bytes(30) % 10,
    "t10k-images-idx3-ubyte": random_bytes(7, 28, 28, seed=1),
    "t10k-labels-idx1-ubyte": random_bytes(7, seed=1) % 10,
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checksums of a small set, and no way to the network."""
    sums = {name: ("0" * 32, hashlib.md5(idx_bytes(array)).hexdigest()) for name, array in CONTENT.items()}
    monkeypatch.setattr(mnist, "FILES", sums)
    monkeypatch.setattr(mnist, "MIRRORS", ())


def _write(folder: Path, suffix: str) -> None:
    for name, array in CONTENT.items():
        write_idx(folder / f"{name}{suffix}", array)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("folder", "suffix"), [("mnist", ".gz"), ("mnist", ""), ("MNIST/raw", ".gz"), ("MNIST/raw", "")]
)
def test_the_four_files_in_any_layout(empty_root: Path, folder: str, suffix: str) -> None:
    _write(empty_root / folder, suffix)
    data = load_data(DataSettings(name="mnist", validation=10))
    assert data.validation is not None
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 10, 7)
    assert np.array_equal(data.test.pixels[:, 0].numpy(), CONTENT["t10k-images-idx3-ubyte"])
    assert data.test.labels is not None
    assert data.test.labels.tolist() == CONTENT["t10k-labels-idx1-ubyte"].tolist()
    assert (data.train.levels, data.train.binarize) == (255, "dynamic")
    info = next(info for info in data_sets() if info.name == "mnist")
    assert (info.available, info.where) == (True, str(empty_root / folder))


@pytest.mark.usefixtures("small")
def test_the_user_cache_is_looked_at_too(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIGHTBOUND_DATA", raising=False)
    _write(cache / "mnist", ".gz")
    assert len(load_data(DataSettings(name="mnist", validation=0)).train) == 30


@pytest.mark.usefixtures("small")
def test_an_altered_file_is_refused(empty_root: Path) -> None:
    _write(empty_root / "mnist", ".gz")
    altered = CONTENT["train-labels-idx1-ubyte"].copy()
    altered[3] ^= 1
    write_idx(empty_root / "mnist" / "train-labels-idx1-ubyte.gz", altered)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz: the checksum is not that of the published file"):
        load_data(DataSettings(name="mnist"))


@pytest.mark.usefixtures("small")
def test_missing_files_are_named_with_the_place(empty_root: Path, cache: Path) -> None:
    message = (
        rf"cannot download train-images-idx3-ubyte\.gz: .*\n  hint: put train-.* into {empty_root}/mnist or {cache}"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="mnist"))
    info = next(info for info in data_sets() if info.name == "mnist")
    assert not info.available
    assert "t10k-labels-idx1-ubyte.gz" in info.where


def test_a_label_is_needed_for_each_image(monkeypatch: pytest.MonkeyPatch, empty_root: Path) -> None:
    short = {**CONTENT, "t10k-labels-idx1-ubyte": CONTENT["t10k-labels-idx1-ubyte"][:5]}
    sums = {name: ("0" * 32, hashlib.md5(idx_bytes(array)).hexdigest()) for name, array in short.items()}
    monkeypatch.setattr(mnist, "FILES", sums)
    for name, array in short.items():
        write_idx(empty_root / "mnist" / name, array)
    with pytest.raises(DataError, match="mnist: expected a label an image; got 7 images and 5 labels"):
        load_data(DataSettings(name="mnist"))


@pytest.mark.real_data
def test_the_real_set(data_root: Path) -> None:
    assert (data_root / "mnist").is_dir()
    data = load_data(DataSettings(name="mnist", binarize="none", validation=0))
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    # The mean and standard deviation that everyone normalizes by: 0.1307 and 0.3081.
    pixels = data.train.pixels.to(torch.float32) / 255
    assert float(pixels.mean()) == pytest.approx(0.1307, abs=5e-5)
    assert float(pixels.std()) == pytest.approx(0.3081, abs=5e-5)
    assert data.train.labels is not None
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    kept = load_data(DataSettings(name="mnist"))
    assert kept.validation is not None
    assert (len(kept.train), len(kept.validation)) == (55_000, 5_000)
