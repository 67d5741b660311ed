from __future__ import annotations

import torch
from scipy import stats

from tightbound.likelihoods import Binomial

SHAPE = (1, 1, 2)


def test_against_scipy() -> None:
    x, params = torch.tensor([3 / 16, 1.0]).reshape(1, *SHAPE), torch.randn(3, 1, *SHAPE)
    expected = stats.binom.logpmf((16 * x).numpy(), 16, params.sigmoid().numpy()).sum((-1, -2, -3))
    torch.testing.assert_close(Binomial(SHAPE, levels=16).log_prob(x, params), torch.tensor(expected))
