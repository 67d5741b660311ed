"""The IDX format of MNIST: a header of big-endian sizes, then bytes. Y. LeCun, http://yann.lecun.com/exdb/mnist."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from tightbound.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, ndim: int, *, md5: str | None = None) -> np.ndarray:
    """The uint8 array of an IDX file, plain or gzipped.

    Args:
        path: the file; gzipped if its name ends in ``.gz``.
        ndim: the axes it must have: 3 for images, 1 for labels.
        md5: of the uncompressed bytes, if known.

    Raises:
        DataError: for a file that is damaged, is not IDX, or is another file than the checksum's.
    """
    content = _bytes(path)
    if md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{path}: the checksum is not that of the published file", hint="delete it and get it again")
    if len(content) < 4 or content[:2] != b"\0\0":
        raise DataError(f"{path}: not an IDX file: it begins with {content[:4].hex(' ') or 'nothing'}")
    if content[2] != _UNSIGNED_BYTE or content[3] != ndim:
        raise DataError(
            f"{path}: expected an IDX file of unsigned bytes with {ndim} axes; "
            f"got type 0x{content[2]:02x} with {content[3]} axes"
        )
    header = 4 + 4 * ndim
    shape = struct.unpack(f">{ndim}I", content[4:header]) if len(content) >= header else ()
    if not shape or len(content) - header != math.prod(shape):
        size = f"{math.prod(shape):,} bytes for shape {shape}" if shape else f"a header of {header} bytes"
        raise DataError(f"{path}: expected {size}; got {max(len(content) - header, 0):,}", hint="the file is cut short")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(f"{path}: cannot be read: {error}", hint="delete it and get it again") from error
