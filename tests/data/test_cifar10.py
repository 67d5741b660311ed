from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.data.files import random_bytes
from tightbound.data import Data, DataSettings, cifar10, cifar_places, data_sets, load_data
from tightbound.data.cifar_files import read_pickled, read_records
from tightbound.data.cifar_places import BINARY, PYTHON
from tightbound.errors import DataError, RecipeError

COUNT = 4
PIXELS = random_bytes(6, COUNT, 3072)
LABELS = random_bytes(6, COUNT, seed=1) % 10


class Python2Pickler(pickle._Pickler):
    """Writes as Python 2 did, whose texts were bytes."""

    def save_text(self, value: bytes | str) -> None:
        value = value.encode("latin-1") if isinstance(value, str) else value
        head = b"U" + bytes([len(value)]) if len(value) < 256 else b"T" + struct.pack("<i", len(value))
        self.write(head + value)
        self.memoize(value)

    dispatch = {**pickle._Pickler.dispatch, bytes: save_text, str: save_text}


def pickled(content: object) -> bytes:
    """Protocol 2, with the names that numpy's modules had."""
    import io

    file = io.BytesIO()
    Python2Pickler(file, 2).dump(content)
    return file.getvalue().replace(b"numpy._core", b"numpy.core")


def records(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    return np.concatenate([labels[:, None], pixels], axis=1).astype(np.uint8).tobytes()


def batch(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    names = [b"thing_s_%06d.png" % index for index in range(len(labels))]
    content = {b"batch_label": b"training batch 1 of 5", b"labels": labels.tolist(), b"data": pixels}
    return pickled({**content, b"filenames": names})


FILES = {
    "bin": {name: records(*about) for name, about in zip(BINARY.sums, zip(PIXELS, LABELS, strict=True), strict=True)},
    "py": {name: batch(*about) for name, about in zip(PYTHON.sums, zip(PIXELS, LABELS, strict=True), strict=True)},
}


@pytest.fixture
def root(empty_root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checksums of a small set, and no way to the network."""
    monkeypatch.setattr(cifar10, "MIRRORS", ())
    expect(FILES["bin"], FILES["py"], monkeypatch)
    return empty_root


def expect(binary: dict[str, bytes], python: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    small = [
        version._replace(images=COUNT, sums={name: hashlib.md5(content).hexdigest() for name, content in files.items()})
        for version, files in ((BINARY, binary), (PYTHON, python))
    ]
    monkeypatch.setattr(cifar_places, "VERSIONS", tuple(small))


def write(folder: Path, kind: str, *left_out: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in FILES[kind].items():
        if name not in left_out:
            (folder / name).write_bytes(content)
    return folder


def write_archive(path: Path, kind: str, *left_out: str) -> Path:
    """With the folder inside, and files in another order than that of the set, as the published ones have."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = write(path.parent / f"cifar-10-batches-{kind}", kind, *left_out)
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, folder.name, recursive=False)
        for name in sorted(os.listdir(folder), reverse=True):
            archive.add(folder / name, f"{folder.name}/{name}")
    shutil.rmtree(folder)
    return path


def check(data: Data) -> None:
    assert data.test is not None
    assert data.test.labels is not None
    assert data.train.labels is not None
    assert np.array_equal(data.train.pixels.numpy(), PIXELS[:5].reshape(-1, 3, 32, 32))
    assert data.train.labels.tolist() == LABELS[:5].flatten().tolist()
    assert np.array_equal(data.test.pixels.numpy(), PIXELS[5].reshape(-1, 3, 32, 32))
    assert data.test.labels.tolist() == LABELS[5].tolist()
    assert (data.name, data.train.levels, data.train.binarize) == ("cifar10", 255, "none")


@pytest.mark.parametrize(
    ("place", "put"),
    [
        ("cifar10/cifar-10-batches-bin", lambda path: write(path, "bin")),
        ("cifar10/cifar-10-batches-py", lambda path: write(path, "py")),
        ("cifar10", lambda path: write(path, "bin")),
        ("cifar10", lambda path: write(path, "py")),
        ("CIFAR10/cifar-10-batches-bin", lambda path: write(path, "bin")),
        ("cifar-10-batches-py", lambda path: write(path, "py")),
        ("cifar10/cifar-10-binary.tar.gz", lambda path: write_archive(path, "bin")),
        ("cifar-10-python.tar.gz", lambda path: write_archive(path, "py")),
    ],
)
def test_both_versions_in_any_layout_are_the_same_images(root: Path, place: str, put: Callable[[Path], Path]) -> None:
    put(root / place)
    check(load_data(DataSettings(name="cifar10", validation=0)))
    info = next(info for info in data_sets() if info.name == "cifar10")
    folder = root / place
    assert (info.available, info.where) == (True, str(folder if folder.is_dir() else folder.parent))


def test_a_record_is_a_label_then_red_green_and_blue() -> None:
    content = bytes([7]) + b"".join(bytes([color]) * 1024 for color in (10, 20, 30))
    pixels, labels = read_records(content, "x")
    assert labels.tolist() == [7]
    assert [int(channel) for channel in pixels[0].mean((1, 2))] == [10, 20, 30]
    counting = bytes([0]) + bytes(range(256)) * 12
    pixels, _ = read_records(counting, "x")
    assert (pixels[0, 0, 0, 5], pixels[0, 0, 1, 0], pixels[0, 1, 2, 3]) == (5, 32, 67)


@pytest.mark.usefixtures("root")
def test_a_part_is_taken_only_when_asked_for_and_said(root: Path) -> None:
    folder = write(root / "cifar10" / "cifar-10-batches-bin", "bin", "data_batch_2.bin", "data_batch_5.bin")
    (folder / "test_batch.bin").write_bytes(FILES["bin"]["test_batch.bin"][: 3 * 3073])
    message = (
        r"cifar-10-batches-bin: only a part of cifar10: without data_batch_2\.bin, data_batch_5\.bin; "
        r"test_batch\.bin has 3 of 4 images\n  hint: data\.partial=true uses what is there, and every result says so"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="cifar10"))
    info = next(info for info in data_sets() if info.name == "cifar10")
    assert not info.available
    assert info.where.startswith(f"{folder} has a part of it, which data.partial=true reads; for all of it put ")

    data = load_data(DataSettings(name="cifar10", partial=True, validation=0))
    assert data.name == "cifar10 (partial: 12 of 20 training images, first 3 of 4 test images)"
    assert data.notes[0] == (
        "cifar10: read from data_batch_1.bin, data_batch_3.bin, data_batch_4.bin, test_batch.bin (test_batch.bin cut "
        "short, which no checksum covers): numbers do not compare with those of the whole set"
    )
    assert data.test is not None
    assert np.array_equal(data.train.pixels.numpy(), PIXELS[[0, 2, 3]].reshape(-1, 3, 32, 32))
    assert np.array_equal(data.test.pixels.numpy(), PIXELS[5, :3].reshape(-1, 3, 32, 32))


@pytest.mark.usefixtures("root")
def test_parts_of_other_kinds(root: Path) -> None:
    settings = DataSettings(name="cifar10", partial=True, validation=0)
    folder = write(root / "cifar-10-batches-py", "py", "data_batch_3", "test_batch")
    data = load_data(settings)
    assert (data.name, data.test) == ("cifar10 (partial: 16 of 20 training images, no test images)", None)
    write(folder, "py")
    check(data := load_data(settings))
    assert data.notes == ("data.partial=true changes nothing: cifar10 is here as a whole",)
    for name in list(PYTHON.sums)[:5]:
        (folder / name).unlink()
    with pytest.raises(DataError, match="cifar10: expected a file of training images; found none"):
        load_data(settings)


@pytest.mark.usefixtures("root")
def test_the_whole_set_is_preferred_to_a_part(root: Path, cache: Path) -> None:
    write(root / "cifar10" / "cifar-10-batches-bin", "bin", "data_batch_1.bin")
    write_archive(cache / "cifar10" / "cifar-10-binary.tar.gz", "bin")
    check(load_data(DataSettings(name="cifar10", validation=0)))


@pytest.mark.parametrize("kind", ["bin", "py"])
def test_an_altered_file_is_refused(root: Path, kind: str) -> None:
    folder = write(root / "cifar10" / f"cifar-10-batches-{kind}", kind)
    path = sorted(folder.iterdir())[2]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    for partial in (False, True):
        with pytest.raises(DataError, match=rf"{path.name}: the checksum is not that of the published file"):
            load_data(DataSettings(name="cifar10", partial=partial))


@pytest.mark.usefixtures("root")
def test_a_cut_is_between_images(root: Path) -> None:
    folder = write(root / "cifar10", "bin")
    for content, count in ((FILES["bin"]["data_batch_4.bin"][:-1], "12,291"), (b"", "0")):
        (folder / "data_batch_4.bin").write_bytes(content)
        with pytest.raises(DataError, match=rf"4\.bin: expected whole images of 3,073 bytes each; got {count} bytes"):
            load_data(DataSettings(name="cifar10", partial=True))


@pytest.mark.usefixtures("root")
def test_a_damaged_archive_is_named(root: Path) -> None:
    path = write_archive(root / "cifar10" / "cifar-10-binary.tar.gz", "bin", "test_batch.bin")
    message = r"binary\.tar\.gz: it does not hold cifar-10-batches-bin/test_batch\.bin\n  hint: get it again"
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="cifar10"))
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no archive" * 99):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"cifar-10-binary\.tar\.gz: cannot be read: .*\n  hint: delete it"):
            load_data(DataSettings(name="cifar10"))


