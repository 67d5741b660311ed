from __future__ import annotations

import math

import pytest
import torch

from tightbound.data import Images, Split
from tightbound.data.images import to_storage


def _ramp(levels: int, copies: int) -> Images:
    """One image a gray level; each has ``copies`` equal pixels."""
    pixels = torch.arange(levels + 1, dtype=torch.uint8).reshape(-1, 1, 1, 1).expand(-1, 1, 1, copies)
    return Images(pixels.contiguous(), levels)


def _random(count: int, levels: int | None = 255) -> Images:
    shape = (count, 2, 3, 5)
    if levels is None:
        return Images(torch.rand(shape, dtype=torch.float32), None)
    return Images(torch.randint(0, levels + 1, shape).to(torch.uint8), levels)


KINDS = [
    ("dynamic", "none", 255),
    ("dynamic", "none", 16),
    ("dynamic", "none", None),
    ("none", "uniform", 255),
    ("none", "none", 255),
    ("threshold", "none", 255),
]


@pytest.mark.parametrize("levels", [16, 255])
def test_dynamic_binarization_has_the_exact_mean_of_each_gray_level(levels: int) -> None:
    n = 20_000
    split = Split(_ramp(levels, n), binarize="dynamic")
    x = split.batch(torch.arange(levels + 1), torch.Generator().manual_seed(1))
    assert x.dtype is torch.float32
    assert set(x.unique().tolist()) == {0.0, 1.0}
    mean = x.double().mean(dim=(1, 2, 3))
    p = torch.arange(levels + 1) / levels
    error = (p * (1 - p) / n).sqrt()
    assert mean[0] == 0
    assert mean[-1] == 1
    assert bool(((mean - p).abs() <= 4 * error).all())


def test_dynamic_binarization_of_floats_has_their_mean() -> None:
    n = 50_000
    p = torch.tensor([0.0, 0.1, 1 / 3, 0.9, 1.0], dtype=torch.float32)
    split = Split(Images(p.reshape(-1, 1, 1, 1).expand(-1, 1, 1, n).contiguous(), None), binarize="dynamic")
    mean = split.batch(torch.arange(5), torch.Generator().manual_seed(2)).double().mean(dim=(1, 2, 3))
    assert mean[0] == 0
    assert mean[-1] == 1
    assert bool(((mean - p).abs() <= 4 * (p * (1 - p) / n).sqrt().double()).all())


def test_dequantization_is_uniform_on_the_cell_of_its_level() -> None:
    levels, n = 3, 100_000
    split = Split(_ramp(levels, n), dequantize="uniform")
    x = split.batch(torch.arange(levels + 1), torch.Generator().manual_seed(3)).double()
    u = x * (levels + 1) - torch.arange(levels + 1).reshape(-1, 1, 1, 1)
    assert u.min() >= 0
    assert u.max() <= 1
    mean, variance = u.mean(dim=(1, 2, 3)), u.var(dim=(1, 2, 3))
    assert bool(((mean - 1 / 2).abs() < 4 * math.sqrt(1 / 12 / n)).all())
    # The variance of (u − 1/2)² is 1/80 − 1/144.
    assert bool(((variance - 1 / 12).abs() < 4 * math.sqrt((1 / 80 - 1 / 144) / n)).all())


def test_without_noise_x_is_the_level_over_the_largest() -> None:
    split = Split(_ramp(16, 1))
    x = split.batch(torch.tensor([3, 16, 0]), None)
    assert x.flatten().tolist() == [3 / 16, 1.0, 0.0]
    assert torch.equal(split.fixed(3, 5, seed=9), split.batch(torch.tensor([3, 4]), None))


def test_threshold_is_above_the_middle() -> None:
    split = Split(_ramp(16, 1), binarize="threshold")
    assert split.batch(torch.arange(17)).flatten().tolist() == [0.0] * 9 + [1.0] * 8
    floats = Images(torch.tensor([0.4, 0.5, 0.6], dtype=torch.float32).reshape(3, 1, 1, 1), None)
    assert Split(floats, binarize="threshold").batch(torch.arange(3)).flatten().tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(("binarize", "dequantize", "levels"), KINDS)
