from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.files import amat_bytes
from tightbound.data import DataSettings, data_sets, load_data, static_mnist
from tightbound.errors import DataError

_random = np.random.default_rng(0)
BITS = {part: _random.integers(0, 2, (n, 784), dtype=np.uint8) for part, n in (("train", 9), ("valid", 4), ("test", 5))}


@pytest.fixture
def text(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The three text files of a small set."""
    sums = {}
    for part, bits in BITS.items():
        name = f"binarized_mnist_{part}.amat"
        content = amat_bytes(bits)
        sums[part] = (name, hashlib.md5(content).hexdigest())
        (empty_root / "static_mnist").mkdir(exist_ok=True)
        (empty_root / "static_mnist" / name).write_bytes(content)
    monkeypatch.setattr(static_mnist, "TEXT", sums)
    return empty_root / "static_mnist"


def _bits(pixels: torch.Tensor) -> np.ndarray:
    return pixels.flatten(1).numpy()


@pytest.mark.usefixtures("text")
def test_text_files_keep_bits_order_and_parts() -> None:
    for _ in ("parsed", "from the cache"):
        data = load_data(DataSettings(name="static_mnist"))
        assert data.validation is not None
        assert data.test is not None
        for split, part in ((data.train, "train"), (data.validation, "valid"), (data.test, "test")):
            assert np.array_equal(_bits(split.pixels), BITS[part])
            assert split.image_shape == (1, 28, 28)
            assert (split.levels, split.binarize, split.kind, split.labels) == (1, "none", "binary", None)


def test_parsed_text_goes_to_the_user_cache_only(text: Path, cache: Path) -> None:
    before = sorted(text.rglob("*"))
    load_data(DataSettings(name="static_mnist"))
    assert sorted(text.rglob("*")) == before
    assert len(list((cache / "converted").glob("static_mnist_*.npy"))) == 3


def test_the_packed_file(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = empty_root / "static_mnist" / "static_mnist_packed.npz"
    path.parent.mkdir()
    np.savez(path, **{part: np.packbits(bits, axis=-1) for part, bits in BITS.items()})
    with pytest.raises(DataError, match=r"static_mnist_packed\.npz: the checksum is not that of the known file"):
        load_data(DataSettings(name="static_mnist"))
    monkeypatch.setattr(static_mnist, "PACKED_MD5", hashlib.md5(path.read_bytes()).hexdigest())
    data = load_data(DataSettings(name="static_mnist"))
    assert data.validation is not None
    assert np.array_equal(_bits(data.validation.pixels), BITS["valid"])
    path.write_bytes(b"no zip")
    monkeypatch.setattr(static_mnist, "PACKED_MD5", hashlib.md5(b"no zip").hexdigest())
    with pytest.raises(DataError, match=r"static_mnist_packed\.npz: cannot be read: "):
        load_data(DataSettings(name="static_mnist"))


@pytest.mark.usefixtures("text")
def test_validation_0_merges_training_and_validation_images() -> None:
    data = load_data(DataSettings(name="static_mnist", validation=0))
    assert data.validation is None
    assert np.array_equal(_bits(data.train.pixels), np.concatenate([BITS["train"], BITS["valid"]]))


@pytest.mark.usefixtures("text")
def test_another_number_is_cut_from_the_end() -> None:
    data = load_data(DataSettings(name="static_mnist", validation=3))
    both = np.concatenate([BITS["train"], BITS["valid"]])
    assert data.validation is not None
    assert np.array_equal(_bits(data.train.pixels), both[:10])
    assert np.array_equal(_bits(data.validation.pixels), both[10:])
    assert "validation: 3 images instead of the set's own 4; 10 to train on" in data.notes
    with pytest.raises(
        DataError, match=r"static_mnist: expected data\.validation below 13, the images there are; got 13"
    ):
        load_data(DataSettings(name="static_mnist", validation=13))


def test_missing_files_are_named_with_the_place(empty_root: Path) -> None:
    message = rf"its files are missing, .*\n  hint: put binarized_mnist_train\.amat, .* into {empty_root}/static_mnist"
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="static_mnist"))
    assert not next(info for info in data_sets() if info.name == "static_mnist").available


def test_an_altered_text_file_is_refused(text: Path) -> None:
    path = text / "binarized_mnist_valid.amat"
    content = path.read_bytes()
    path.write_bytes((b"1" if content[:1] == b"0" else b"0") + content[1:])
    with pytest.raises(DataError, match=r"binarized_mnist_valid\.amat: the checksum is not that of the published file"):
        load_data(DataSettings(name="static_mnist"))


@pytest.mark.real_data
def test_the_real_set(data_root: Path) -> None:
    assert (data_root / "static_mnist").is_dir()
    sentences: list[str] = []
    data = load_data(DataSettings(name="static_mnist"), progress=sentences.append)
    assert data.validation is not None
    assert data.test is not None
    assert (len(data.train), len(data.validation), len(data.test)) == (50_000, 10_000, 10_000)
    for split, mean in ((data.train, 0.13056), (data.validation, 0.13113), (data.test, 0.13251)):
        assert float(split.pixels.to(torch.float32).mean()) == pytest.approx(mean, abs=5e-6)
    # The text of the published file, made again from these bits, has the published checksum.
    content = amat_text(_bits(data.validation.pixels))
    assert hashlib.sha1(content).hexdigest() == "13418487742e6ea6d48db7b5187353a20b1b1f8c"


def amat_text(bits: np.ndarray) -> bytes:
    text = np.full((*bits.shape, 2), ord(" "), np.uint8)
    text[..., 0] = bits + ord("0")
    text[:, -1, 1] = ord("\n")
    return text.tobytes()
