"""The one-level variational autoencoder: x ← z, with any posterior, prior, decoder and likelihood."""

from __future__ import annotations

from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import LowRankMultivariateNormal

from tightbound import networks, posteriors, priors  # noqa: F401  (registers the defaults)
from tightbound.core import (
    Draw,
    Encoder,
    Encoding,
    LatentGroup,
    Likelihood,
    Model,
    PixelDistribution,
    Posterior,
    Prior,
    Target,
)
from tightbound.errors import RecipeError
from tightbound.likelihoods import Gaussian as GaussianLikelihood
from tightbound.models.warps import check_warp
from tightbound.networks.batch_norm import BATCH_NORM_EPS, BATCH_NORM_MOMENTUM, set_batch_norm
from tightbound.numerics import Gaussian as GaussianValue
from tightbound.numerics import gradient, standard_normal_log_prob
from tightbound.registry import Factory, Nested, register


@register("model", "vae")
class VAE(Model):
    """p(x, z) = p(z) p(x | z) with an amortized q(z | x); Kingma & Welling 2014, Rezende et al. 2014.

    Args:
        image_shape: (C, H, W).
        latent_dim: D.
        encoder: x -> features; None for a posterior that is the same for every image.
        posterior: q(z | features).
        prior: p(z).
        decoder: z -> the likelihood's parameters.
        likelihood: p(x | parameters).
        batch_norm_momentum: of every batch normalization: the part of each batch in the running statistics.
        batch_norm_eps: of every batch normalization: added to the variance.

    Raises:
        RecipeError: parts that do not go together, or numbers of a batch normalization where there is none.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        latent_dim: Annotated[int, Ge(1)] = 16,
        encoder: Annotated[Factory, Nested("encoder")] | None = Factory("encoder", "mlp"),
        posterior: Annotated[Factory, Nested("posterior")] = Factory("posterior", "diagonal"),
        prior: Annotated[Factory, Nested("prior")] = Factory("prior", "standard_normal"),
        decoder: Annotated[Factory, Nested("decoder")] = Factory("decoder", "mlp"),
        likelihood: Annotated[Factory, Nested("likelihood")] = Factory("likelihood", "bernoulli"),
        batch_norm_momentum: Annotated[float, Gt(0), Le(1)] = BATCH_NORM_MOMENTUM,
        batch_norm_eps: Annotated[float, Gt(0)] = BATCH_NORM_EPS,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.latent_dim = latent_dim
        self.encoder: Encoder | None = None if encoder is None else encoder(image_shape=image_shape)
        feature_dim = 0 if self.encoder is None else self.encoder.feature_dim
        self.posterior: Posterior = posterior(feature_dim=feature_dim, latent_dim=latent_dim)
        self.prior: Prior = prior(latent_dim=latent_dim, image_shape=image_shape)
        if self.prior.pseudo_inputs is not None:
            _check_pseudo_inputs(self.encoder, self.posterior)
        self.likelihood: Likelihood = likelihood(image_shape=image_shape)
        self.decoder = decoder(
            latent_dim=latent_dim, image_shape=image_shape, out_channels=self.likelihood.out_channels
        )
        if "follows_target" in self.posterior.capabilities:
            _check_potential(self.decoder, self.prior, latent_dim)
        check_warp(self.decoder, self.posterior, self.likelihood)
        set_batch_norm(self, batch_norm_momentum, batch_norm_eps)
        self.noise_size = self.posterior.noise_size
        self.groups = (LatentGroup(slice(0, latent_dim), (latent_dim,)),)
        bodies = (self.encoder, self.decoder, self.prior)
        self.capabilities = frozenset().union(
            self.posterior.capabilities,
            *(b.capabilities & {"batch_dependent"} for b in bodies if b is not None),
        )

    def encode(self, x: Float[Tensor, "B C H W"]) -> Encoding:
        """Features (B, F) of images (B, C, H, W), and the prior's components."""
        return Encoding(x.new_zeros(len(x), 0) if self.encoder is None else self.encoder(x), self._components())

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
        """K independent weighted posterior samples of each image; see ``Model.draw``."""
        encoding = self.encode(x) if encoding is None else encoding
        noise = self.noise_for(x, num_samples, noise, generator)
        z, log_q, q = self.posterior.propose(
            encoding.features,
            num_samples,
            noise=noise,
            target=self.target(x, encoding),
            stop_density=stop_density,
        )
        params = self._params(z)
        p = self.prior.gaussian
        return Draw(
            latents=(z,),
            log_likelihood=self.likelihood.log_prob(x, params),
            log_ratio=(self.prior.log_prob(z, encoding.components) - log_q,),
            params=params,
            densities=(None if q is None or p is None or stop_density else (q, p),),
            surrogate=self.likelihood.surrogate(x, params),
        )

    def target(self, x: Float[Tensor, "B C H W"], encoding: Encoding) -> Target:
        """log p(x, ·), z (K, B, D) -> (K, B): what a Hamiltonian posterior follows the gradient of."""
        return lambda z: self.prior.log_prob(z, encoding.components) + self.likelihood.log_prob(x, self._params(z))

    def log_prior(self, epsilon: Float[Tensor, "*rows E"], encoding: Encoding | None = None) -> Float[Tensor, "*rows"]:
        """The prior's log-density in flat coordinates: standard normal where the prior can be whitened, else of z."""
        if self.prior.whitened:
            return standard_normal_log_prob(epsilon)
        return self.prior.log_prob(epsilon, self._components(encoding))

    def sample_prior(
        self, num_samples: int, generator: torch.Generator | None = None, encoding: Encoding | None = None
    ) -> Float[Tensor, "n E"]:
        """Flat coordinates (n, D) drawn from the prior."""
        like = next(self.parameters())
        shape = (num_samples, self.prior.noise_size)
        noise = torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
        return noise if self.prior.whitened else self.prior.sample(noise, self._components(encoding))

    def closed_posterior(self, encoding: Encoding) -> GaussianValue | None:
        """q(z | x) where the posterior is a Gaussian; see ``Model.closed_posterior``."""
        return self.posterior.base(encoding.features) if "gaussian" in self.posterior.capabilities else None

    def base(self, encoding: Encoding) -> GaussianValue | None:
        """The posterior's base, whitened by the prior where that is a diagonal Gaussian; see ``Model.base``."""
        q = self.posterior.base(encoding.features)
        if not self.prior.whitened:
            return q
        p = self.prior.gaussian
        if p is None or p.scale is None:
            return None
        mean = p.standardize(q.mean)
        if q.scale is not None:
            return GaussianValue(mean, q.scale / p.scale)
        assert q.scale_tril is not None
        return GaussianValue(mean, scale_tril=q.scale_tril / p.scale.unsqueeze(-1))

    def latents_at(self, epsilon: Float[Tensor, "*rows E"]) -> tuple[Tensor, ...]:
        """z (*rows, D): ε itself where the prior cannot be whitened."""
        return (self.prior.sample(epsilon) if self.prior.whitened else epsilon,)

    def epsilon_of(self, *latents: Tensor) -> Float[Tensor, "*rows E"]:
        """The inverse of ``latents_at``."""
        (z,) = latents
        if not self.prior.whitened:
            return z
        assert self.prior.gaussian is not None  # whitened so far means Gaussian
        return self.prior.gaussian.standardize(z)

    def decode(self, *latents: Tensor) -> PixelDistribution:
        """p(x | z), with ``mean``, ``mode``, ``stddev``, ``sample()`` and ``log_prob(x)``; see ``PixelDistribution``.

        Args:
            latents: z (*rows, D), as in ``Draw.latents``; flat coordinates are another thing, see ``latents_at``.

        Raises:
            ValueError: more than one tensor, or another D.

        Example:
            >>> model.decode(torch.zeros(1, 16)).mean.shape        # doctest: +SKIP
            torch.Size([1, 1, 28, 28])
        """
        if len(latents) != 1 or latents[0].shape[-1] != self.latent_dim:
            got = ", ".join(str(tuple(latent.shape)) for latent in latents)
            raise ValueError(f"expected one tensor of latents (*rows, {self.latent_dim}); got {got or 'none'}")
        (z,) = latents
        return PixelDistribution(self.likelihood, self._params(z))

    def log_evidence(self, x: Float[Tensor, "B C H W"]) -> Float[Tensor, " B"] | None:
        """log N(x; b + W μ, W diag(s²) Wᵀ + σ² I) for an affine decoder under Gaussians of one σ, else None."""
        affine, p = self.decoder.affine(), self.prior.gaussian
        likelihood = self.likelihood
        if not isinstance(likelihood, GaussianLikelihood) or likelihood.mean_activation != "none":
            return None
        if likelihood.noise != "homoscedastic":
            return None
        if affine is None or p is None or p.scale is None:
            return None
        weight, bias = affine
        noise = (2 * likelihood.log_scale).exp().expand(bias.shape)
        evidence = LowRankMultivariateNormal(bias + weight @ p.mean, weight * p.scale, noise, validate_args=False)
        return evidence.log_prob(x.flatten(1))

    def _components(self, encoding: Encoding | None = None) -> GaussianValue | None:
        """What a prior made of posteriors is made of, (M, D): of an encoding where one is known."""
        if encoding is not None:
            return encoding.components
        inputs = self.prior.pseudo_inputs
        return None if inputs is None or self.encoder is None else self.posterior.base(self.encoder(inputs))

    def _params(self, z: Tensor) -> Tensor:
        """(*rows, D) -> (*rows, P, H, W): all rows in one batch."""
        return self.decoder(z.reshape(-1, z.shape[-1])).unflatten(0, z.shape[:-1])


