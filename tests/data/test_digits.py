from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tightbound.data import DataSettings, load_data
from tightbound.errors import DataError


def test_they_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    data = load_data(DataSettings(name="digits", validation=0))
    known = load_digits()
    pixels = torch.from_numpy(known.images).to(torch.uint8)  # pyright: ignore[reportAttributeAccessIssue]
    assert data.test is not None
    rows = torch.cat([data.train.pixels, data.test.pixels]).flatten(1)
    assert sorted(rows.tolist()) == sorted(pixels.flatten(1).tolist())
    labels = {
        tuple(row): int(label)
        for row, label in zip(pixels.flatten(1).tolist(), known.target, strict=True)  # pyright: ignore
    }
    assert data.test.labels is not None
    assert [labels[tuple(row)] for row in data.test.pixels.flatten(1).tolist()] == data.test.labels.tolist()


def test_the_split_is_fixed_and_the_test_images_are_always_the_same() -> None:
    first, again, other = (load_data(DataSettings(name="digits", seed=seed)) for seed in (0, 0, 1))
    assert first.validation is not None
    assert again.validation is not None
    assert other.validation is not None
    assert first.test is not None
    assert other.test is not None
    assert (len(first.train), len(first.validation), len(first.test)) == (1297, 200, 300)
    assert (first.train.levels, first.train.binarize, first.train.kind) == (16, "dynamic", "binary")
    assert first.image_shape == (1, 8, 8)
    assert torch.equal(first.validation.pixels, again.validation.pixels)
    assert not torch.equal(first.validation.pixels, other.validation.pixels)
    assert torch.equal(first.test.pixels, other.test.pixels)


def test_the_mean_pixel_is_that_of_the_published_set() -> None:
    """4.884 of 16 over all 1,797 images: the mean of scikit-learn's table."""
    data = load_data(DataSettings(name="digits", validation=0, binarize="none"))
    assert data.test is not None
    mean = torch.cat([data.train.pixels, data.test.pixels]).double().mean()
    assert mean == pytest.approx(4.884165, abs=1e-6)


def test_neither_scikit_learn_nor_pandas_is_imported() -> None:
    code = (
        "import sys; from tightbound.data import DataSettings, load_data; load_data(DataSettings());"
        "print([name for name in ('sklearn', 'pandas', 'PIL', 'requests', 'pooch') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_or_damaged_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightbound.data.digits._file", lambda: None)
    with pytest.raises(DataError, match=r"digits: the file inside scikit-learn is missing\n  hint: pip install"):
        load_data(DataSettings(name="digits"))
    broken = tmp_path / "digits.csv.gz"
    broken.write_bytes(b"no gzip")
    monkeypatch.setattr("tightbound.data.digits._file", lambda: broken)
    with pytest.raises(DataError, match=r"digits\.csv\.gz: cannot be read: .*\n  hint: pip install"):
        load_data(DataSettings(name="digits"))
