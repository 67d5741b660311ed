from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from tightbound import registry


@pytest.fixture
def departures(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The plug-in, whose components are no others' business: the laws go through all that are registered."""
    monkeypatch.setattr(registry, "_components", {**registry._components})
    yield importlib.import_module("benchmarks.spatial.departures")
    del sys.modules["benchmarks.spatial.departures"]


def test_a_log_scale_below_the_threshold_becomes_plus_six(departures: ModuleType) -> None:
    posterior = departures.ThresholdDiagonal(2, 3, bounded_units=1)
    with torch.no_grad():
        posterior.moments.weight.zero_()
        posterior.moments.bias.copy_(torch.tensor([0.5, -2.0, 3.0, -5.9, -6.1, 0.2]))
    gaussian = posterior.base(torch.zeros(1, 2))
    expected = torch.tensor([math.exp(-5.9), math.exp(6.0), math.exp(0.2)])
    torch.testing.assert_close(gaussian.scale[0], expected.to(gaussian.scale.dtype))
    torch.testing.assert_close(gaussian.mean[0], torch.tensor([0.5, -2.0, math.tanh(3.0)]).to(gaussian.mean.dtype))


def test_layers_start_uniform_up_to_one_over_the_root_of_their_inputs(departures: ModuleType) -> None:
    """The variance of that is 1 / 3 of the square of the bound; s.e. of a variance of n uniforms is √(4 / 5n) of it."""
    first = departures.DefaultStartEncoder((1, 20, 20), hidden=(300,)).layers[0][0]
    bound = 1 / 20
    assert first.weight.abs().max().item() <= bound
    n = first.weight.numel()
    assert abs(first.weight.square().mean().item() * 3 / bound**2 - 1) < 4 * math.sqrt(4 / (5 * n))
    assert 0 < first.bias.abs().max().item() <= bound
