from __future__ import annotations

import pytest
import torch

from tightbound.training.averaging import MovingAverage

YES, NO = torch.tensor(True), torch.tensor(False)


def test_average_against_a_hand_computation() -> None:
    parameter = torch.nn.Parameter(torch.tensor([0.0]))
    average = MovingAverage([parameter], decay=0.15)
    # d = min(0.15, (1 + n)/(10 + n)): 1/10, then 2/11 > 0.15.
    for n, (value, expected) in enumerate([(1.0, 0.9), (3.0, 0.9 * 0.15 + 3 * 0.85)]):
        parameter.data.fill_(value)
        average.update(torch.tensor(n), YES)
        assert average.values[0].item() == pytest.approx(expected, rel=1e-14)


def test_a_skipped_step_leaves_the_average_alone() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    average = MovingAverage([parameter], decay=0.5)
    parameter.data.fill_(7.0)
    average.update(torch.tensor(0), NO)
    assert average.values[0].tolist() == [1.0, 2.0]


def test_applied_puts_the_average_in_and_takes_it_out_again() -> None:
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    average = MovingAverage([parameter], decay=0.5)
    parameter.data.fill_(0.1)
    seen = []

    def fail_inside() -> None:
        with average.applied():
            seen.append(parameter.item())
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    assert seen == [1.0]
    assert parameter.item() == 0.1
