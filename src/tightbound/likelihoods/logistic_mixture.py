"""Gray levels and colors under mixtures of discretized logistics: an exact probability of integer pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, NamedTuple

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Likelihood
from tightbound.likelihoods import levels as levels_of
from tightbound.likelihoods.location_scale import starting_point
from tightbound.likelihoods.logistic import FLOOR_IN_LEVELS, LOG_CEILING
from tightbound.numerics import soft_clamp
from tightbound.registry import register


class _Parts(NamedTuple):
    """What the decoder's maps say, M components of every pixel.

    Attributes:
        log_weights: log π (*rows, M, H, W).
        location: μ before coupling (*rows, M, C, H, W).
        log_scale: log s (*rows, M, C, H, W).
        coupling: a (*rows, M, C(C − 1)/2, H, W), pairs (1, 0), (2, 0), (2, 1), …; no pairs without coupling.
    """

    log_weights: Tensor
    location: Tensor
    log_scale: Tensor
    coupling: Tensor


@register("likelihood", "discretized_logistic_mixture")
class DiscretizedLogisticMixture(Likelihood):
    """The channels of a pixel together: P(x) = Σ_m π_m Π_c P_mc(x_c given x_0 … x_{c−1}), P_mc a discretized logistic.

    Salimans et al. 2017 (PixelCNN++), §2.1 and §2.2. With coupling the location of a channel moves with the values of
    those before it, μ_mc + Σ_{j<c} a_mcj (x_j − ½), a = tanh(·): the probabilities of all colors still sum to one
    exactly. Everything is in log space; there is no threshold on small probabilities.

    The decoder gives M logits of π, then M·C maps of μ, M·C of log s and, with coupling, M·C(C − 1)/2 of a: 100 maps of
    10 components on RGB. μ = ½ + map / 2, so that maps of 0 stand for middle gray.

    Args:
        image_shape: (C, H, W).
        levels: the largest gray level L; the data's pixels are integers from 0 to L.
        components: M.
        coupled: whether channels of a pixel depend on each other beyond their component.
        scale: where s starts, pixels in [0, 1] units; the decoder's maps are added to its logarithm.
        min_scale: soft floor of s; None is a fortieth of a level.

    Raises:
        ValueError: a scale that starts below its floor.
    """

    data_kind: ClassVar[str] = "levels"

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        levels: Annotated[int, Ge(1)] = 255,
        components: Annotated[int, Ge(1)] = 10,
        coupled: bool = True,
        scale: Annotated[float, Gt(0), Le(100)] = 0.5,
        min_scale: Annotated[float, Gt(0)] | None = None,
    ) -> None:
        super().__init__()
        channels = image_shape[0]
        self.image_shape = image_shape
        self.components, self.channels = components, channels
        self.pairs = channels * (channels - 1) // 2 if coupled else 0
        self.out_channels = components * (1 + 2 * channels + self.pairs)
        self.levels: int = levels  # pyright: ignore[reportIncompatibleVariableOverride]
        floor = FLOOR_IN_LEVELS / levels if min_scale is None else min_scale
        self.start = starting_point(scale, floor)
        self.log_floor = math.log(floor)

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log P(x), summed over pixels: (B, C, H, W), (K, B, P, H, W) -> (K, B)."""
        return self._log_prob_of_pixels(x, self._read(params)).sum((-2, -1))

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x]: exact without coupling; with it exact for the first channel.

        A coupled channel is taken where those before it have their component's mean: off only by what rounding and the
        ends of the scale do, nothing where no tail reaches them, by up to 0.06 of the scale where logistics are as
        broad as it (``std`` by up to 30 %), and more where there are but two or three levels.
        """
        parts = self._read(params)
        return self._mixed(
            parts, self._channel_by_channel(parts, lambda mu, log_s: levels_of.mean(mu, log_s, self.levels))
        )

    def quick_mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """``mean`` before rounding, without a sum over the levels."""
        parts = self._read(params)
        return self._mixed(parts, self._channel_by_channel(parts, levels_of.quick_mean))

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The most probable of the components' own modes: each channel's, given the modes of those before it."""
        parts = self._read(params)
        modes = self._channel_by_channel(parts, lambda mu, log_s: levels_of.mode(mu, log_s, self.levels))
        candidates = modes.movedim(-4, 0)  # (M, *rows, C, H, W)
        best = self._log_prob_of_pixels(candidates, self._read(params.unsqueeze(0))).argmax(0, keepdim=True)
        return candidates.gather(0, best.unsqueeze(-3).expand(1, *candidates.shape[1:])).squeeze(0)

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The standard deviation of x: as exact as ``mean``, coupling propagated to first order.

        Within a component it is at most √(E[x] (1 − E[x])), which no variable between 0 and 1 exceeds: where tails
        reach the ends of the scale, the first order does.
        """
        parts = self._read(params)
        means = self._channel_by_channel(parts, lambda mu, log_s: levels_of.mean(mu, log_s, self.levels))
        own = levels_of.variance(self._located(parts, means), parts.log_scale, self.levels)
        covariance: list[list[Tensor]] = []  # of channels c and j ≤ c, within a component
        for c in range(self.channels):
            weights = self._weights(parts, c)
            # Cov(x_c, x_j) = Σ_i a_ci Cov(x_i, x_j)
            row = [
                sum(
                    (a * _symmetric(covariance, i, j) for i, a in enumerate(weights)),
                    torch.zeros_like(own[..., c, :, :]),
                )
                for j in range(c)
            ]
            row.append(own[..., c, :, :] + sum(a * row[i] for i, a in enumerate(weights)))
            covariance.append(row)
        within = torch.minimum(torch.stack([row[-1] for row in covariance], -3), means * (1 - means))
        between = (means - self._mixed(parts, means).unsqueeze(-4)).square()
        return self._mixed(parts, within + between).sqrt()

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """A component of every pixel, then channel by channel: exactly what is scored."""
        parts = self._read(params)
        weights = parts.log_weights.exp().movedim(-3, -1)  # (*rows, H, W, M)
        chosen = torch.multinomial(weights.reshape(-1, self.components), 1, generator=generator)
        chosen = chosen.reshape(*weights.shape[:-1], 1).movedim(-1, -3).unsqueeze(-3)  # (*rows, 1, 1, H, W)
        picked = _Parts(parts.log_weights, *(part.gather(-4, chosen.expand(_one(part))) for part in parts[1:]))
        return self._channel_by_channel(
            picked, lambda mu, log_s: levels_of.sample(mu, log_s, self.levels, generator)
        ).squeeze(-4)

    def logged(self, params: Tensor) -> Mapping[str, Tensor]:
        """``noise_scale``, the mean s."""
        return {"noise_scale": self._read(params.detach()).log_scale.exp().mean()}

    def _read(self, params: Tensor) -> _Parts:
        sizes = (1, self.channels, self.channels, self.pairs)
        split = params.split([self.components * size for size in sizes], -3)
        logits, location, raw, coupling = (
            part.unflatten(-3, (self.components, size)) for part, size in zip(split, sizes, strict=True)
        )
        return _Parts(
            logits.squeeze(-3).log_softmax(-3),
            0.5 + location / 2,
            soft_clamp(raw + self.start, self.log_floor, LOG_CEILING),
            coupling.tanh(),
        )

    def _weights(self, parts: _Parts, c: int) -> tuple[Tensor, ...]:
        """a_mcj of the channels j before c, (*rows, M, H, W) each; none without coupling."""
        first = c * (c - 1) // 2
        return parts.coupling[..., first : first + c, :, :].unbind(-3) if self.pairs else ()

    def _located(self, parts: _Parts, x: Tensor) -> Tensor:
        """Locations (*rows, M, C, H, W) where channels have the values x (*rows, M or 1, C, H, W)."""
        moved = [
            parts.location[..., c, :, :]
            + sum(a * (x[..., j, :, :] - 0.5) for j, a in enumerate(self._weights(parts, c)))
            for c in range(self.channels)
        ]
        return torch.stack(torch.broadcast_tensors(*moved), -3) if self.pairs else parts.location

    def _log_prob_of_pixels(self, x: Tensor, parts: _Parts) -> Tensor:
        """(*rows, C, H, W) -> (*rows, H, W)."""
        x = x.unsqueeze(-4)
        log_mass = levels_of.log_mass(x, self._located(parts, x), parts.log_scale, self.levels)
        return (parts.log_weights + log_mass.sum(-3)).logsumexp(-3)

    def _channel_by_channel(self, parts: _Parts, value: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """``value`` of μ and log s of every channel, where those before it have the values already found."""
        found: list[Tensor] = []
        for c in range(self.channels):
            moved = sum(a * (x - 0.5) for a, x in zip(self._weights(parts, c), found, strict=False))
            location = parts.location[..., c, :, :] + moved
            found.append(value(location, parts.log_scale[..., c, :, :]))
        return torch.stack(found, -3)

    def _mixed(self, parts: _Parts, values: Tensor) -> Tensor:
        """Σ_m π_m values: (*rows, M, C, H, W) -> (*rows, C, H, W)."""
        return (parts.log_weights.exp().unsqueeze(-3) * values).sum(-4)


def _symmetric(covariance: list[list[Tensor]], i: int, j: int) -> Tensor:
    return covariance[max(i, j)][min(i, j)]


def _one(part: Tensor) -> tuple[int, ...]:
    """The shape of one component of a part."""
    return (*part.shape[:-4], 1, *part.shape[-3:])
