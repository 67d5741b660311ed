from __future__ import annotations

import pytest
import torch

from tests.training.toy import ToySplit, toy_model
from tightbound.numerics import evaluation_noise
from tightbound.training.averaging import MovingAverage
from tightbound.training.validation import evaluating, mean_elbo


def test_elbo_is_the_mean_over_images(monkeypatch: pytest.MonkeyPatch) -> None:
    model, split = toy_model().eval(), ToySplit(13)
    with torch.no_grad():
        noise = evaluation_noise(4, range(13), range(1), 3, dtype=torch.float64)
        draw = model.draw(split.fixed(0, 13, 4).double(), 1, noise=noise)
        expected = (draw.log_likelihood - draw.kl[0].sum(-1)).mean()
        values = mean_elbo(model, split, seed=4, dtype=torch.float64)
        monkeypatch.setattr("tightbound.training.validation._CHUNK", 5)  # 13 is no multiple of it
        in_chunks = mean_elbo(model, split, seed=4, dtype=torch.float64)
    assert values["elbo"] == pytest.approx(expected.item(), rel=1e-12)
    assert values["elbo"] == pytest.approx(values["log_likelihood"] - values["kl"], rel=1e-12)
    for name, value in values.items():
        assert in_chunks[name] == pytest.approx(value, rel=1e-12)


def test_evaluating_is_left_without_a_trace() -> None:
    model = toy_model().train()
    average = MovingAverage(list(model.parameters()), 0.9)
    for module in model.modules():
        if hasattr(module, "autocast_dtype"):
            module.autocast_dtype = torch.bfloat16
    before = [p.detach().clone() for p in model.parameters()]
    for value in average.values:
        value.fill_(2.0)
    with evaluating(model, average):
        assert not model.training
        assert not torch.is_grad_enabled()
        assert model.decoder.autocast_dtype is None
        assert all((p == 2).all() for p in model.parameters())
    assert model.training
    assert model.decoder.autocast_dtype is torch.bfloat16
    assert all(torch.equal(p, kept) for p, kept in zip(model.parameters(), before, strict=True))
