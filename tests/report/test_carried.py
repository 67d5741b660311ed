"""Samples before and after a flow: the very samples, and the pair of units that the flow ties together."""

from __future__ import annotations

import numpy as np
import torch

from tests.report.models import small_model
from tightbound.numerics import generator_for
from tightbound.posteriors import FlowPosterior
from tightbound.registry import Factory
from tightbound.report.carried import carried, carried_samples, most_tied
from tightbound.report.codes import carried_on
from tightbound.report.pictures import Pictures


def test_most_tied_is_the_pair_that_gains_correlation() -> None:
    """Units 1 and 3 gain 0.8; units 0 and 2 are tied before and after."""
    rng = np.random.default_rng(0)
    before = rng.normal(size=(3, 4000, 4))
    before[..., 2] = before[..., 0] + 0.1 * before[..., 2]
    after = before.copy()
    after[..., 3] = 0.8 * before[..., 1] + 0.6 * before[..., 3]
    assert most_tied(before, after) == (1, 3)
    found = carried(before, after, np.array([5, 6, 9]), "test")
    np.testing.assert_array_equal(found.after, after[..., [1, 3]])
    pictures = Pictures(np.zeros((1, 1, 4, 4)), carried=found)
    exhibit = carried_samples(pictures)
    assert exhibit is not None
    assert "units 1 and 3 gain the most correlation" in exhibit.caption
    assert "goes from 0.01 to 0.80" in exhibit.caption


def test_samples_are_those_of_the_base_and_of_the_posterior() -> None:
    flow = Factory("posterior", "flow", {"flows": (Factory("flow", "iaf", {"repeat": 2}),)})
    model = small_model(3, posterior=flow).eval()
    assert isinstance(model.posterior, FlowPosterior)
    x = torch.rand(2, *model.image_shape).round()
    found = carried_on(model, x, 50, generator_for(0, "test"))
    assert found is not None
    before, after = found
    features = model.encode(x).features
    moved, _ = model.posterior.flow(before, features)
    torch.testing.assert_close(moved, after)
    noise = torch.randn(50, 2, 3, generator=generator_for(0, "test"), dtype=x.dtype)
    torch.testing.assert_close(model.posterior.base(features).standardize(before), noise)


def test_a_gaussian_posterior_has_no_such_picture() -> None:
    model = small_model(3)
    assert carried_on(model, torch.rand(2, *model.image_shape).round(), 5, generator_for(0, "test")) is None
    assert carried_samples(Pictures(np.zeros((1, 1, 4, 4)))) is None
