from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.files import random_bytes, write_image
from tightbound.data import DataSettings, data_of, data_sets, load_data, split_of
from tightbound.data.progress import Ticker
from tightbound.errors import DataError

GRAY = random_bytes(40, 5, 6)


def test_the_shipped_sets_are_listed() -> None:
    infos = {info.name: info for info in data_sets()}
    assert list(infos) == [
        *("celeba64", "cifar10", "digits", "fashion_mnist", "mnist"),
        *("multi_dsprites", "multi_mnist", "omniglot", "static_mnist", "svhn"),
    ]
    assert infos["digits"].available
    assert infos["digits"].summary.startswith("Handwritten digits, 1,797 of 8 × 8")
    assert infos["digits"].where.endswith("data")


def test_a_name_is_enough_for_a_shipped_set() -> None:
    named, spelled = load_data("digits"), load_data(DataSettings(name="digits"))
    assert torch.equal(named.train.pixels, spelled.train.pixels)


def test_one_kind_of_data_in_every_way(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GRAY)
    np.savez(tmp_path / "x.npz", x=GRAY)
    for index, image in enumerate(GRAY):
        write_image(tmp_path / "folder" / f"{index:02}.png", image)
    expected = data_of(GRAY)
    for value in (
        torch.from_numpy(GRAY),
        tmp_path / "x.npy",
        str(tmp_path / "x.npz"),
        tmp_path / "folder",
        {"train": GRAY},
    ):
        data = data_of(value)
        assert data.test is not None
        assert expected.test is not None
        assert torch.equal(data.train.pixels, expected.train.pixels)
        assert torch.equal(data.test.pixels, expected.test.pixels)
        assert np.array_equal(split_of(value).pixels[:, 0].numpy(), GRAY)
    assert load_data(DataSettings(name=str(tmp_path / "x.npy"))).name == "x.npy"
    assert data_of(expected) is expected
    assert split_of(expected.train) is expected.train


def test_split_of_takes_the_test_images_where_there_are_some() -> None:
    split = split_of({"train": GRAY[:30], "test": GRAY[30:]})
    assert np.array_equal(split.pixels[:, 0].numpy(), GRAY[30:])
    digits = split_of("digits")
    test = load_data(DataSettings(name="digits")).test
    assert test is not None
    assert torch.equal(digits.pixels, test.pixels)
    assert digits.binarize == "dynamic"


def test_split_of_reads_the_levels_of_a_model() -> None:
    sixteenths = np.arange(17).reshape(1, 1, 17) / 16
    assert split_of(sixteenths).levels is None
    split = split_of(sixteenths, levels=16)
    assert (split.levels, split.kind) == (16, "levels")
    assert split.pixels.flatten().tolist() == list(range(17))
    assert split_of(sixteenths, DataSettings(binarize="dynamic"), levels=16).kind == "binary"
    with pytest.raises(DataError, match="array: expected gray levels 0 to 16; got 0 to"):
        split_of(GRAY, levels=16)


def test_one_image_is_a_split() -> None:
    assert split_of(GRAY[:1]).fixed(0, 1, 0).shape == (1, 1, 5, 6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "mnits",
            r"unknown data 'mnits': no folder or file of that name.*shipped: celeba.*\n  hint: did you mean 'mnist'",
        ),
        ("no/such/folder", r"unknown data 'no/such/folder': no folder or file of that name"),
        ("absent.npy", r"unknown data 'absent\.npy'"),
    ],
)
def test_unknown_names_get_the_nearest(name: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        load_data(DataSettings(name=name))
    assert caught.value.exit_status == 3


def test_other_files_and_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"zip")
    with pytest.raises(
        DataError, match=r"x\.zip: expected a folder of images, or an \.npy or \.npz file; got a \.zip file"
    ):
        load_data(DataSettings(name=str(path)))
    with pytest.raises(DataError, match=r"data: expected a name, a folder, .* or a DataLoader; got list"):
        data_of([GRAY])
    with pytest.raises(DataError, match=r"expected a mapping with train and.*; got \['test'\]"):
        data_of({"test": GRAY})
    with pytest.raises(DataError, match=r"data, train: expected an array or a tensor; got list"):
        data_of({"train": [1, 2]})


def test_a_wrong_data_root_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIGHTBOUND_DATA", str(tmp_path / "absent"))
    with pytest.raises(
        DataError, match=r"TIGHTBOUND_DATA: expected a folder; got .*absent\n  hint: create it, or unset"
    ):
        load_data(DataSettings(name="static_mnist"))


def test_progress_is_told_only_when_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("tightbound.data.progress.time.monotonic", lambda: now[0])
    said: list[str] = []
    ticker = Ticker("images", 3000, said.append)
    for second, count in enumerate((500, 1000, 1500, 2000, 3000)):
        now[0] = float(second)
        ticker.done(count)
    assert said == ["1,500 of 3,000 images", "3,000 of 3,000 images"]
    now[0] = 9.0
    Ticker("images", None, None).done(5)
    open_ended = Ticker("images", None, said.append)
    now[0] = 12.0
    open_ended.done(1234)
    assert said[-1] == "1,234 images"
