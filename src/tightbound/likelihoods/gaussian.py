"""Independent Gaussian pixels: one noise scale, one for each image, or one for each pixel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Gt
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Likelihood
from tightbound.errors import RecipeError
from tightbound.likelihoods.beta_nll import Beta, beta_nll
from tightbound.likelihoods.location_scale import MeanActivation, activate, starting_point
from tightbound.numerics import soft_floor
from tightbound.registry import register

Noise = Literal["homoscedastic", "imagewise", "pixelwise"]

_LOG_2_PI = math.log(2 * math.pi)
_MIN_SCALE = 1e-3


@register("likelihood", "gaussian")
class Gaussian(Likelihood):
    """Pixels x ~ N(μ(z), σ²) in [0, 1] units: log p = −½ Σ [((x − μ)/σ)² + 2 log σ + log 2π].

    A density: on 8-bit pixels it grows without bound as σ shrinks on constant ones, so a learned σ has a soft floor,
    log σ = log min + softplus(· − log min), and numbers on data that were not dequantized are labeled.

    The decoder gives C maps of μ and, unless the noise is homoscedastic, C maps of log σ.

    Args:
        image_shape: (C, H, W).
        noise: "homoscedastic" is one σ for all; "imagewise" one for each image and channel; "pixelwise" one for each
            pixel and channel. The latter two are functions of z.
        scale: σ, or where it starts if learned; with noise of its own, the decoder's log-scale maps are added to it.
        learned: whether a homoscedastic σ is trained; None is true. Other noise always is.
        min_scale: soft floor of a learned σ.
        mean_activation: what maps the decoder's output to μ.
        beta_nll: β of the surrogate that training then maximizes, Σ ⌊σ^{2β}⌋ log N (Seitzer et al. 2022); None for
            the likelihood itself.

    Raises:
        RecipeError: a key that has no effect with this noise.
        ValueError: a scale that starts below its floor.
    """

    data_kind: ClassVar[str] = "continuous"

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        noise: Noise = "homoscedastic",
        scale: Annotated[float, Gt(0)] = 0.1,
        learned: bool | None = None,
        min_scale: Annotated[float, Gt(0)] = _MIN_SCALE,
        mean_activation: MeanActivation = "none",
        beta_nll: Beta | None = None,
    ) -> None:
        super().__init__()
        _check_used(noise, learned, min_scale, beta_nll)
        self.image_shape = image_shape
        self.noise = noise
        self.learned = learned is not False
        self.mean_activation: MeanActivation = mean_activation
        self.beta_nll = beta_nll
        self.has_surrogate = beta_nll is not None
        self.log_floor = math.log(min_scale)
        self.start = starting_point(scale, min_scale) if self.learned else math.log(scale)
        if noise != "homoscedastic":
            self.out_channels = 2 * image_shape[0]
            return
        self.out_channels = image_shape[0]
        if self.learned:
            self.raw_log_scale = nn.Parameter(torch.tensor(self.start))
        else:
            self.register_buffer("raw_log_scale", torch.tensor(self.start))

    @property
    def log_scale(self) -> Tensor:
        """log σ of homoscedastic noise, a 0-d tensor."""
        return soft_floor(self.raw_log_scale, self.log_floor) if self.learned else self.raw_log_scale

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log N(x; μ, σ²), summed over pixels: (B, C, H, W), (K, B, P, H, W) -> (K, B)."""
        log_density, _ = self._log_densities(x, params)
        return log_density.sum(tuple(range(2, log_density.dim())))

    def surrogate(self, x: Tensor, params: Tensor) -> Tensor | None:
        """Σ ⌊σ^{2β}⌋ log N (K, B) if β-NLL is asked for, else None."""
        if self.beta_nll is None:
            return None
        log_density, log_scale = self._log_densities(x, params)
        return beta_nll(log_density, 2 * log_scale, self.beta_nll)

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """μ."""
        return activate(params[..., : self.image_shape[0], :, :], self.mean_activation)

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """μ."""
        return self.mean(params)

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """σ at every pixel."""
        return self._log_scale(params).exp().expand(*params.shape[:-3], *self.image_shape)

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """μ + σ·noise, not clipped: it is a sample of the density that is scored."""
        mean = self.mean(params)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self._log_scale(params).exp() * noise

    def logged(self, params: Tensor) -> Mapping[str, Tensor]:
        """``noise_scale``, the mean σ, where it is learned."""
        return {"noise_scale": self._log_scale(params).detach().exp().mean()} if self.learned else {}

    def _log_scale(self, params: Tensor) -> Tensor:
        """log σ: 0-d, (*rows, C, 1, 1) or (*rows, C, H, W)."""
        if self.noise == "homoscedastic":
            return self.log_scale
        raw = params[..., self.image_shape[0] :, :, :]
        if self.noise == "imagewise":
            # Averaged over the pixels: every entry of the map then counts and gets a gradient. The published system
            # reads the corner pixel (0, 0), which leaves the rest of the map unconstrained and lets one pixel decide.
            raw = raw.mean((-2, -1), keepdim=True)
        return soft_floor(raw + self.start, self.log_floor)

    def _log_densities(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        """log N and log σ of every pixel, or of every channel (K, B, C), summed, where its pixels share one σ."""
        error, log_scale = x - self.mean(params), self._log_scale(params)
        if self.noise == "pixelwise":
            standardized = error * (-log_scale).exp()
            return -0.5 * (standardized.square() + _LOG_2_PI) - log_scale, log_scale
        log_scale = log_scale if log_scale.dim() == 0 else log_scale[..., 0, 0]
        pixels = self.image_shape[1] * self.image_shape[2]
        # Summed, then scaled: a pass over all pixels less.
        squares = error.square().sum((-2, -1)) * (-2 * log_scale).exp()
        return -0.5 * (squares + pixels * (2 * log_scale + _LOG_2_PI)), log_scale


def _check_used(noise: Noise, learned: bool | None, min_scale: float, beta: float | None) -> None:
    """Refuses keys that have no effect with this noise."""
    if noise != "homoscedastic" and learned is not None:
        raise RecipeError(
            f"model.likelihood.learned: it has no effect with {noise} noise, whose scale the decoder gives",
            hint="leave it out, or use model.likelihood.noise=homoscedastic",
        )
    if noise == "homoscedastic" and beta is not None:
        raise RecipeError(
            "model.likelihood.beta_nll: it weighs pixels by their own noise scales; homoscedastic noise has only one",
            hint="use model.likelihood.noise=imagewise or pixelwise, or leave it out",
        )
    if learned is False and min_scale != _MIN_SCALE:
        raise RecipeError(
            "model.likelihood.min_scale: it has no effect on a noise scale that is fixed",
            hint="leave it out, or use model.likelihood.learned=true",
        )