def _check_pseudo_inputs(encoder: Encoder | None, posterior: Posterior) -> None:
    """Refuses an encoder or a posterior that cannot make a prior of pseudo-inputs."""
    if encoder is None:
        raise RecipeError(
            "model.prior: it is made of posteriors of pseudo-inputs, and without an encoder these are all one",
            hint="give model.encoder, or use model.prior=mixture",
        )
    for name, part, others in (("encoder", encoder, "weight or group"), ("posterior", posterior, "weight")):
        if "batch_dependent" in part.capabilities:
            raise RecipeError(
                f"model.prior: it is made of posteriors of pseudo-inputs, whose statistics would enter the {name}'s "
                "batch normalization",
                hint=f"use model.{name}.normalization={others}, or model.prior=mixture",
            )


def _check_potential(decoder: nn.Module, prior: Prior, latent_dim: int) -> None:
    """Refuses parts of log p(x, z) that are no function of one image's z, or that no one can differentiate twice."""
    for name, part in (("decoder", decoder), ("prior", prior)):
        declared = "batch_dependent" in getattr(part, "capabilities", ())
        if declared or any(isinstance(module, nn.modules.batchnorm._BatchNorm) for module in part.modules()):
            raise RecipeError(
                f"model.{name}: its batch statistics would make the slope of one image's log p(x, z) depend on all "
                "others; a Hamiltonian posterior then keeps no volume",
                hint="use normalization: group or weight there",
            )
        if any(isinstance(module, nn.modules.dropout._DropoutNd) and module.p > 0 for module in part.modules()):
            raise RecipeError(
                f"model.{name}: dropout makes each step of a Hamiltonian posterior follow another log p(x, z)",
                hint="leave out dropout, or use another posterior",
            )
    _check_same(decoder, latent_dim)
    if prior.pseudo_inputs is None:
        _check_slope(prior, latent_dim)


def _check_same(decoder: nn.Module, latent_dim: int) -> None:
    """Calls the decoder twice at one z, as a plug-in may have random numbers that no module of it tells of."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        z = torch.randn(1, latent_dim)  # not 0, where nothing may be left to be dropped
        first, second = decoder(z), decoder(z)
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise RecipeError(
            "model.decoder: called twice at one z in training, it gave two results; a Hamiltonian posterior follows "
            "one log p(x, z)",
            hint="leave out what is random or counts its calls, or use another posterior",
        )


def _check_slope(prior: Prior, latent_dim: int) -> None:
    """Tries the gradient of a prior's density, which may be a flow of another library."""
    try:
        gradient(prior.log_prob, torch.zeros(1, 1, latent_dim))
    except RuntimeError as error:
        if "functorch" not in str(error) and "setup_context" not in str(error):
            raise
        raise RecipeError(
            "model.prior: it makes its own gradients, as zuko's BPF and CNF do; a Hamiltonian posterior needs others",
            hint="use MAF or NSF, or another posterior",
        ) from error
