"""Inverse autoregressive flows: every unit is scaled and shifted by what the units before it say."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import logsigmoid

from tightbound.core import Flow
from tightbound.flows.steps import Steps
from tightbound.networks.layers import Activation, Widths
from tightbound.networks.masked import MADE, ContextMode, MaskedNormalization
from tightbound.numerics import soft_clamp
from tightbound.registry import register

Transform = Literal["gated", "affine", "shift"]

GATE_BIAS = 3.0  # sigmoid(3) = 0.953: a step starts as nearly the identity
_LOG_SCALE_RANGE = (-8.0, 8.0)


class AutoregressiveStep(Flow):
    """z'_i = s_i z_i + shift_i, where s_i and shift_i depend on z_j for j before i alone; log |det| = Σ log s_i.

    All units at once forward, one after the other (D passes) backward. Whatever the network computes, however rounded,
    the Jacobian is triangular: the density is exact in any precision of the network.

    Args:
        network: makes m, and S where there is a scale.
        transform: ``"gated"`` s = sigmoid(S + 3), shift = (1 − s)·m (Kingma et al. 2016, eq. 13, 14); ``"affine"``
            s = exp(S) with S softly clamped to ±8, shift = m; ``"shift"`` s = 1, shift = m, which preserves volume.
    """

    def __init__(self, network: MADE, transform: Transform) -> None:
        super().__init__()
        self.network, self.transform = network, transform
        self.capabilities = network.capabilities or frozenset({"inverse"})

    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """z' and Σ log s."""
        shift, log_scale = self._shift_and_log_scale(z, features)
        return log_scale.exp() * z + shift, log_scale.sum(-1)

    def inverse(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """Unit by unit: the i-th pass knows all that the i-th unit depends on."""
        order = self.network.order.to(z.device)
        point, log_scale = torch.zeros_like(z), torch.zeros_like(z)
        for unit in range(z.shape[-1]):
            shift, log_scale = self._shift_and_log_scale(point, features)
            point = torch.where(order == unit, (z - shift) * (-log_scale).exp(), point)
        return point, log_scale.sum(-1)

    def _shift_and_log_scale(self, z: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.network(z, features)
        if self.transform == "shift":
            return outputs, torch.zeros_like(z)
        mean, raw = outputs.chunk(2, dim=-1)
        if self.transform == "affine":
            return mean, soft_clamp(raw, *_LOG_SCALE_RANGE)
        gate = raw + GATE_BIAS
        return torch.sigmoid(-gate) * mean, logsigmoid(gate)


@register("flow", "iaf")
class InverseAutoregressive(Steps):
    """Inverse autoregressive flow, Kingma et al. 2016: masked networks with context, order reversed at every step.

    Parallel from noise to z in a posterior. In a prior it goes from z to noise and is what is called a masked
    autoregressive flow (Papamakarios et al. 2017).

    Args:
        feature_dim: width of the context; 0 for none.
        latent_dim: D.
        repeat: how many steps.
        hidden: widths of each step's hidden layers.
        transform: ``gated`` z' = s z + (1 − s) m, ``affine`` z' = e^S z + m, or ``shift`` z' = z + m.
        context: a linear map of the features ``before`` the first activation, or the features themselves ``after``
            it; these then are as wide as the first hidden layer.
        activation: of hidden layers.
        normalization: of all layers; batch statistics make a density of training mode depend on the batch, and have
            no inverse.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        repeat: Annotated[int, Ge(1)] = 1,
        hidden: Widths = (320,),
        transform: Transform = "gated",
        context: ContextMode = "before",
        activation: Activation = "elu",
        normalization: MaskedNormalization = "weight",
    ) -> None:
        def step(index: int) -> AutoregressiveStep:
            network = MADE(
                latent_dim,
                feature_dim,
                1 if transform == "shift" else 2,
                hidden=hidden,
                activation=activation,
                normalization=normalization,
                context=context,
                reverse=index % 2 == 1,
            )
            return AutoregressiveStep(network, transform)

        super().__init__(step(index) for index in range(repeat))
