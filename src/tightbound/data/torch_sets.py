"""Images out of a PyTorch Dataset or DataLoader, read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, SequentialSampler, default_collate

from tightbound.data.arrays import Array
from tightbound.data.progress import Progress, Ticker
from tightbound.errors import DataError

_IMAGE_KEYS = ("image", "images", "img", "pixel_values", "pixels", "data", "x")
_LABEL_KEYS = ("label", "labels", "target", "targets", "y")

NOTE = "each image was read once: random augmentation in the data set is frozen"


def read_dataset(dataset: Dataset[Any], progress: Progress = None) -> tuple[Array, Tensor | None]:
    """All images of a data set, and their labels if every item has one.

    An item is an image (tensor, array or PIL image), a tuple that begins with one, or a mapping that names it.

    Raises:
        DataError: for an empty data set, an item that is no image, or images of several sizes.
    """
    ticker = Ticker("images", getattr(dataset, "__len__", lambda: None)(), progress)
    images: list[Tensor] = []
    labels: list[Any] = []
    for index, item in enumerate(_items(dataset)):
        image, label = _image_and_label(item, f"item {index}")
        if images and image.shape != images[0].shape:
            raise DataError(
                f"data set: expected images of one shape; got {tuple(images[0].shape)} "
                f"and, as item {index}, {tuple(image.shape)}"
            )
        images.append(image)
        labels.append(label)
        ticker.done(index + 1)
    if not images:
        raise DataError("data set: expected at least one image; got none")
    return torch.stack(images), _stack_labels(labels)


def read_loader(loader: DataLoader[Any], progress: Progress = None) -> tuple[Array, Tensor | None]:
    """All images of a loader, in the order of its data set unless it has a sampler or a collate function of its own."""
    plain = isinstance(loader.sampler, SequentialSampler | RandomSampler) and loader.collate_fn is default_collate
    if plain and loader.batch_size is not None and not isinstance(loader.dataset, IterableDataset):
        return read_dataset(loader.dataset, progress)
    pairs = [_image_and_label(item, f"batch {index}") for index, item in enumerate(loader)]
    if not pairs:
        raise DataError("data loader: expected at least one batch; got none")
    shapes = {tuple(images.shape[1:]) for images, _ in pairs}
    if len(shapes) > 1:
        raise DataError(f"data loader: expected images of one shape; got {sorted(shapes)}")
    labels = [label for _, label in pairs if isinstance(label, Tensor) and label.ndim == 1]
    images = torch.cat([images for images, _ in pairs])
    return images, torch.cat(labels) if len(labels) == len(pairs) else None


def _items(dataset: Any) -> Iterator[Any]:
    if isinstance(dataset, IterableDataset):
        return iter(dataset)
    return (dataset[index] for index in range(len(dataset)))


def _image_and_label(item: Any, where: str) -> tuple[Tensor, Any]:
    if isinstance(item, Mapping):
        image = next((item[key] for key in _IMAGE_KEYS if key in item), None)
        label = next((item[key] for key in _LABEL_KEYS if key in item), None)
    elif isinstance(item, tuple | list):
        image, label = (item[0] if item else None), (item[1] if len(item) > 1 else None)
    else:
        image, label = item, None
    if isinstance(image, Tensor):
        return image.detach().cpu(), label
    if isinstance(image, np.ndarray) or hasattr(image, "__array_interface__"):  # PIL has the latter
        return torch.from_numpy(np.array(image)), label
    raise DataError(f"data set, {where}: expected an image (tensor, array or PIL image); got {type(image).__name__}")


def _stack_labels(labels: list[Any]) -> Tensor | None:
    """(N) int64, or None unless every label is one integer."""
    values = [
        label.item() if isinstance(label, Tensor | np.generic) and np.ndim(label) == 0 else label for label in labels
    ]
    return torch.tensor(values, dtype=torch.int64) if all(isinstance(value, int) for value in values) else None
