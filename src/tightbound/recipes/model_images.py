"""Images for a model that comes without its run: checked as the run would check them, on what the model alone tells."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from tightbound.core import Model
from tightbound.data import DataSettings, Split, split_of
from tightbound.data.storage import darkness
from tightbound.errors import DataError
from tightbound.recipes.facts import DataFacts, Measure, check_likelihood

_OR_THE_RUN = "or evaluate the run, which prepares images as its own"


def images_for(model: Model, x: Any, gray_protocol: bool = False) -> tuple[Split, Measure]:
    """Images on the grid of a model's likelihood, and what a number of the model on them is.

    A Bernoulli takes {0, 1}; a probability of the levels 0 to n integers 0 to n or floats k / n; a density floats in
    [0, 1] or bytes read as k / 255.

    Args:
        model: any.
        x: anything that holds images, see ``data.split_of``.
        gray_protocol: whether a Bernoulli may score gray levels, as a published protocol does.

    Raises:
        DataError: NaN, another range, another grid or another shape; with what to do.
    """
    likelihood = model.likelihood
    binary = likelihood.data_kind == "binary"
    settings = DataSettings(binarize="auto" if binary and not gray_protocol else "none")
    levels = likelihood.levels
    split = split_of(x, settings, levels=None if isinstance(x, str) else levels)
    if split.image_shape != tuple(model.image_shape):
        raise DataError(f"expected images of shape {tuple(model.image_shape)}; got {split.image_shape}")
    if binary and split.kind != "binary" and not gray_protocol:
        pixels = "floats in between" if split.levels is None else f"gray levels 0 to {split.levels}"
        raise DataError(
            f"expected pixels in {{0, 1}} for a Bernoulli likelihood; got {pixels}",
            hint=f"binarize them: (x > 0.5) or torch.bernoulli(x); {_OR_THE_RUN}; "
            "gray_protocol=True for a published protocol, whose numbers are no likelihood",
        )
    if not binary and levels is None and _are_bytes(x) and darkness([split.pixels]):
        largest = int(split.pixels.max())
        raise DataError(
            f"expected bytes 0 to 255, or floats in [0, 1]; got bytes 0 to {largest}, and the white one is not known",
            hint=f"give x / {largest} if {largest} is white, x / 255 if 255 is; {_OR_THE_RUN}",
        )
    measure, _ = check_likelihood(likelihood, DataFacts.of(split), gray_protocol and split.kind != "binary")
    return split, measure


def _are_bytes(x: Any) -> bool:
    return isinstance(x, np.ndarray | Tensor) and x.dtype in (np.uint8, torch.uint8)
