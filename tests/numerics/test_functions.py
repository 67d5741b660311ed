"""Log-space sums, soft bounds, triangular matrices, gradients and seeded noise against known values."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tightbound.numerics import (
    EvaluationNoise,
    evaluation_noise,
    exp_soft_clamp,
    generator_for,
    gradient,
    log_mean_exp,
    num_strictly_lower,
    soft_clamp,
    soft_floor,
    unit_lower,
)


def test_log_mean_exp_on_special_and_ordinary_values() -> None:
    inf = math.inf
    values = torch.tensor([[0.0, 1000.0, -inf, -inf, -1000.0], [math.log(3), 1000.0, 0.0, -inf, -1000.0]])
    expected = torch.tensor([math.log(2), 1000.0, -math.log(2), -inf, -1000.0])
    torch.testing.assert_close(log_mean_exp(values, 0), expected)


def test_soft_floor() -> None:
    value = torch.tensor([-100.0, -3.0, 0.0, 50.0])
    expected = torch.tensor([-3.0, -3 + math.log(2), -3 + math.log1p(math.exp(3)), 50.0])
    torch.testing.assert_close(soft_floor(value, -3.0), expected)


def test_soft_clamp() -> None:
    value = torch.linspace(-25, 25, 501, requires_grad=True)
    clamped = soft_clamp(value, -12.0, 8.0)
    assert clamped.min() >= -12
    assert clamped.max() <= 8 + 1e-12
    inside = (value > -5) & (value < 1)
    torch.testing.assert_close(clamped[inside], value[inside], rtol=0, atol=2e-3)
    (slope,) = torch.autograd.grad(clamped.sum(), value)
    assert slope.min() > 0


@pytest.mark.parametrize(("low", "high"), [(-12.0, 8.0), (-2.0, 1.0)])
@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-8), (torch.float32, 1e-5)])
def test_one_exponential_is_that_of_the_soft_clamp(dtype: torch.dtype, within: float, low: float, high: float) -> None:
    """Value and slope, near both ends, far beyond them, and where the exponential of the value would overflow."""
    value = torch.cat([torch.linspace(-25, 31, 113), torch.tensor([-1e4, 1e4])]).to(dtype).requires_grad_()
    found, expected = exp_soft_clamp(value, low, high), soft_clamp(value.double(), low, high).exp()
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=within, atol=0)
    (ours,), (theirs,) = (torch.autograd.grad(clamped.log().sum(), value) for clamped in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=within)


def test_unit_lower_row_by_row() -> None:
    matrix = unit_lower(torch.tensor([[1.0, 2.0, 3.0]]), 3)
    torch.testing.assert_close(matrix, torch.tensor([[[1.0, 0, 0], [1, 1, 0], [2, 3, 1]]]))
    assert num_strictly_lower(3) == 3


def quartic(z: Tensor) -> Tensor:
    return (z**4).sum(-1)


def test_gradient_under_no_grad_and_to_second_order() -> None:
    z = torch.randn(3, 2, 4)
    with torch.no_grad():
        value, slope = gradient(quartic, z)
    torch.testing.assert_close(value, quartic(z))
    torch.testing.assert_close(slope, 4 * z**3)
    with torch.inference_mode():
        torch.testing.assert_close(gradient(quartic, z)[1], 4 * z**3)
    z.requires_grad_()
    gradient(quartic, z)[1].sum().backward()
    torch.testing.assert_close(z.grad, 12 * z.detach() ** 2)


def test_generators_are_functions_of_their_purpose() -> None:
    def numbers(*key: object) -> Tensor:
        return torch.randn(4, generator=generator_for(*key))  # pyright: ignore[reportArgumentType]

    assert torch.equal(numbers(1, "noise", 2), numbers(1, "noise", 2))
    others = [numbers(2, "noise", 2), numbers(1, "pixels", 2), numbers(1, "noise", 3), numbers(1, "noise", 2, 0)]
    assert not any(torch.equal(numbers(1, "noise", 2), other) for other in others)


def test_evaluation_noise_does_not_depend_on_the_cut() -> None:
    whole = evaluation_noise(0, range(100), range(256, 512), 3)
    cut = torch.cat([evaluation_noise(0, range(a, b), range(256, 512), 3) for a, b in ((0, 7), (7, 64), (64, 100))], 1)
    assert torch.equal(whole, cut)
    part = evaluation_noise(0, range(40, 50), range(300, 400), 3)
    assert torch.equal(whole[44:144, 40:50], part)
    assert not torch.equal(whole, evaluation_noise(0, range(100), range(256), 3))
    error = 1 / whole.numel() ** 0.5
    assert abs(whole.mean()) < 4 * error
    assert abs(whole.var() - 1) < 4 * 2**0.5 * error


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_of_many_latents_is_drawn_a_few_samples_at_a_time_and_is_as_if_drawn_at_once(dtype: torch.dtype) -> None:
    size = 1001
    generators = [generator_for(3, "evaluation noise", tile, 1) for tile in (1, 2)]
    at_once = torch.cat([torch.randn(256, 32, size, generator=g, dtype=dtype) for g in generators], 1)[:, 8:-1]
    noise = EvaluationNoise(3, range(40, 95), 1, size, dtype=dtype)
    pieces = [noise.take(count) for count in (1, 6, 90, 3, 156)]
    assert torch.equal(torch.cat(pieces), at_once)
    assert torch.equal(evaluation_noise(3, range(50, 60), range(300, 310), size, dtype=dtype), at_once[44:54, 10:20])


def test_evaluation_noise_refuses_to_cross_a_block() -> None:
    with pytest.raises(ValueError, match="inside one block of 256"):
        evaluation_noise(0, range(2), range(200, 300), 3)
