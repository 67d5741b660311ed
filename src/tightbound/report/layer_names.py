"""What the layers of a ladder are called on the page: counted from 1, the bottom, to L, the top."""

from __future__ import annotations

from collections.abc import Sequence


def layer_of(group: int, groups: int) -> int:
    """The layer of a latent group; groups are counted from 0, the top first."""
    return groups - group


def layer_name(layer: int, layers: int) -> str:
    """``1 (bottom)``, ``2``, ``3 (top)``; without a word where there is one layer."""
    if layers > 1 and layer in (1, layers):
        return f"{layer} ({'bottom' if layer == 1 else 'top'})"
    return str(layer)


def layer_of_unit(unit: int, sizes: Sequence[int]) -> int:
    """The layer that a flat index is in; ``sizes`` are the units of each group, top first."""
    for group, size in enumerate(sizes):
        if unit < size:
            return layer_of(group, len(sizes))
        unit -= size
    raise ValueError(f"expected a unit below {sum(sizes)}; got {unit + sum(sizes)}")
