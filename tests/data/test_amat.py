from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.data.files import amat_bytes
from tightbound.data.amat import read_amat
from tightbound.errors import DataError

BITS = np.random.default_rng(0).integers(0, 2, (5, 12), dtype=np.uint8)


def _written(folder: Path, content: bytes) -> Path:
    path = folder / "x.amat"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b" \n"),
        lambda text: text.rstrip(),
        lambda text: b" " + text.replace(b" ", b"  ") + b"\n\n",
    ],
)
def test_values_with_any_blanks(tmp_path: Path, change) -> None:
    assert np.array_equal(read_amat(_written(tmp_path, change(amat_bytes(BITS))), 12), BITS)


def test_the_checksum_is_of_the_text(tmp_path: Path) -> None:
    path = _written(tmp_path, amat_bytes(BITS))
    assert np.array_equal(read_amat(path, 12, md5=hashlib.md5(amat_bytes(BITS)).hexdigest()), BITS)
    with pytest.raises(DataError, match=r"x\.amat: the checksum is not that of the published file\n  hint: delete"):
        read_amat(path, 12, md5="0" * 32)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"expected lines of 12 digits; got 0 digits"),
        (amat_bytes(BITS)[:-6], r"expected lines of 12 digits; got 57 digits\n  hint: is it cut short"),
        (amat_bytes(BITS).replace(b"1", b"2"), "expected digits 0 and 1 joined by blanks; got other characters"),
        (b"0.0000e+00 1.00\n" * 4, "expected "),
        (b"11 " * 6, "expected digits 0 and 1 joined by blanks; got other characters"),
        (b"<html>" * 12, "expected digits 0 and 1 joined by blanks; got other characters"),
    ],
)
def test_other_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=rf"x\.amat: {message}"):
        read_amat(_written(tmp_path, content), 12)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent\.amat: cannot be read"):
        read_amat(tmp_path / "absent.amat", 12)
