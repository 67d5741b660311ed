"""Two colored shapes at most, in the way of multi-object dSprites."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tightbound.data.multi_objects import MultiObjects
from tightbound.data.progress import Progress
from tightbound.data.sprites import ANGLES, COLORS, SCALES, SHAPES, SIDE, draw_sprites, sprite_facts
from tightbound.registry import register


@register("data", "multi_dsprites")
class MultiDsprites(MultiObjects):
    """Zero to two squares, triangles or ellipses in seven colors, 90,000 + 10,000 of 3 × 64 × 64, pixels 0 and 1.

    5,040 sprites of 18 × 18: three shapes, 40 angles, six scales, seven colors. The published numbers are on a file of
    others, made likewise from another seed and with other outlines: they compare with ours as numbers of two samples
    from nearly one distribution do, and not image by image.
    """

    name = "multi_dsprites"
    own_seed = 1
    shape = (3, SIDE, SIDE)
    num_sprites = len(SHAPES) * len(ANGLES) * len(SCALES) * len(COLORS)

    def files(self) -> list[Path] | None:
        """None are needed."""
        return []

    def how_to_get(self) -> str:
        """It is made."""
        return "made when first used"

    def sources(self, progress: Progress = None) -> list[Path]:
        """None."""
        return []

    def sprites(self) -> np.ndarray:
        """bool (5040, 3, 18, 18)."""
        return draw_sprites().reshape(-1, *self.shape)

    def facts(self) -> Mapping[str, np.ndarray]:
        """Shape, angle, scale and color."""
        return sprite_facts()
