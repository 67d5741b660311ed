"""Counted arithmetic against the same by hand, and how many samples the peer draws."""

from __future__ import annotations

import pytest
import torch

from benchmarks.bench.limits import convolution, count, product
from benchmarks.bench.mlp import operations_an_image
from benchmarks.bench.peers import samples_drawn


def test_a_product() -> None:
    a, b = torch.randn(3, 4), torch.randn(4, 5)
    assert count(lambda: a @ b) == 2 * 3 * 4 * 5
    assert product(6, torch.device("cpu"), "float32").items == 2 * 6**3


def test_a_convolution() -> None:
    contender = convolution(2, 14, torch.device("cpu"), "float32")
    assert contender.items == 2 * 2 * 14 * 14 * 64 * 64 * 9


def test_a_step_of_the_perceptron() -> None:
    weights = 784 * 512 + 2 * 512 * 16 + 16 * 512 + 512 * 784
    forward, to_weights = 2 * weights, 2 * weights
    to_inputs = 2 * (weights - 784 * 512)  # no gradient goes back to the pixels
    assert operations_an_image(4) == forward + to_weights + to_inputs


@pytest.mark.parametrize(("asked", "drawn"), [(10, 100), (100, 100), (250, 200), (1000, 1000), (5000, 5000)])
def test_the_peer_draws_whole_batches(asked: int, drawn: int) -> None:
    assert samples_drawn(asked, 100) == drawn
