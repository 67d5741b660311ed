"""Planar flows: z is moved along one direction by a function of its projection on another."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from tightbound.core import Flow
from tightbound.networks.head import Head
from tightbound.registry import register

_TOGETHER = 8  # steps whose log-determinants are taken at once: few operations, and little memory
_TINY = 1e-12  # |w|² at or below which w is as good as 0, and u is left as it is


def invertible_direction(
    u: Float[Tensor, "*rows D"], w: Float[Tensor, "*rows D"]
) -> tuple[Float[Tensor, "*rows D"], Float[Tensor, "*rows"]]:
    """û = u + (m(wᵀu) − wᵀu)·w/|w|², with m(a) = −1 + softplus(a), and 1 + wᵀû = softplus(wᵀu) > 0.

    Rezende & Mohamed 2015, appendix A.1: with |tanh'| ≤ 1 then 1 + wᵀû tanh'(·) > 0, and the flow is invertible.
    1 + wᵀû is given and not summed, because a sum would lose it where it is small. At w = 0 û is u, and 1 + wᵀû is 1.
    """
    projection = (w * u).sum(-1, keepdim=True)
    square = w.square().sum(-1, keepdim=True)
    none = square <= _TINY
    above = torch.where(none, 1 + projection, softplus(projection))
    return u + (above - 1 - projection) * w / square.clamp(min=_TINY), above.squeeze(-1)


@register("flow", "planar")
class Planar(Flow):
    """f(z) = z + û tanh(wᵀz + b), log |det| = log(1 + ûᵀw tanh'(wᵀz + b)); Rezende & Mohamed 2015, eq. 10-12.

    Args:
        feature_dim: width of the features that u, w and b are amortized by.
        latent_dim: D.
        repeat: how many steps.
        shared: one u, w and b for all steps.
        amortized: whether u, w and b depend on the image.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        repeat: Annotated[int, Ge(1)] = 1,
        shared: bool = False,
        amortized: bool = True,
    ) -> None:
        super().__init__()
        self.repeat, self.latent_dim = repeat, latent_dim
        self.sets = 1 if shared else repeat
        self.head = Head(feature_dim if amortized else 0, self.sets * (2 * latent_dim + 1))
        assert self.head.bias is not None
        # At u = w = 0 every gradient is zero: the sets start apart from it and from each other.
        torch.nn.init.normal_(self.head.bias, std=latent_dim**-0.5)

    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """f(z) and the sum of the steps' log-determinants."""
        # What does not depend on z is computed for all steps at once: one operation in place of one a step.
        sets = self.head(features).unflatten(-1, (self.sets, -1)).movedim(-2, 0)
        u, w, b = sets.split((self.latent_dim, self.latent_dim, 1), dim=-1)
        u, above = invertible_direction(u, w)
        steps, above = list(zip(u.unbind(), w.unbind(), b.unbind(), strict=True)), above.movedim(0, -1)
        log_det = z.new_zeros(z.shape[:-1])
        for first in range(0, self.repeat, _TOGETHER):
            last, heights = min(first + _TOGETHER, self.repeat), []
            for index in range(first, last):
                direction, normal, bias = steps[index % self.sets]
                h = torch.tanh((normal * z).sum(-1, keepdim=True) + bias)
                z = z + direction * h
                heights.append(h)
            rest = torch.cat(heights, -1).square()
            own = above if self.sets == 1 else above[..., first:last]
            # 1 + wᵀû (1 − h²) as a sum of two that are not negative: nothing cancels.
            log_det = log_det + torch.log(rest + own * (1 - rest)).sum(-1)
        return z, log_det
