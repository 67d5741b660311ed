"""What the training step adds to the objective's parts."""

from __future__ import annotations

import pytest
import torch

from tests.training.toy import IMAGE_SHAPE, toy_model
from tightbound.core import Step
from tightbound.objectives import ELBO
from tightbound.training import TrainingStep

KINDS = ["bernoulli", "binomial", "gaussian", "discretized_logistic", "discretized_logistic_mixture"]


@pytest.mark.parametrize("kind", KINDS)
def test_rmse_and_mae_are_those_of_the_mean_given_z(kind: str) -> None:
    model, x = toy_model(likelihood=kind).double(), torch.rand(4, *IMAGE_SHAPE).round()
    noise = torch.randn(3, 4, 3)
    parts = TrainingStep(model, ELBO(num_samples=3))(x, noise, Step(torch.tensor(0), torch.tensor(0.0))).parts
    (z,) = model.draw(x, 3, noise=noise).latents
    errors = torch.stack([x - model.decode(z[k]).mean for k in range(3)])
    # The quick mean of a discretized logistic is within half a level of its mean.
    tolerance = 0.5 / 255 if "logistic" in kind else 1e-12
    assert parts["rmse"].item() == pytest.approx(errors.square().mean().sqrt().item(), abs=tolerance)
    assert parts["mae"].item() == pytest.approx(errors.abs().mean().item(), abs=tolerance)
    assert not parts["rmse"].requires_grad


def test_what_the_likelihood_logs_is_among_the_parts() -> None:
    start = Step(torch.tensor(0), torch.tensor(0.0))
    for kind, scale in (("bernoulli", None), ("gaussian", 0.1)):
        model = toy_model(likelihood=kind).double()
        parts = TrainingStep(model, ELBO())(torch.rand(4, *IMAGE_SHAPE).round(), torch.randn(1, 4, 3), start).parts
        assert ("noise_scale" in parts) == (scale is not None)
        if scale is not None:
            assert parts["noise_scale"].item() == pytest.approx(scale, rel=1e-6)
            assert not parts["noise_scale"].requires_grad
