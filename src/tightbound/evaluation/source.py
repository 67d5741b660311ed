"""Where an evaluation's images come from, and the checks on them."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.errors import DataError
from tightbound.evaluation.sentence import Measure


@runtime_checkable
class Source(Protocol):
    """Images by index. ``data.Split`` is one; its ``labels``, ``log_volume`` and ``dequantize`` are used where it has
    them.
    """

    def __len__(self) -> int: ...

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """Images [start, stop), (B, C, H, W) in [0, 1]; pixel noise depends on (seed, index of the image) alone."""
        ...


class TensorSource:
    """A tensor of images (N, C, H, W) as it is."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def fixed(self, start: int, stop: int, seed: int) -> Tensor:
        """Images [start, stop); there is no pixel noise, so the seed is not used."""
        return self.x[start:stop]


class Images:
    """Checked images on a model's device and in its precision.

    Args:
        model: whose image shape they must have.
        source: a tensor (N, C, H, W) or a ``Source``.
        seed: of the pixels' own noise.
        limit: use the first ``limit`` images only.
    """

    def __init__(self, model: Model, source: Tensor | Source, seed: int, limit: int | None = None) -> None:
        self._source = TensorSource(source) if isinstance(source, Tensor) else source
        self._seed = seed
        self._shape = tuple(model.image_shape)
        self._binary = model.likelihood.data_kind == "binary"
        self._like = next(model.parameters(), torch.empty(0))
        self.gray = False
        self.num_images = len(self._source) if limit is None else min(limit, len(self._source))
        if self.num_images == 0:
            raise DataError("expected at least one image to evaluate; got none")
        labels = getattr(self._source, "labels", None)
        self.labels: Tensor | None = None if labels is None else torch.as_tensor(labels)[: self.num_images].cpu()
        self.log_volume = float(getattr(self._source, "log_volume", 0.0))
        self.dequantized = getattr(self._source, "dequantize", None) == "uniform"

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._like.device

    def read(self, span: range) -> Tensor:
        """(B, C, H, W), in the model's precision; notes whether a model of binary pixels meets gray ones.

        Raises:
            DataError: if the shape is not the model's.
        """
        x = self._source.fixed(span.start, span.stop, self._seed)
        if tuple(x.shape[1:]) != self._shape:
            raise DataError(f"expected images of shape {self._shape}; got {tuple(x.shape[1:])}")
        if self._binary and not self.gray:
            self.gray = bool(((x != 0) & (x != 1)).any())
        return x.to(self._like)


def measure_of(model: Model, gray: bool) -> Measure:
    """What the model's p(x) is, given whether binary pixels turned out to be gray."""
    if gray:
        return "not a likelihood"
    return "density" if model.likelihood.data_kind == "continuous" else "probability"
