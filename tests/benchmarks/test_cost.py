from __future__ import annotations

import pytest
import torch

from benchmarks.cost import cost


def test_operations_of_the_perceptron_are_those_of_its_matrices() -> None:
    """784-512-(16, 16) and 16-512-784: two operations an entry and pass; the first needs no gradient of its input."""
    encoder, head, decoder = 784 * 512, 512 * 32, 16 * 512 + 512 * 784
    found = cost("perceptron", "mnist-mlp")
    assert found.parameters == encoder + head + decoder + 512 + 32 + 512 + 784
    assert found.encoding == 2 * encoder
    assert found.sample == 2 * (head + decoder)
    assert found.slope == pytest.approx(2 * 2 * decoder)  # forward, and the gradient of the latents alone
    assert found.training == pytest.approx(2 * (3 * (encoder + head + decoder) - encoder))


def test_what_is_kept_of_an_image_is_its_activations_and_no_weights() -> None:
    """Pixels, both hidden layers and the logits; beside them a few numbers of each of 16 latents."""
    maps = 784 + 512 + 512 + 784
    kept = cost("perceptron", "mnist-mlp").kept / torch.get_default_dtype().itemsize
    assert maps <= kept <= maps + 784 + 16 * 16  # the likelihood may keep its own copy of the pixels
