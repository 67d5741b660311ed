from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.files import random_bytes
from tightbound.data.arrays import read_array_file
from tightbound.data.fingerprint import fingerprint
from tightbound.data.images import Images


def _images(count: int = 100) -> Images:
    return Images(torch.from_numpy(random_bytes(count, 1, 3, 3)), 255)


def test_it_is_of_the_pixels_the_number_and_the_levels() -> None:
    first = fingerprint(_images())
    assert fingerprint(_images()) == first
    assert fingerprint(_images(1)) != first
    assert fingerprint(Images(_images().pixels, 254)) != first
    assert fingerprint(_images().select(torch.arange(99))) != first
    for row in (0, 99):
        changed = _images()
        changed.pixels[row, 0, 2, 2] ^= 1
        assert fingerprint(changed) != first


def test_every_image_of_a_small_set_counts() -> None:
    first = fingerprint(_images(32))
    for row in range(32):
        changed = _images(32)
        changed.pixels[row, 0, 0, 0] ^= 1
        assert fingerprint(changed) != first


def test_a_memory_mapped_set_has_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "x.npy", random_bytes(40, 6, 6))
    kept = read_array_file(tmp_path / "x.npy").train
    monkeypatch.setattr("tightbound.data.arrays.MAPPED_ABOVE", 100)
    mapped = read_array_file(tmp_path / "x.npy").train
    assert mapped.mapped
    chosen = torch.tensor([3, 39, 7])
    assert fingerprint(mapped.select(chosen)) == fingerprint(kept.select(chosen))
