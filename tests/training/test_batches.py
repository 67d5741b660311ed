from __future__ import annotations

import torch

from tests.training.toy import ToySplit
from tightbound.training.batches import Batches


def _batches(split: ToySplit, **changes) -> Batches:
    options = {
        "seed": 5,
        "batch_size": 8,
        "steps_per_epoch": 5,
        "noise_shape": (2, 3),
        "dtype": torch.float64,
        "device": torch.device("cpu"),
    }
    return Batches(split, **(options | changes))


class _Indices(ToySplit):
    """Gives back which images were asked for."""

    def batch(self, indices, generator, rows=slice(None)):
        return indices[rows].reshape(-1, 1, 1, 1).float()


def test_an_epoch_sees_every_image_once_in_another_order_each_time() -> None:
    batches = _batches(_Indices(40))
    epochs = [[int(i) for s in range(5) for i in batches(5 * e + s)[0].flatten()] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))
    assert epochs[0] != epochs[1]


def test_the_last_partial_batch_is_left_out() -> None:
    batches = _batches(_Indices(43))
    assert all(len(batches(step)[0]) == 8 for step in range(10))


def test_a_step_depends_on_seed_and_step_alone() -> None:
    one, other = _batches(ToySplit(40)), _batches(ToySplit(40))
    for step in (0, 1, 7):
        one(step)
    for first, second in zip(one(13), other(13), strict=True):
        assert torch.equal(first, second)
    assert not torch.equal(one(13)[1], one(14)[1])
    assert not torch.equal(one(13)[1], _batches(ToySplit(40), seed=6)(13)[1])


class _Pixels(ToySplit):
    """Gives back what its generator draws."""

    def batch(self, indices, generator, rows=slice(None)):
        return torch.rand((len(indices), 1, 1, 1), generator=generator)[rows]


def test_pixel_noise_depends_on_seed_and_step_alone() -> None:
    def pixels(step: int, **changes) -> list[float]:
        return _batches(_Pixels(40), **changes)(step)[0].flatten().tolist()

    places = [(s, seed, rank) for s in range(12) for seed in (5, 6) for rank in (0, 1)]  # two epochs of 5, and more
    draws = {(s, seed, rank): pixels(s, seed=seed, rank=rank, world_size=2) for s, seed, rank in places}
    assert len({draw[0] for draw in draws.values()}) == len(places)
    assert draws[7, 5, 1] == pixels(7, seed=5)[1::2]
    batches = _batches(_Pixels(40))
    assert [batches(step)[0].flatten().tolist() for step in (3, 4, 3)] == [pixels(3), pixels(4), pixels(3)]


def test_pixel_noise_is_not_that_of_the_posterior() -> None:
    class _Normal(ToySplit):
        def batch(self, indices, generator):
            return torch.randn((2, 8, 3), generator=generator, dtype=torch.float64)

    x, noise = _batches(_Normal(40))(3)
    assert not torch.equal(x[0, 0], noise[0, 0])


def test_noise_is_standard_normal() -> None:
    noise = _batches(ToySplit(40), noise_shape=(500, 25))(3)[1]
    assert noise.shape == (500, 8, 25)
    assert noise.dtype == torch.float64
    count = noise.numel()  # 100,000: the mean has s.e. 0.0032, the variance √(2/n) = 0.0045
    assert abs(noise.mean()) < 4 / count**0.5
    assert abs(noise.var() - 1) < 4 * (2 / count) ** 0.5


def test_ranks_share_out_an_epoch() -> None:
    ranks = [_batches(_Indices(40), rank=rank, world_size=4) for rank in range(4)]
    seen = [int(i) for batches in ranks for step in range(5) for i in batches(step)[0].flatten()]
    assert sorted(seen) == list(range(40))


def test_ranks_have_the_rows_of_the_whole_batch() -> None:
    """Of images, of pixel noise and of the posterior's."""
    whole_x, whole_noise = _batches(ToySplit(40))(2)
    for rank in range(2):
        x, noise = _batches(ToySplit(40), rank=rank, world_size=2)(2)
        assert torch.equal(x, whole_x[rank::2])
        assert torch.equal(noise, whole_noise[:, rank::2])
