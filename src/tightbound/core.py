"""The contract that everything else plugs into. Read this first.

Every model turns an observation x into K weighted posterior samples whose weights are unbiased for the evidence:

    E[exp(log_weight)] = p(x),     log_weight = log p(x | z) + log p(z) − log q(z | x).

A posterior proposes z together with a log q that keeps this; a model draws; an objective is a function of a ``Draw``;
an evaluator is a function of a model and data. A draw is a deterministic function of standard-normal noise, so it can
be cut into chunks, repeated, resumed and integrated numerically.

Axes are always [K samples, B batch, event], in that order. Log-densities are in nats, float32 at least.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.numerics import Gaussian
from tightbound.registry import CAPABILITIES

Target = Callable[[Tensor], Tensor]  # z (K, B, D) -> log p(x, z) (K, B)


@dataclass(frozen=True, eq=False)
class Encoding:
    """All that depends on x alone: computed once per image, whatever K.

    Args:
        features: what the posterior is amortized by; (B, F) in a one-level model.
        components: what the prior is made of this time (M, D), for priors made of posteriors, else None. It depends on
            the weights alone and is kept here so that it is computed once a batch.
    """

    features: Any
    components: Gaussian | None = None


class Proposal(NamedTuple):
    """A posterior's samples.

    Attributes:
        z: (K, B, D).
        log_q: (K, B) nats, such that E[p(x, z) / exp(log_q)] = p(x); auxiliary variables are folded in.
        gaussian: the density of z if z is exactly Gaussian given x, else None.
    """

    z: Tensor
    log_q: Tensor
    gaussian: Gaussian | None


@dataclass(frozen=True, eq=False)
class PixelDistribution:
    """p(x | z) at given latents, with the names that ``torch.distributions`` has: what ``Model.decode`` returns.

    Args:
        likelihood: the family.
        params: its parameters (*rows, P, H, W).

    Example:
        >>> p = model.decode(z)                      # z (K, B, D)           # doctest: +SKIP
        >>> p.mean, p.stddev, p.sample()             # (K, B, C, H, W) each  # doctest: +SKIP
        >>> p.log_prob(x)                            # (K, B) nats           # doctest: +SKIP
    """

    likelihood: Likelihood
    params: Tensor

    def __repr__(self) -> str:
        """The family and the shapes: parameters of a batch of images are no reading matter."""
        rows = tuple(self.params.shape[:-3])
        return f"PixelDistribution({type(self.likelihood).__name__}, rows={rows}, image={self.likelihood.image_shape})"

    @property
    def mean(self) -> Tensor:
        """E[x | z] (*rows, C, H, W), pixels in [0, 1] units."""
        return self.likelihood.mean(self.params)

    @property
    def mode(self) -> Tensor:
        """The most probable x (*rows, C, H, W)."""
        return self.likelihood.mode(self.params)

    @property
    def stddev(self) -> Tensor:
        """The uncertainty map: the standard deviation of every pixel (*rows, C, H, W)."""
        return self.likelihood.std(self.params)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x for each row (*rows, C, H, W)."""
        return self.likelihood.sample(self.params, generator)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x | z) in nats: x (B, C, H, W) at latents of rows (K, B) or (B) -> (K, B) or (B).

        Pixels are taken as the likelihood's kind of data: gray ones under a Bernoulli give a number, but no likelihood.
        """
        rows = self.params.shape[:-3]
        return self.likelihood.log_prob(x, self.params if len(rows) == 2 else self.params.unsqueeze(0)).reshape(rows)


@dataclass(frozen=True, eq=False)
class Draw:
    """K weighted posterior samples of B images. L latent groups, top first in a ladder.

    Args:
        latents: L tensors (K, B, *event): the very tensors that decoder, prior and log q consumed.
        log_likelihood: (K, B) nats, log p(x | z); never a surrogate.
        log_ratio: L tensors (K, B) nats, log p(z_l | ·) − log q(z_l | ·) at the drawn sample.
        params: the likelihood's parameters (K, B, P, H, W), for reconstructions and pictures.
        densities: L pairs (q, p) where both are Gaussian and the analytic KL is allowed, else None.
        surrogate: (K, B) or None; what ELBO training uses in place of ``log_likelihood``.
    """

    latents: tuple[Tensor, ...]
    log_likelihood: Tensor
    log_ratio: tuple[Tensor, ...]
    params: Tensor
    densities: tuple[tuple[Gaussian, Gaussian] | None, ...]
    surrogate: Tensor | None = None

    @property
    def log_weight(self) -> Tensor:
        """(K, B) nats, log p(x, z) − log q(z | x): always the sampled ratio, never the analytic KL."""
        return self.log_likelihood + sum(self.log_ratio)

    @property
    def kl(self) -> tuple[Tensor, ...]:
        """L tensors (K, B, units) nats: analytic where both densities are Gaussian, else −log_ratio with one unit."""
        return tuple(
            -ratio.unsqueeze(-1) if pair is None else _per_sample(pair[0].kl(pair[1]), ratio)
            for pair, ratio in zip(self.densities, self.log_ratio, strict=True)
        )


def _per_sample(kl: Tensor, like: Tensor) -> Tensor:
    """(B, units) or (units) -> (K, B, units) without a copy."""
    return kl.expand(*like.shape, kl.shape[-1])


class Step(NamedTuple):
    """Where training is, as 0-d tensors so that a compiled step needs no new compilation.

    Attributes:
        done: optimizer steps done.
        epoch: the same in (fractional) epochs.
    """

    done: Tensor
    epoch: Tensor


class Loss(NamedTuple):
    """What an objective returns.

    Attributes:
        value: the scalar to minimize, nats per image.
        parts: what to log, 0-d, and ``kl_groups`` (L). Always has ``elbo``, the honest one (β = 1, no free bits, no
            surrogate), ``log_likelihood`` and ``kl``; the rest is the objective's own (``beta``, ``bound``, ...).
    """

    value: Tensor
    parts: Mapping[str, Tensor]


class Component(nn.Module, ABC):
    """Base of everything that a recipe names and that has weights.

    ``capabilities`` says what an instance can do, out of ``registry.CAPABILITIES``; a recipe that needs more is
    refused.
    """

    capabilities: frozenset[str] = frozenset()

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuses a class that declares a capability nobody knows, such as a misspelled one."""
        super().__init_subclass__(**options)
        unknown = sorted(cls.capabilities - CAPABILITIES)
        if unknown:
            known = ", ".join(sorted(CAPABILITIES))
            raise TypeError(f"{cls.__qualname__}: unknown capability {unknown[0]!r}; expected some of {known}")


