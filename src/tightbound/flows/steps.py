"""Several flows one after the other, as one."""

from __future__ import annotations

from collections.abc import Iterable

from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Flow


class Steps(Flow):
    """f = f_n ∘ … ∘ f_1; log-determinants add up. It can do what all of its steps can.

    Args:
        steps: f_1 first. Without any it is the identity.
    """

    def __init__(self, steps: Iterable[Flow]) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        abilities: list[frozenset[str]] = [step.capabilities for step in self.steps]  # pyright: ignore
        inverse = frozenset({"inverse"}).intersection(*abilities)
        self.capabilities = inverse | (frozenset().union(*abilities) & {"batch_dependent"})

    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """f(z) and the sum of the log-determinants."""
        log_det = z.new_zeros(z.shape[:-1])
        for step in self.steps:
            z, change = step(z, features)
            log_det = log_det + change
        return z, log_det

    def inverse(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """The point that is mapped to z, and the log-determinant of ``forward`` there."""
        log_det = z.new_zeros(z.shape[:-1])
        for step in reversed(list(self.steps)):
            z, change = step.inverse(z, features)  # pyright: ignore[reportCallIssue]
            log_det = log_det + change
        return z, log_det
