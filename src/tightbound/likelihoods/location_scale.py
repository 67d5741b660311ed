"""What likelihoods with a location and a learned scale share: the mean's activation and where the scale starts."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor

MeanActivation = Literal["none", "sigmoid"]


def activate(output: Tensor, activation: MeanActivation) -> Tensor:
    """The location of a decoder's output: itself, or its logistic sigmoid in (0, 1)."""
    return output.sigmoid() if activation == "sigmoid" else output


def starting_point(scale: float, min_scale: float) -> float:
    """The r whose soft floor is the wanted scale: log min + softplus(r − log min) = log scale.

    Added to a decoder's map, or a parameter's first value: so the scale starts at what the recipe says.

    Raises:
        ValueError: the scale is not above its floor.
    """
    if scale <= min_scale:
        raise ValueError(f"expected scale above its floor min_scale = {min_scale:g}; got {scale:g}")
    above = math.log(scale) - math.log(min_scale)
    return math.log(min_scale) + (math.log(math.expm1(above)) if above < 30 else above)
