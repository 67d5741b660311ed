"""The flow that changes nothing."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from tightbound.core import Flow
from tightbound.registry import register


@register("flow", "identity")
class Identity(Flow):
    """f(z) = z: to tell what a flow adds from what its surroundings do."""

    capabilities = frozenset({"inverse"})

    def __init__(self, feature_dim: int, latent_dim: int) -> None:
        super().__init__()

    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """Z and 0."""
        return z, z.new_zeros(z.shape[:-1])

    def inverse(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """Z and 0."""
        return self.forward(z, features)
