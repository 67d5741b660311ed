"""Geometric paths from a density that can be sampled to the posterior: log f_t(u) = log f_0(u) + t δ(u).

f_0 is normalized and the integral of f_1 is p(x), so that δ = log f_1 − log f_0. Three starts:

| start | u | f_0 | δ |
|---|---|---|---|
| ``prior`` | flat coordinates ε | the prior | log p(x given ε) |
| ``base`` | flat coordinates ε | the posterior's base Gaussian | log p(x, ε) − log f_0(ε) |
| ``posterior`` | the noise e of a draw | N(0, I) | log_weight(e) |

The last needs no inverse of the posterior and serves every model that keeps the contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Encoding, Model
from tightbound.errors import RecipeError
from tightbound.numerics import Density, Gaussian, Local, standard_normal_log_prob
from tightbound.numerics import gradient as functional_gradient

Start = Literal["prior", "base", "posterior"]


class Ends(NamedTuple):
    """Both ends of a path at points u: all that any temperature between needs.

    Attributes:
        log_start: log f_0 (K, B).
        delta: log f_1 − log f_0 (K, B).
        slope_start: gradient of ``log_start`` (K, B, U).
        slope_delta: gradient of ``delta`` (K, B, U).
    """

    log_start: Tensor
    delta: Tensor
    slope_start: Tensor
    slope_delta: Tensor

    def at(self, u: Tensor, temperature: float | Tensor) -> Local:
        """log f_t and its gradient: no evaluation of the model."""
        return Local(
            u,
            self.log_start + temperature * self.delta,
            self.slope_start + temperature * self.slope_delta,
            tuple(self),
        )


def gradient(function: Callable[[Tensor], Tensor], u: Tensor) -> tuple[Tensor, Tensor]:
    """``numerics.gradient``; a density that ``torch.func`` cannot differentiate is named for what it is."""
    try:
        return functional_gradient(function, u)
    except RuntimeError as error:
        if "functorch" not in str(error) and "setup_context" not in str(error):
            raise
        raise RecipeError(
            "a part of this model makes its own gradients, which chains cannot follow (zuko's BPF and CNF do)",
            hint="with such a flow in the posterior use start=prior; in the prior, use method importance",
        ) from error


class Path(ABC):
    """A path for each of B images. Adding a start: implement the methods, name it in ``path_from``.

    Args:
        model: in eval mode.
        x: (B, C, H, W).
        encoding: of x.
    """

    def __init__(self, model: Model, x: Float[Tensor, "B C H W"], encoding: Encoding) -> None:
        self.model, self.x, self.encoding = model, x, encoding

    @abstractmethod
    def draw(self, num_chains: int, num_images: int, generator: torch.Generator) -> Float[Tensor, "K n U"]:
        """Random numbers that do not depend on the images, for ``place``."""

    def place(self, drawn: Float[Tensor, "K B U"]) -> Float[Tensor, "K B U"]:
        """Points of f_0, made of what ``draw`` gave."""
        return drawn

    @abstractmethod
    def ends(self, u: Float[Tensor, "K B U"]) -> Ends:
        """Both ends at u: one decoder gradient."""

    def density(self, temperature: float | Tensor) -> Density:
        """f_t as the transitions want it."""
        return lambda u: self.ends(u).at(u, temperature)


class _PriorPath(Path):
    def draw(self, num_chains: int, num_images: int, generator: torch.Generator) -> Float[Tensor, "K n U"]:
        epsilon = self.model.sample_prior(num_chains * num_images, generator, self.encoding)
        return epsilon.unflatten(0, (num_chains, num_images))

    def ends(self, u: Float[Tensor, "K B U"]) -> Ends:
        log_start, slope_start = gradient(lambda v: self.model.log_prior(v, self.encoding), u)
        delta, slope_delta = gradient(lambda v: self.model.log_likelihood_at(self.x, v), u)
        return Ends(log_start, delta, slope_start, slope_delta)


class _BasePath(Path):
    def __init__(self, model: Model, x: Float[Tensor, "B C H W"], encoding: Encoding) -> None:
        super().__init__(model, x, encoding)
        base = model.base(encoding)
        if base is None:
            raise RecipeError(
                "start: got 'base'; in this model's flat coordinates the posterior's base is no Gaussian",
                hint="use start=prior or start=posterior",
            )
        self.base: Gaussian = base

    def draw(self, num_chains: int, num_images: int, generator: torch.Generator) -> Float[Tensor, "K n U"]:
        shape = (num_chains, num_images, self.base.mean.shape[-1])
        return torch.randn(shape, generator=generator, device=self.x.device, dtype=self.x.dtype)

    def place(self, drawn: Float[Tensor, "K B U"]) -> Float[Tensor, "K B U"]:
        return self.base.sample(drawn)

    def ends(self, u: Float[Tensor, "K B U"]) -> Ends:
        log_start, slope_start = gradient(self.base.log_prob, u)
        log_joint, slope_joint = gradient(
            lambda v: self.model.log_prior(v, self.encoding) + self.model.log_likelihood_at(self.x, v), u
        )
        return Ends(log_start, log_joint - log_start, slope_start, slope_joint - slope_start)


class _PosteriorPath(Path):
    def draw(self, num_chains: int, num_images: int, generator: torch.Generator) -> Float[Tensor, "K n U"]:
        shape = (num_chains, num_images, self.model.noise_size)
        return torch.randn(shape, generator=generator, device=self.x.device, dtype=self.x.dtype)

    def ends(self, u: Float[Tensor, "K B U"]) -> Ends:
        delta, slope_delta = gradient(
            lambda v: self.model.draw(self.x, len(v), encoding=self.encoding, noise=v).log_weight, u
        )
        return Ends(standard_normal_log_prob(u), delta, -u, slope_delta)


def path_from(start: Start, model: Model, x: Float[Tensor, "B C H W"], encoding: Encoding | None = None) -> Path:
    """The path of a start for images x.

    Raises:
        RecipeError: ``base`` where the posterior's base is no Gaussian in flat coordinates.
    """
    paths: dict[Start, type[Path]] = {"prior": _PriorPath, "base": _BasePath, "posterior": _PosteriorPath}
    return paths[start](model, x, model.encode(x) if encoding is None else encoding)