def test_no_cut_changes_the_fixed_noise(binarize: str, dequantize: str, levels: int | None) -> None:
    split = Split(_random(71, levels), binarize, dequantize)
    whole = split.fixed(0, 71, seed=5)
    for start, stop in [(0, 1), (0, 32), (31, 33), (32, 64), (5, 70), (64, 71), (70, 71), (69, 500), (40, 40)]:
        assert torch.equal(split.fixed(start, stop, seed=5), whole[start:stop])
    # Another seed gives other noise where there is any; images of one tile do not share theirs.
    noisy = binarize == "dynamic" or dequantize == "uniform"
    assert torch.equal(split.fixed(0, 71, seed=6), whole) is not noisy


def test_fixed_noise_does_not_depend_on_how_many_images_follow() -> None:
    images = _random(50)
    whole = Split(images, "dynamic").fixed(0, 50, seed=0)
    assert torch.equal(Split(images.select(torch.arange(40)), "dynamic").fixed(0, 40, seed=0), whole[:40])


def test_fixed_noise_differs_between_images_and_tiles() -> None:
    same = Images(torch.full((64, 1, 8, 8), 128, dtype=torch.uint8), 255)
    x = Split(same, "dynamic").fixed(0, 64, seed=0).flatten(1)
    assert len(x.unique(dim=0)) == 64


def test_a_batch_is_a_function_of_its_generator() -> None:
    split = Split(_random(20), "dynamic")
    first, second, third = (split.batch(torch.arange(20), torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


@pytest.mark.parametrize(
    ("binarize", "dequantize", "levels", "kind", "log_volume"),
    [
        ("none", "none", 1, "binary", 0.0),
        ("static", "none", 1, "binary", 0.0),
        ("dynamic", "none", 255, "binary", 0.0),
        ("threshold", "none", None, "binary", 0.0),
        ("none", "none", 16, "levels", math.log(16)),
        ("none", "uniform", 255, "continuous", math.log(256)),
        ("none", "none", None, "continuous", 0.0),
    ],
)
def test_kind_and_volume(binarize: str, dequantize: str, levels: int | None, kind: str, log_volume: float) -> None:
    split = Split(_random(2, levels), binarize, dequantize)
    assert split.kind == kind
    assert split.log_volume == pytest.approx(log_volume)


def test_the_volume_turns_a_density_into_a_code_length() -> None:
    """A density that is exact for dequantized levels gives their entropy: here log 4 nats for four equal levels."""
    split = Split(_ramp(3, 1), dequantize="uniform")
    log_density = 0.0  # uniform on [0, 1]
    assert -log_density + split.log_volume == pytest.approx(math.log(4))


@pytest.mark.parametrize(
    ("stored", "levels"),
    [
        (torch.tensor([0, 51, 255], dtype=torch.uint8), 255),
        (torch.tensor([0.0, 0.2, 1.0]), 255),
        (torch.tensor([0.0, 1 / 7, 1.0]), None),
        (torch.tensor([0, 255, 255], dtype=torch.uint8), 1),
        (torch.tensor([False, True, True]), 1),
        (torch.tensor([0.0, 1.0, 1.0]), 1),
    ],
)
def test_a_mapped_split_reads_the_same_as_one_in_memory(stored: torch.Tensor, levels: int | None) -> None:
    pixels = stored.reshape(3, 1, 1, 1)
    rows = torch.tensor([2, 0, 1])
    mapped = Images(pixels, levels, rows=torch.arange(3)).select(rows)
    assert mapped.mapped
    assert mapped.pixels is pixels
    memory = Images(to_storage(pixels, levels), levels).select(rows)
    assert memory.pixels.dtype is (torch.float32 if levels is None else torch.uint8)
    x = Split(mapped).to("cpu").fixed(0, 3, seed=0)
    assert torch.equal(x, Split(memory).fixed(0, 3, seed=0))
    values = (stored.double() / stored.double().max())[rows]
    torch.testing.assert_close(x.flatten().double(), values, rtol=1e-7, atol=1e-7)


def test_labels_follow_a_split_and_its_device() -> None:
    images = Images(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), 1, torch.tensor([5, 6, 7]))
    split = Split(images.select(torch.tensor([2, 0]))).to("cpu")
    assert split.labels is not None
    assert split.labels.tolist() == [7, 5]
    assert split.image_shape == (1, 2, 2)
    assert len(split) == len(split.pixels) == 2
