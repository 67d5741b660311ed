"""The training step: the only thing that is compiled, and the only thing that an engine for several processes wraps."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Loss, Model, Objective, Step


class TrainingStep(nn.Module):
    """Images and noise in, loss out: draws as the objective asks, then the objective.

    Never compile or wrap ``draw`` or a decoder alone: a gradient hook on a compiled draw's output gets None.

    Args:
        model: what is trained.
        objective: what is minimized; says how many samples it needs.
    """

    def __init__(self, model: Model, objective: Objective) -> None:
        super().__init__()
        self.model = model
        self.objective = objective

    def forward(self, x: Float[Tensor, "B C H W"], noise: Float[Tensor, "K B N"], step: Step) -> Loss:
        """The loss of one batch, nats per image. All randomness is in ``noise``.

        Beside the objective's own, its parts have ``rmse`` and ``mae``, the root mean squared and the mean absolute
        error of the likelihood's quick mean over batch, samples and pixels, and what the likelihood logs.
        """
        objective, likelihood = self.objective, self.model.likelihood
        draw = self.model.draw(x, objective.num_samples, noise=noise, stop_density=objective.stop_density)
        loss = objective(draw, step)
        params = draw.params.detach()
        error = x - likelihood.quick_mean(params)
        errors = {"rmse": error.square().mean().sqrt(), "mae": error.abs().mean()}
        return Loss(loss.value, {**loss.parts, **errors, **likelihood.logged(params)})
