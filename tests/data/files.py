"""Writers of the original formats."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def idx_bytes(array: np.ndarray) -> bytes:
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(path: Path, array: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def amat_bytes(bits: np.ndarray) -> bytes:
    return b"".join(b" ".join(b"%d" % bit for bit in row) + b"\n" for row in bits)


def write_image(path: Path, array: np.ndarray, mode: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)
    return path


def drawing_bytes(ink: np.ndarray) -> bytes:
    """A 1-bit PNG, black where there is ink."""
    content = io.BytesIO()
    Image.fromarray(~ink).convert("1").save(content, "png")
    return content.getvalue()


def write_drawings(path: Path, drawings: Mapping[str, np.ndarray]) -> Path:
    """A zip file with the folders of OMNIGLOT, from (105, 105) bool by ``Alphabet/characterNN/NNNN_NN``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{path.stem}/", b"")
        file.writestr("__MACOSX/._notes.png", b"no drawing")
        for name, ink in drawings.items():
            file.writestr(f"{path.stem}/{name}.png", drawing_bytes(ink))
    return path


def random_bytes(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
