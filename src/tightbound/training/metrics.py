"""Metrics: sums that stay on the device, and the rows of ``metrics.jsonl``."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

FILE_NAME = "metrics.jsonl"


class Meter:
    """Means over an interval, without waiting for the device: one fused sum a step, one transfer a reading.

    Steps that were skipped do not count. The sums go into checkpoints, so a resumed run logs the same rows.

    Args:
        device: where the values are.
        over_processes: makes the mean over all processes out of each one's value, at a reading. It commutes with the
            sum, so nothing has to be exchanged at a step.
    """

    def __init__(
        self, device: torch.device | str, over_processes: Callable[[Tensor], Tensor] = lambda value: value
    ) -> None:
        # mps has no float64.
        self._dtype = torch.float32 if torch.device(device).type == "mps" else torch.float64
        self._device, self._over_processes = device, over_processes
        self._sizes: dict[str, int] = {}  # 0 for a scalar
        self._total = torch.zeros(0, dtype=self._dtype, device=device)
        self._count = torch.zeros((), dtype=self._dtype, device=device)

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor], finite: Tensor) -> None:
        """Adds one step's values, scalars or vectors; the names are the same at every step.

        Args:
            values: by name.
            finite: 0-d bool; where False nothing is added.
        """
        if not self._sizes:
            self._sizes = {name: value.numel() if value.dim() else 0 for name, value in values.items()}
        flat = torch.cat([value.detach().reshape(-1).to(self._dtype) for value in values.values()])
        if self._total.numel() == 0:
            self._total = torch.zeros_like(flat)
        self._total += torch.where(finite, flat, 0.0)
        self._count += finite

    def read(self) -> dict[str, Any]:
        """The means since the last reading, empty if no step counted; then starts anew."""
        total, count = self._over_processes(self._total).tolist(), float(self._count)
        self._total.zero_()
        self._count.zero_()
        means, start = {}, 0
        for name, size in self._sizes.items():
            values = [value / count for value in total[start : start + max(size, 1)]] if count else []
            start += max(size, 1)
            if count:
                means[name] = values if size else values[0]
        return means

    def tensors(self) -> dict[str, Tensor]:
        """For a checkpoint."""
        return {"total": self._over_processes(self._total), "count": self._count}

    def names(self) -> dict[str, int]:
        """For a checkpoint: name and size of what is summed."""
        return dict(self._sizes)

    def restore(self, tensors: Mapping[str, Tensor], names: Mapping[str, int]) -> None:
        """The opposite of ``tensors`` and ``names``."""
        self._sizes = dict(names)
        self._total = tensors["total"].to(self._device)
        self._count = tensors["count"].to(self._device)


class MetricsFile:
    """``metrics.jsonl``: one JSON object a line, cut at a checkpoint's offset when a run resumes.

    Args:
        folder: the run folder; None for a process that is not the one to write.
        offset: bytes to keep of what is there.
    """

    def __init__(self, folder: Path | None, offset: int) -> None:
        self._file = None if folder is None else open(folder / FILE_NAME, "ab")  # noqa: SIM115 (closed in __exit__)
        if self._file is not None:
            self._file.truncate(min(offset, self._file.tell()))
            self._file.seek(0, os.SEEK_END)

    def write(self, row: Mapping[str, Any]) -> None:
        """Appends a row; what is not finite becomes null."""
        if self._file is not None:
            self._file.write(json.dumps(plain(row)).encode() + b"\n")
            self._file.flush()

    def sync(self) -> int:
        """Makes the rows durable; the offset behind the last one."""
        if self._file is None:
            return 0
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def __enter__(self) -> MetricsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()


def by_layer(row: dict[str, Any]) -> dict[str, Any]:
    """A row as users count layers: ``kl_groups``, the top first, becomes ``kl_layers``, the bottom first."""
    return {
        "kl_layers" if key == "kl_groups" else key: value[::-1] if key == "kl_groups" else value
        for key, value in row.items()
    }


def plain(value: Any) -> Any:
    """Tensors and NumPy values as JSON has them; NaN and infinities as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
