from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from tests.data.files import idx_bytes, random_bytes, write_idx
from tightbound.data.idx import read_idx
from tightbound.errors import DataError

PIXELS = random_bytes(3, 4, 5)


@pytest.mark.parametrize("name", ["images-idx3-ubyte", "images-idx3-ubyte.gz"])
def test_values_and_order(tmp_path: Path, name: str) -> None:
    path = write_idx(tmp_path / name, PIXELS)
    assert np.array_equal(read_idx(path, 3, md5=hashlib.md5(idx_bytes(PIXELS)).hexdigest()), PIXELS)


def test_the_header_is_big_endian(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x03\x07\x00\xff")
    assert read_idx(path, 1).tolist() == [7, 0, 255]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file: it begins with nothing"),
        (b"PK\x03\x04 and so on", "not an IDX file: it begins with 50 4b 03 04"),
        (b"\0\0\x0d\x03" + bytes(12), "expected an IDX file of unsigned bytes with 3 axes; got type 0x0d with 3 axes"),
        (b"\0\0\x08\x01\0\0\0\0", "expected an IDX file of unsigned bytes with 3 axes; got type 0x08 with 1 axes"),
        (b"\0\0\x08\x03\0\0", r"expected a header of 16 bytes; got 0\n  hint: the file is cut short"),
        (idx_bytes(PIXELS)[:-1], r"expected 60 bytes for shape \(3, 4, 5\); got 59"),
        (idx_bytes(PIXELS) + b"!", r"expected 60 bytes for shape \(3, 4, 5\); got 61"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "images"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"images: {message}"):
        read_idx(path, 3)


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "images.gz", PIXELS)
    with pytest.raises(DataError, match=r"images\.gz: the checksum is not that of the published file\n  hint: delete"):
        read_idx(path, 3, md5="0" * 32)


def test_damaged_gzip_is_named(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "images.gz", PIXELS)
    whole = path.read_bytes()
    middle = len(whole) // 2
    for content in (whole[:-9], b"no gzip", whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"images\.gz: cannot be read: "):
            read_idx(path, 3)
    with pytest.raises(DataError, match=r"absent: cannot be read: "):
        read_idx(tmp_path / "absent", 3)