class Hostile:
    """What a pickle may do when it is read as usual."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_hostile_pickle_does_nothing_and_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = root / "mark"
    content = pickled({b"labels": [0], b"data": Hostile(mark)})
    expect(FILES["bin"], {**FILES["py"], "data_batch_1": content}, monkeypatch)
    folder = write(root / "cifar-10-batches-py", "py")
    (folder / "data_batch_1").write_bytes(content)
    with pytest.raises(
        DataError, match=r"data_batch_1: not read as a batch of CIFAR-10: it names \w+\.mkdir, and only"
    ):
        load_data(DataSettings(name="cifar10"))
    assert not mark.exists()
    pickle.loads(content, encoding="bytes")  # as usual, it does
    assert mark.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickled({b"labels": [0], b"data": np.zeros((1, 3072))}), r"it holds an array of type 'f8', expected bytes"),
        (pickled({b"labels": [0], b"data": np.array([None])}), r"it holds an array of type 'O8', expected bytes"),
        (
            pickled({b"labels": [0, 1], b"data": PIXELS[0, :1]}),
            r"expected 'data' of N × 3,072 and N 'labels'; it holds",
        ),
        (pickled({b"labels": [10], b"data": PIXELS[0, :1]}), r"expected labels 0 to 9; got 10"),
        (pickled({b"labels": [0.5], b"data": PIXELS[0, :1]}), r"expected labels 0 to 9; got 0\.5"),
        (pickled([1, 2]), r"it holds no dictionary of them"),
        (pickled({b"x": 1, b"y": 2}), r"it holds 'x', 'y'"),
        (FILES["py"]["test_batch"][:200], r"not read as a batch of CIFAR-10"),
        (b"", r"not read as a batch of CIFAR-10"),
        (b"cbuiltins\neval\n(V1+1\ntR.", r"it names builtins\.eval, and only arrays of bytes are read"),
        (b"\x80\x02cnumpy\nload\n(Vx.npy\ntR.", r"it names numpy\.load"),
    ],
)
def test_other_pickles_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_pickled(content, "x")


def test_arrays_by_column_are_turned() -> None:
    pixels, _ = read_pickled(pickled({b"labels": LABELS[0].tolist(), b"data": np.asfortranarray(PIXELS[0])}), "x")
    assert np.array_equal(pixels.reshape(COUNT, -1), PIXELS[0])


@pytest.mark.usefixtures("root")
def test_a_failed_download_says_where_to_put_what(root: Path, cache: Path) -> None:
    message = (
        rf"cannot download cifar-10-binary\.tar\.gz: no address is known\n  hint: put cifar-10-batches-bin into "
        rf"{root}/cifar10 or {cache}/cifar10 \(or cifar-10-batches-py, or either archive\)"
    )
    with pytest.raises(DataError, match=message):
        load_data(DataSettings(name="cifar10"))


@pytest.mark.parametrize("name", ["digits", "absent.npy"])
def test_other_data_have_no_parts(name: str) -> None:
    with pytest.raises(RecipeError, match=r"data\.partial=true: (digits|your own data) cannot be read in part\n  hint"):
        load_data(DataSettings(name=name, partial=True))


@pytest.mark.real_data
def test_the_real_images(data_root: Path) -> None:
    """The part of the set that is kept for tests: its two training files have the published checksums."""
    assert (data_root / "cifar10").is_dir()
    data = load_data(DataSettings(name="cifar10", partial=True, validation=0))
    assert data.name == "cifar10 (partial: 20,000 of 50,000 training images, first 1,000 of 10,000 test images)"
    assert data.test is not None
    assert data.test.labels is not None
    assert data.train.labels is not None
    assert data.test.labels.bincount().tolist() == [103, 89, 100, 103, 90, 86, 112, 102, 106, 109]
    # The first training image is a frog, whose first red bytes are 59 43 50; the first test image is a cat.
    assert (int(data.train.labels[0]), int(data.test.labels[0])) == (6, 3)
    assert data.train.pixels[0, 0, 0, :3].tolist() == [59, 43, 50]
    # Channel means of all 50,000 are 125.307, 122.950, 113.865; image means vary by about 31 levels, so that those of
    # 20,000 images are within 4 standard errors of 0.22.
    means = data.train.pixels.double().mean((0, 2, 3))
    assert means.tolist() == pytest.approx([125.307, 122.950, 113.865], abs=4 * 31 / 20_000**0.5)
