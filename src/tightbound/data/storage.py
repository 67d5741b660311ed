"""From any array of pixels to (N, C, H, W) and its gray levels, or a refusal that says why and what to do."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tightbound.errors import DataError

_CHUNK = 1 << 24  # pixels looked at together: enough for speed, little next to a memory-mapped set
_TOLERANCE = 1e-4  # of k in x = k / levels: the rounding of float32 is 1.5e-5 at 255
_SHAPES = "(N, H, W), (N, C, H, W) or (N, H, W, C)"


def as_tensor(array: np.ndarray | Tensor, where: str) -> Tensor:
    """The array as a CPU tensor that shares its memory (or its file), of a type that pixels can have.

    Raises:
        DataError: for any type but bool, uint8 and floating.
    """
    if isinstance(array, Tensor):
        tensor = array.detach().cpu()
    else:
        if array.dtype.kind not in "bf" and array.dtype != np.uint8:
            raise _wrong_type(where, str(array.dtype))
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        tensor = from_numpy(array)
    if tensor.dtype not in (torch.bool, torch.uint8) and not tensor.is_floating_point():
        raise _wrong_type(where, str(tensor.dtype).removeprefix("torch."))
    return tensor


def from_numpy(array: np.ndarray) -> Tensor:
    """``torch.from_numpy`` of an array that may be read-only; nothing here writes to it."""
    if any(stride < 0 for stride in array.strides):
        array = array.copy()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _wrong_type(where: str, found: str) -> DataError:
    hint = "x.astype('uint8') if the values are 0 to 255"
    return DataError(f"{where}: expected pixels of type uint8, bool or float; got {found}", hint=hint)


def to_channels_first(pixels: Tensor, where: str) -> Tensor:
    """(N, H, W), (N, C, H, W) or (N, H, W, C) -> (N, C, H, W), without a copy.

    Four axes are read as (N, C, H, W), unless the last has 1 to 4 entries and the second has more.

    Raises:
        DataError: for another number of axes, or no image, or an empty one.
    """
    shape = tuple(pixels.shape)
    if pixels.ndim not in (3, 4):
        raise DataError(f"{where}: expected {_SHAPES}; got shape {shape}", hint=_shape_hint(shape))
    if len(pixels) == 0:
        raise DataError(f"{where}: expected at least one image; got shape {shape}")
    if 0 in shape:
        raise DataError(f"{where}: expected images of one pixel or more; got shape {shape}")
    if pixels.ndim == 3:
        return pixels.unsqueeze(1)
    return pixels.permute(0, 3, 1, 2) if shape[3] <= 4 < shape[1] else pixels


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) != 2:
        return ""
    side = round(shape[1] ** 0.5)
    return f"x.reshape(-1, {side}, {side})" if side * side == shape[1] else "x.reshape(-1, height, width)"


def find_levels(arrays: Sequence[Tensor], where: str, levels: int | None = None) -> int | None:
    """The largest gray level of what the arrays hold together; None for floats that are no gray levels.

    1 if the pixels are only 0 and 1 (or bytes 0 and 255), 255 for other bytes and for floats that are all k / 255.

    Args:
        arrays: bool, uint8 or floating.
        where: what they are called in a message.
        levels: the gray levels that are expected, such as those a model was trained on; then only these are accepted.

    Raises:
        DataError: for NaN, infinity, values outside [0, 1], or other levels than the expected.
    """
    found = {_levels_of(array, where, levels) for array in arrays}
    if None not in found:
        return max(level for level in found if level is not None)
    if not all(array.is_floating_point() for array in arrays):
        types = sorted({str(array.dtype).removeprefix("torch.") for array in arrays})
        raise DataError(f"{where}: expected pixels of one type in all parts; got {' and '.join(types)}")
    return None


def _levels_of(array: Tensor, where: str, expected: int | None) -> int | None:
    if array.is_floating_point():
        return _float_levels(array, where, expected)
    values = _byte_values(array)
    binary = values <= {0, 1} or values <= {0, 255}
    if expected is None:
        return 1 if binary else 255
    fits = binary if expected == 1 else array.dtype is torch.uint8 and max(values) <= expected
    if not fits:
        found = "bool" if array.dtype is torch.bool else f"0 to {max(values)}"
        raise DataError(f"{where}: expected gray levels 0 to {expected}; got {found}")
    return expected


def darkness(arrays: Sequence[Tensor]) -> tuple[str, ...]:
    """A remark if bytes use less than half of their range: they may be levels of another scale, such as 0 to 16."""
    if not all(array.dtype is torch.uint8 for array in arrays):
        return ()
    largest = max(max(_byte_values(array)) for array in arrays)
    if not 1 < largest < 128:
        return ()
    return (f"no pixel is above {largest} of 255; if {largest} means white, say data.levels={largest}",)


def _byte_values(array: Tensor) -> set[int]:
    counts = torch.zeros(256, dtype=torch.int64)
    for _, chunk in _chunks(array):
        counts += torch.bincount(chunk.to(torch.uint8).flatten(), minlength=256)
    return set(counts.nonzero().flatten().tolist())


def _float_levels(array: Tensor, where: str, expected: int | None) -> int | None:
    _check_range(array, where)
    if expected is None and all(bool(((chunk == 0) | (chunk == 1)).all()) for _, chunk in _chunks(array)):
        return 1
    levels = expected or 255
    for _, chunk in _chunks(array):
        k = chunk.to(torch.float32) * levels
        if bool(((k - k.round()).abs() > _TOLERANCE).any()):
            if expected is not None:
                raise DataError(f"{where}: expected gray levels k/{levels}; got floats in between")
            return None
    return levels


def _check_range(array: Tensor, where: str) -> None:
    low, high = float("inf"), -float("inf")
    for first, chunk in _chunks(array):
        finite = torch.isfinite(chunk).flatten(1).all(1)
        if not bool(finite.all()):
            image = first + int((~finite).nonzero()[0])
            raise DataError(
                f"{where}: expected finite pixels; got NaN or infinity in image {image}",
                hint="leave such images out, or repair them with numpy.nan_to_num",
            )
        low, high = min(low, float(chunk.min())), max(high, float(chunk.max()))
    if low < 0 or high > 1:
        message = f"{where}: expected floats in [0, 1]; got {low:.6g} to {high:.6g}"
        raise DataError(message, hint=_range_hint(low, high))


def _range_hint(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "divide by the largest value that a pixel can have, such as 255"
    if low >= -1 and high <= 1:
        return "if they are scaled to [-1, 1], give (x + 1) / 2"
    return "rescale them to [0, 1]"


def _chunks(array: Tensor) -> Iterator[tuple[int, Tensor]]:
    """(first image, images) pieces, so that a memory-mapped set is never whole in memory."""
    step = max(1, _CHUNK // max(1, array[0].numel()))
    for first in range(0, len(array), step):
        yield first, array[first : first + step]
