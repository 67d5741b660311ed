from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, SubsetRandomSampler, TensorDataset

from tests.data.files import random_bytes
from tightbound.data import DataSettings, data_of, split_of
from tightbound.data.torch_sets import NOTE, read_dataset, read_loader
from tightbound.errors import DataError

PIXELS = random_bytes(20, 1, 4, 5)


class Listed(Dataset):
    def __init__(self, items: list) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> object:
        return self.items[index]


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[torch.Tensor]:
        return iter(torch.from_numpy(PIXELS))


@pytest.mark.parametrize(
    "items",
    [
        [(torch.from_numpy(image), label) for label, image in enumerate(PIXELS)],
        [(image, torch.tensor(label)) for label, image in enumerate(PIXELS)],
        [[image[0], np.int32(label)] for label, image in enumerate(PIXELS)],
        [{"label": label, "pixel_values": image} for label, image in enumerate(PIXELS)],
        [(Image.fromarray(image[0]), label) for label, image in enumerate(PIXELS)],
    ],
)
def test_items_of_any_kind(items: list) -> None:
    split = split_of(Listed(items))
    assert np.array_equal(split.pixels.numpy(), PIXELS)
    assert split.labels is not None
    assert split.labels.tolist() == list(range(20))


def test_color_pictures_become_channels() -> None:
    color = random_bytes(6, 8, 9, 3)
    split = split_of(Listed([Image.fromarray(image) for image in color]))
    assert np.array_equal(split.pixels.numpy(), color.transpose(0, 3, 1, 2))
    assert split.labels is None


def test_tensor_dataset_and_stream() -> None:
    assert np.array_equal(split_of(TensorDataset(torch.from_numpy(PIXELS))).pixels.numpy(), PIXELS)
    assert np.array_equal(split_of(Stream()).pixels.numpy(), PIXELS)


def test_a_shuffling_loader_is_read_in_the_order_of_its_data() -> None:
    dataset = TensorDataset(torch.from_numpy(PIXELS), torch.arange(20))
    for loader in (DataLoader(dataset, 7), DataLoader(dataset, 7, shuffle=True, drop_last=True)):
        split = split_of(loader)
        assert np.array_equal(split.pixels.numpy(), PIXELS)
        assert split.labels is not None
        assert split.labels.tolist() == list(range(20))


def test_a_loader_of_its_own_ways_is_read_as_it_comes() -> None:
    dataset = TensorDataset(torch.from_numpy(PIXELS), torch.arange(20))
    chosen = split_of(DataLoader(dataset, 2, sampler=SubsetRandomSampler([3, 4, 5])))
    assert chosen.labels is not None
    assert sorted(chosen.labels.tolist()) == [3, 4, 5]
    assert np.array_equal(chosen.pixels.numpy(), PIXELS[chosen.labels])

    def inverted(items: list) -> torch.Tensor:
        return torch.stack([255 - image for image, _ in items])

    assert np.array_equal(split_of(DataLoader(dataset, 6, collate_fn=inverted)).pixels.numpy(), 255 - PIXELS)


def test_data_of_a_dataset_says_that_it_was_read_once() -> None:
    data = data_of(Listed(list(PIXELS)), DataSettings(validation=0))
    assert NOTE in data.notes
    assert len(data.train) == 18


def test_wrong_items_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"data set: expected images of one shape; got \(4, 5\) and, as item 1, \(5, 4\)"
    ):
        read_dataset(Listed([np.zeros((4, 5)), np.zeros((5, 4))]))
    for wrong in ("text", {"text": 1}, (), None):
        with pytest.raises(DataError, match=r"data set, item 0: expected an image \(tensor, array or PIL image\); got"):
            read_dataset(Listed([wrong]))
    with pytest.raises(DataError, match="data set: expected at least one image; got none"):
        read_dataset(Listed([]))
    with pytest.raises(DataError, match="data loader: expected at least one batch; got none"):
        read_loader(DataLoader(Listed([]), collate_fn=lambda items: items))
    ragged = DataLoader(
        Listed([np.zeros((1, 4)), np.zeros((1, 5))]), 1, collate_fn=lambda items: torch.tensor(items[0][None])
    )
    with pytest.raises(DataError, match=r"data loader: expected images of one shape; got \[\(1, 4\), \(1, 5\)\]"):
        read_loader(ragged)
