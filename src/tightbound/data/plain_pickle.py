"""Pickles that hold nothing but lists, texts, numbers and arrays of bytes, such as those of CIFAR-10.

A pickle may name any function of any module and have it called. Here it may name three, those that an array of bytes is
made of, and what is called in their place is ours: no code of the file's choice runs, not even numpy's.
"""

from __future__ import annotations

import io
import math
import pickle
from typing import Any

import numpy as np

# What Python's reader can raise on a damaged or hostile file, for most of which it has no error of its own.
_BROKEN = (
    *(pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError),
    *(OverflowError, MemoryError, RecursionError, ImportError),
)


class PickleError(Exception):
    """It is damaged, or names what may not be named; the message says which."""


def read_plain_pickle(content: bytes) -> Any:
    """What the pickle holds; texts of Python 2 as bytes, arrays as read-only uint8.

    Raises:
        PickleError: it is damaged, holds other arrays, or names anything else than an array of bytes.
    """
    try:
        return _arrays(_Reader(io.BytesIO(content), encoding="bytes").load())
    except _BROKEN as error:
        raise PickleError(str(error) or type(error).__name__) from error


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only arrays of bytes are read") from None


class _Type:
    """In place of numpy.dtype: the code it was made with."""

    def __init__(self, code: object, *_: object) -> None:
        self.code = code.decode("latin-1") if isinstance(code, bytes) else code

    def __setstate__(self, state: object) -> None:
        """Byte order and alignment, which bytes do not have."""


class _Array:
    """In place of numpy.ndarray: the bytes and their shape."""

    def __init__(self, *_: object) -> None:
        self.array = np.empty(0, np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, by_column, content = state
        if not isinstance(kind, _Type) or kind.code != "u1":
            raise pickle.UnpicklingError(f"it holds an array of type {getattr(kind, 'code', kind)!r}, expected bytes")
        if not isinstance(content, bytes) or len(content) != math.prod(shape):
            raise pickle.UnpicklingError(f"it holds an array without its {shape} bytes")
        self.array = np.frombuffer(content, np.uint8).reshape(shape, order="F" if by_column else "C")


_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
}


def _arrays(value: Any) -> Any:
    """The top of it with arrays in place of what stood for them."""
    if isinstance(value, dict):
        return {key: item.array if isinstance(item, _Array) else item for key, item in value.items()}
    return value
