"""The importance-weighted bound."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge

from tightbound.core import Draw, Loss, Objective, Step
from tightbound.numerics import log_mean_exp
from tightbound.objectives.elbo import honest_parts
from tightbound.registry import register


@register("objective", "iwae")
class IWAE(Objective):
    """−log (1/K) Σ_k exp(log_weight_k), averaged over the batch; Burda et al. 2016, eq. 8.

    The loss is the bound itself, so its gradient is theirs (eq. 14) and the logged ``bound`` is a bound: not Σ w̃ log w,
    which has the same gradient and lies above it.

    Args:
        num_samples: K.
    """

    uses_surrogate = False

    def __init__(self, *, num_samples: Annotated[int, Ge(1)] = 5) -> None:
        self.num_samples = num_samples

    def __call__(self, draw: Draw, step: Step) -> Loss:
        """The loss of one batch, nats per image."""
        assert draw.surrogate is None, "a likelihood with a surrogate has to say has_surrogate, and is then refused"
        bound = log_mean_exp(draw.log_weight, dim=0).mean()
        return Loss(-bound, {**honest_parts(draw, draw.kl), "bound": bound.detach()})
