from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.evaluation.linear_gaussian import SHAPE, LinearGaussian
from tightbound.core import PixelDistribution
from tightbound.evaluation.chunks import Plan, make_plan, probe_chunk, spans


@pytest.mark.parametrize(
    ("chunk", "images", "samples", "expected"),
    [
        (10_000, 10_000, 5000, Plan(32, 32, 256)),
        (10_000, 10_000, 1_000_000, Plan(32, 32, 256)),  # no size depends on K
        (1000, 10_000, 5000, Plan(32, 32, 31)),
        (7, 10_000, 5000, Plan(32, 7, 1)),
        (10_000, 3, 5000, Plan(32, 3, 256)),
        (10_000, 10_000, 1, Plan(32, 32, 1)),
        (100_000, 10_000, 5000, Plan(384, 384, 256)),
        (10**9, 10_000, 5000, Plan(1664, 1664, 256)),  # 64 MiB of log-weights
    ],
)
def test_plan(chunk: int, images: int, samples: int, expected: Plan) -> None:
    plan = make_plan(chunk, images, samples)
    assert plan == expected
    assert plan.images_per_call * plan.samples_per_call <= chunk


def test_spans_cover_without_overlap() -> None:
    assert list(spans(3, 11, 4)) == [range(3, 7), range(7, 11)]
    assert list(spans(0, 5, 4)) == [range(4), range(4, 5)]


class _Wide(LinearGaussian):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__(torch.randn(6, 2))
        self.widest = nn.Sequential(*layers)

    def decode(self, *latents: Tensor) -> PixelDistribution:
        self.widest(latents[0])
        return super().decode(*latents)


@pytest.mark.parametrize("normalization", ["none", "weight"])
def test_probe_finds_the_largest_activation(normalization: str) -> None:
    """1,000 float64 numbers in the widest layer, times 4, in 32 MiB; weights do not count; no hook is left."""
    layers = nn.Linear(2, 1000), nn.Linear(1000, 3)
    if normalization == "weight":
        layers = map(nn.utils.parametrizations.weight_norm, layers)
    model = _Wide(*layers)
    assert probe_chunk(model, torch.zeros(1, *SHAPE)) == 32 * 2**20 // (4 * 8000)
    assert not any(module._forward_hooks for module in model.modules())


def test_probe_of_a_gradient_counts_all_that_is_kept_against_a_larger_budget() -> None:
    """100 layers of 1,000 numbers and their container's 1,000: in 1 GiB, twice; of few layers the largest decides."""
    deep, shallow = (_Wide(nn.Linear(2, 1000), *(nn.Tanh() for _ in range(n))) for n in (99, 1))
    x = torch.zeros(1, *SHAPE)
    assert probe_chunk(deep, x) == probe_chunk(shallow, x, gradient=True) == 32 * 2**20 // (4 * 8000)
    found = probe_chunk(deep, x, gradient=True)
    assert found == pytest.approx(2**30 / (2 * 101 * 8000), rel=0.01)  # and a few small outputs


def test_what_works_in_place_is_kept_once() -> None:
    """Of 300 layers of 1,000 numbers, and the container's, every second one overwrites what the one before gave."""
    layers = [nn.ELU(inplace=True) if i % 2 else nn.Tanh() for i in range(299)]
    found = probe_chunk(_Wide(nn.Linear(2, 1000), *layers), torch.zeros(1, *SHAPE), gradient=True)
    assert found == pytest.approx(2**30 / (2 * (301 - 149) * 8000), rel=0.01)