class Encoder(Component):
    """x -> features. Adding one: subclass ``networks.Network``, set ``feature_dim``, register as an encoder.

    Attributes:
        feature_dim: F, the width of what ``forward`` returns: (B, C, H, W) -> (B, F).
    """

    feature_dim: int


class Flow(Component):
    """An invertible map of latents, z -> f(z; features): noise to z in a posterior, z to noise in a prior.

    Adding one: implement ``forward`` in the direction that is parallel over units and register. Where the map can be
    inverted, declare the capability ``inverse`` and implement it; it may take D passes. The laws test the rest.

    The constructor takes the wiring ``feature_dim`` and ``latent_dim``. With ``feature_dim`` = 0 the map is the same
    for every image, and features are (B, 0).
    """

    @abstractmethod
    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """f(z) and log |det ∂f/∂z|."""

    def inverse(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """The point that ``forward`` maps to z, and what ``forward`` gives there: log |det ∂f/∂z|, not its inverse's.

        Raises:
            ValueError: the flow has no inverse.
        """
        raise ValueError(f"{type(self).__name__} has no inverse; use a flow with the capability 'inverse', such as iaf")


class Posterior(Component):
    """q(z | x). Adding one: implement ``base`` and ``propose``, set ``noise_size``, register, done; the laws test it.

    The constructor takes the wiring ``feature_dim`` and ``latent_dim``. With ``feature_dim`` = 0 nothing is amortized:
    the parameters are the same for every image, and features are (B, 0).

    Attributes:
        noise_size: width of the noise a sample is a function of; D plus whatever auxiliary variables need.
        amortized: whether it looks at the features at all; an encoder has no effect otherwise.
    """

    noise_size: int
    amortized: bool = True

    @abstractmethod
    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """The Gaussian that samples start from, (B, D)."""

    @abstractmethod
    def propose(
        self,
        features: Float[Tensor, "B F"],
        num_samples: int,
        *,
        noise: Float[Tensor, "K B N"],
        target: Target | None = None,
        stop_density: bool = False,
    ) -> Proposal:
        """K samples and their log q.

        Args:
            features: (B, F).
            num_samples: K; equals the first axis of ``noise``.
            noise: (K, B, noise_size), standard normal.
            target: the model's log p(x, ·), for posteriors that follow its gradient.
            stop_density: evaluate log q through detached weights at the live z (for STL and DReG gradients).
        """


class Prior(Component):
    """p(z). Adding one: implement ``log_prob`` and ``sample``, register.

    Attributes:
        noise_size: width of the noise of one sample.
        whitened: whether ``sample`` is the change of variables of the flat coordinates (noise -> z, one to one).
    """

    noise_size: int
    whitened: bool = False

    @property
    def gaussian(self) -> Gaussian | None:
        """p(z) as a Gaussian (D), if it is one."""
        return None

    @abstractmethod
    def log_prob(self, z: Float[Tensor, "*rows D"], components: Gaussian | None = None) -> Float[Tensor, "*rows"]:
        """log p(z). ``components`` is for priors made of posteriors, which the model hands in once per step."""

    @property
    def pseudo_inputs(self) -> Tensor | None:
        """Images (M, C, H, W) whose posteriors are what this prior is made of, if it is; the model encodes them."""
        return None

    @abstractmethod
    def sample(self, noise: Float[Tensor, "*rows N"], components: Gaussian | None = None) -> Float[Tensor, "*rows D"]:
        """Z as a function of noise (*rows, noise_size). ``components`` as in ``log_prob``."""


class Likelihood(Component):
    """p(x | params), a normalized density or probability of the pixels in [0, 1]. Adding one: implement and register.

    The constructor takes the wiring ``image_shape`` = (C, H, W). Pixels are x = k / levels for data of integer gray
    levels.

    Attributes:
        out_channels: channels of the decoder's output.
        data_kind: what it is a density of: ``"binary"`` pixels in {0, 1}, ``"levels"`` integer gray levels, or
            ``"continuous"``.
        levels: the largest integer, of one whose ``data_kind`` is ``"levels"``; else None.
        has_surrogate: whether ``surrogate`` gives one; objectives of the true likelihood are then refused.
        takes_logits: whether ``params`` are the logits of each pixel's mean and nothing else.
    """

    out_channels: int
    data_kind: ClassVar[str]
    levels: int | None = None
    has_surrogate: bool = False
    takes_logits: ClassVar[bool] = False
    image_shape: tuple[int, int, int]

    @abstractmethod
    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log p(x | params) in nats, summed over pixels and channels."""

    @abstractmethod
    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """E[x | params], pixels in [0, 1] units."""

    def quick_mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """``mean``, or something near it where that is a long sum: for what training logs at every step."""
        return self.mean(params)

    @abstractmethod
    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The most probable x."""

    @abstractmethod
    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """The uncertainty map: the standard deviation of x given params."""

    @abstractmethod
    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """One draw of x."""

    def surrogate(self, x: Tensor, params: Tensor) -> Tensor | None:
        """(K, B): what ELBO training uses in place of ``log_prob``; None if that is ``log_prob`` itself."""
        return None

    def logged(self, params: Tensor) -> Mapping[str, Tensor]:
        """What training logs of it beside the reconstruction error, 0-d each: such as the mean ``noise_scale``."""
        return {}


class LatentGroup(NamedTuple):
    """Where one latent group lies in the flat coordinates."""

    slice: slice
    shape: tuple[int, ...]


class Model(Component):
    """A latent-variable model. Adding one: implement the abstract methods; every objective and evaluator then applies.

    Flat coordinates: each image has one vector ε in which the whole latent state is laid out; a sampler needs nothing
    else.

    Attributes:
        image_shape: (C, H, W).
        likelihood: p(x | params).
        noise_size: width of the noise of one posterior sample.
        groups: slice and shape of each latent group in ε, top first.
    """

    image_shape: tuple[int, int, int]
    likelihood: Likelihood
    noise_size: int
    groups: tuple[LatentGroup, ...]

    @abstractmethod
    def encode(self, x: Float[Tensor, "B C H W"]) -> Encoding:
        """What depends on x alone."""

    @abstractmethod
    def draw(
        self,
        x: Float[Tensor, "B C H W"],
        num_samples: int,
        *,
        encoding: Encoding | None = None,
        noise: Float[Tensor, "K B N"] | None = None,
        generator: torch.Generator | None = None,
        stop_density: bool = False,
    ) -> Draw:
        """K independent weighted samples of the posterior of each image.

        Args:
            x: (B, C, H, W).
            num_samples: K.
            encoding: ``encode(x)``, if it is known already.
            noise: (K, B, noise_size), standard normal; made from ``generator`` if not given.
            generator: only makes the noise.
            stop_density: every log q is evaluated through detached weights at the live z, of all layers together. The
                gradient of ``log_weight`` that reaches ``latents`` goes on into what made the samples, and nothing else
                passes through a tensor of ``latents``; so an objective may change that gradient there. Values are as
                without.
        """

    def noise_for(
        self, x: Tensor, num_samples: int, noise: Tensor | None, generator: torch.Generator | None
    ) -> Float[Tensor, "K B N"]:
        """The noise of a draw: as given, or made from the generator.

        Raises:
            ValueError: given noise of another shape.
        """
        shape = (num_samples, len(x), self.noise_size)
        if noise is None:
            return torch.randn(shape, generator=generator, dtype=x.dtype, device=x.device)
        if noise.shape != shape:
            raise ValueError(f"expected noise (K, B, noise_size) = {shape}; got {tuple(noise.shape)}")
        return noise

    @abstractmethod
    def log_prior(self, epsilon: Float[Tensor, "*rows E"], encoding: Encoding | None = None) -> Float[Tensor, "*rows"]:
        """The prior's log-density in flat coordinates.

        Args:
            epsilon: flat coordinates.
            encoding: of any images, if it is known: a prior made of posteriors then takes its components from there
                and encodes no pseudo-input.
        """

    @abstractmethod
    def sample_prior(
        self, num_samples: int, generator: torch.Generator | None = None, encoding: Encoding | None = None
    ) -> Float[Tensor, "n E"]:
        """Flat coordinates drawn from the prior; ``encoding`` as in ``log_prior``."""

    def base(self, encoding: Encoding) -> Gaussian | None:
        """The posterior's base Gaussian in flat coordinates (B, E), where it is a Gaussian there, else None.

        Annealed evaluation may start from it. For a flow or a Hamiltonian posterior it is what samples start from.
        """
        return None

    def closed_posterior(self, encoding: Encoding) -> Gaussian | None:
        """q(z | x) (B, D), or (D) if it is the same for every image, of the one latent group laid out flat.

        None where x alone does not make it a Gaussian. What asks for posterior moments then takes samples.
        """
        return None

    @abstractmethod
    def latents_at(self, epsilon: Float[Tensor, "*rows E"]) -> tuple[Tensor, ...]:
        """The latents (*rows, *event) of each group at flat coordinates, top first."""

    @abstractmethod
    def epsilon_of(self, *latents: Tensor) -> Float[Tensor, "*rows E"]:
        """Flat coordinates of the latents: the inverse of ``latents_at``."""

    @abstractmethod
    def decode(self, *latents: Tensor) -> PixelDistribution:
        """p(x | z) at latents (*rows, *event), one tensor a group, top first, as ``Draw.latents`` has them."""

    def params_at(self, epsilon: Float[Tensor, "*rows E"]) -> Tensor:
        """The likelihood's parameters (*rows, P, H, W) at flat coordinates."""
        return self.decode(*self.latents_at(epsilon)).params

    def log_likelihood_at(self, x: Float[Tensor, "B C H W"], epsilon: Float[Tensor, "K B E"]) -> Float[Tensor, "K B"]:
        """log p(x | ε)."""
        return self.likelihood.log_prob(x, self.params_at(epsilon))

    def simulate(
        self, num_images: int, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "n C H W"], Float[Tensor, "n E"]]:
        """Images drawn from the model and the exact ε behind each."""
        epsilon = self.sample_prior(num_images, generator)
        return self.likelihood.sample(self.params_at(epsilon), generator), epsilon

    def log_evidence(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"] | None:
        """The exact log p(x) (B) where it has a closed form, else None."""
        return None


class Objective(ABC):
    """A training objective: a function of a ``Draw``. Adding one: implement ``__call__``, register.

    Attributes:
        num_samples: the K it needs.
        stop_density: whether its draws need ``stop_density``.
        needs: capabilities it asks of the posterior and the prior.
        uses_surrogate: whether a likelihood's surrogate makes sense for it.
        separates_samples: whether a sample's weight has to depend on its own latents alone, which batch statistics of a
            decoder or a prior would break.
        over_processes: makes a mean over the batch out of that over one process's share of it; training sets it where
            several processes share a batch. For means inside of a loss; a loss that is a mean over images needs none.
    """

    num_samples: int = 1
    stop_density: bool = False
    needs: frozenset[str] = frozenset()
    uses_surrogate: bool = True
    separates_samples: bool = False
    over_processes: Callable[[Tensor], Tensor] = staticmethod(lambda mean: mean)

    @abstractmethod
    def __call__(self, draw: Draw, step: Step) -> Loss:
        """The loss of one batch."""
