from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.files import idx_bytes, random_bytes, write_idx
from tightbound.data import DataSettings, FashionMnist, Mnist, data_sets, load_data
from tightbound.data.mnist import FourIdxFiles
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
    _expect(CONTENT, monkeypatch)


def _expect(content: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    sums = {name: ("0" * 32, hashlib.md5(idx_bytes(array)).hexdigest()) for name, array in content.items()}
    for data_set in (Mnist, FashionMnist):
        monkeypatch.setattr(data_set, "checksums", sums)
        monkeypatch.setattr(data_set, "mirrors", ())


def _write(folder: Path, suffix: str) -> None:
    for name, array in CONTENT.items():
        write_idx(folder / f"{name}{suffix}", array)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("name", "folder", "suffix"),
    [
        ("mnist", "mnist", ".gz"),
        ("mnist", "mnist", ""),
        ("mnist", "MNIST/raw", ".gz"),
        ("mnist", "MNIST/raw", ""),
        ("fashion_mnist", "fashion_mnist", ".gz"),
        ("fashion_mnist", "FashionMNIST/raw", ""),
    ],
)
def test_the_four_files_in_any_layout(empty_root: Path, name: str, folder: str, suffix: str) -> None:
    _write(empty_root / folder, suffix)
    data = load_data(DataSettings(name=name, validation=10))
    assert data.validation is not None
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 10, 7)
    assert np.array_equal(data.test.pixels[:, 0].numpy(), CONTENT["t10k-images-idx3-ubyte"])
    assert data.test.labels is not None
    assert data.test.labels.tolist() == CONTENT["t10k-labels-idx1-ubyte"].tolist()
    # The grays of MNIST are the edges of strokes, those of Fashion-MNIST shades: only the former are drawn from.
    assert (data.train.levels, data.train.binarize) == (255, "dynamic" if name == "mnist" else "none")
    infos = {info.name: info for info in data_sets()}
    assert (infos[name].available, infos[name].where) == (True, str(empty_root / folder))
    other = ({"mnist", "fashion_mnist"} - {name}).pop()
    assert not infos[other].available


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
    _expect(short, monkeypatch)
    for name, array in short.items():
        write_idx(empty_root / "fashion_mnist" / name, array)
    with pytest.raises(DataError, match="fashion_mnist: expected a label an image; got 7 images and 5 labels"):
        load_data(DataSettings(name="fashion_mnist"))


def test_the_two_sets_share_names_and_no_content() -> None:
    assert issubclass(Mnist, FourIdxFiles)
    assert list(Mnist.checksums) == list(FashionMnist.checksums) == list(CONTENT)
    sums = [sum_ for data_set in (Mnist, FashionMnist) for pair in data_set.checksums.values() for sum_ in pair]
    assert len(set(sums)) == 16
    assert all(len(sum_) == 32 for sum_ in sums)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "mean", "std", "labels"),
    [("mnist", 0.1307, 0.3081, [5, 0, 4, 1, 9]), ("fashion_mnist", 0.2860, 0.3530, [9, 0, 0, 3, 0])],
)
def test_the_real_sets(data_root: Path, name: str, mean: float, std: float, labels: list[int]) -> None:
    """Mean and standard deviation are those that everyone normalizes by."""
    assert (data_root / name).is_dir()
    data = load_data(DataSettings(name=name, binarize="none", validation=0))
    assert data.test is not None
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    pixels = data.train.pixels.to(torch.float32) / 255
    assert float(pixels.mean()) == pytest.approx(mean, abs=5e-5)
    assert float(pixels.std()) == pytest.approx(std, abs=5e-5)
    assert data.train.labels is not None
    assert data.train.labels[:5].tolist() == labels
    kept = load_data(DataSettings(name=name))
    assert kept.validation is not None
    assert (len(kept.train), len(kept.validation)) == (55_000, 5_000)
