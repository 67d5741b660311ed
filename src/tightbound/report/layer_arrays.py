"""What the report shows of the layers of a ladder, as arrays; layers always from the bottom, 1 … L."""

from __future__ import annotations

from dataclasses import dataclass

from tightbound.report.pictures import Array


@dataclass(frozen=True, eq=False)
class LayerGrids:
    """Samples of one layer after the other: the layers above are shared by a row, those below are at their mode.

    Args:
        images: (n, R, S, C, H, W), of each of these layers a grid of R rows and S columns.
        layers: (n), which.
        num_layers: L.
        sampled: whether pixels are samples of the likelihood, not its means.
        temperature: of all samples.
    """

    images: Array
    layers: tuple[int, ...]
    num_layers: int
    sampled: bool = False
    temperature: float = 1.0


@dataclass(frozen=True, eq=False)
class Cooled:
    """Means of the pixels of samples at several temperatures, of the same noise.

    Args:
        images: (n, S, C, H, W), a row for each temperature.
        temperatures: (n).
    """

    images: Array
    temperatures: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class LayerKL:
    """What each layer costs, at one posterior sample of each image.

    Args:
        per_image: (n, L) nats.
        mean_maps: L maps (h, w), nats at each position, summed over channels: the mean over these images.
        images: (m, C, H, W), a few of them, with the zeros that the model pads them with.
        maps: L stacks of maps (m, h, w), of these few.
        index: (m), of the few in their split.
        split: what the images are of.
        padded: whether there are such zeros.
    """

    per_image: Array
    mean_maps: tuple[Array, ...]
    images: Array
    maps: tuple[Array, ...]
    index: Array
    split: str = "test"
    padded: bool = False


@dataclass(frozen=True, eq=False)
class Layers:
    """All of these, as far as they are known.

    Args:
        grids: of every layer.
        cooled: samples.
        kl: None without held-out images.
    """

    grids: LayerGrids
    cooled: Cooled
    kl: LayerKL | None = None
