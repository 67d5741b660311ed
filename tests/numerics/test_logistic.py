"""The logistic mass of a bin against five hundred decimal digits, in float32 and float64."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
import torch

from tightbound.numerics import logistic_log_mass


def sigmoid(value: Decimal) -> Decimal:
    return 1 / (1 + (-value).exp())


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 2e-6)])
@pytest.mark.parametrize("low", [-300.0, -90.0, -0.5, 0.0, 20.0, 300.0])
@pytest.mark.parametrize("gap", [2.0**-20, 2.0**-8, 1.0, 40.0, 300.0])
def test_value_and_gradient_far_out(low: float, gap: float, dtype: torch.dtype, tolerance: float) -> None:
    arguments = [torch.tensor(value, dtype=dtype, requires_grad=True) for value in (low, gap)]
    no = torch.tensor(False)
    value = logistic_log_mass(arguments[0], arguments[1], no, no)
    slopes = torch.autograd.grad(value, arguments)
    with localcontext() as context:
        context.prec = 500  # e^−600 has to be told from 0 beside 1
        b, a = sigmoid(Decimal(low)), sigmoid(Decimal(low) + Decimal(gap))
        mass, slope_a, slope_b = a - b, a * (1 - a), b * (1 - b)
        expected = [float(number) for number in (mass.ln(), (slope_a - slope_b) / mass, slope_a / mass)]
    assert [value.item(), *(slope.item() for slope in slopes)] == pytest.approx(expected, rel=tolerance, abs=tolerance)


def test_edge_bins_have_the_whole_tail() -> None:
    low, gap = torch.tensor([-2.0, 1.5]), torch.tensor([0.3, 0.7])
    yes, no = torch.tensor(True), torch.tensor(False)
    below, inside, above = (logistic_log_mass(low, gap, *edges) for edges in ((yes, no), (no, no), (no, yes)))
    torch.testing.assert_close(below.exp(), (low + gap).sigmoid())
    torch.testing.assert_close(above.exp(), (-low).sigmoid())
    torch.testing.assert_close(inside.exp(), (low + gap).sigmoid() - low.sigmoid())
