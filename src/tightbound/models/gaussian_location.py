"""The Gaussian location model: one latent vector shifts a whole data set, and everything about it is known exactly."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound import posteriors as _posteriors  # noqa: F401  (registers the default)
from tightbound.core import Draw, Encoding, LatentGroup, Likelihood, Model, PixelDistribution, Posterior, Target
from tightbound.errors import RecipeError
from tightbound.numerics import Gaussian, standard_normal_log_prob
from tightbound.registry import Factory, Nested, register

_LOG_2_PI = math.log(2 * math.pi)


def statistics(x: Float[Tensor, "B 1 N D"]) -> Float[Tensor, "B F"]:
    """All that the likelihood asks of data sets: N, x̄ and Σ (x_i − x̄)², side by side; F = 1 + 2 D."""
    rows = x.squeeze(1)
    mean = rows.mean(1)
    scatter = (rows - mean.unsqueeze(1)).square().sum(1)
    return torch.cat([mean.new_full((len(mean), 1), rows.shape[1]), mean, scatter], -1)


def rows_log_prob(
    features: Float[Tensor, "B F"], mean: Float[Tensor, "*rows B D"], log_scale: Float[Tensor, "*any D"]
) -> Float[Tensor, "*rows B"]:
    """Σ_i log N(x_i; mean, diag e^(2 log_scale)) from ``statistics`` alone: nothing is as large as the data."""
    count, center, scatter = _split(features)
    square = scatter + count * (center - mean).square()
    terms = -0.5 * square * (-2 * log_scale).exp() - count * (log_scale + 0.5 * _LOG_2_PI)
    return terms.sum(-1)


def maximum_likelihood(x: Float[Tensor, "B 1 N D"]) -> tuple[Float[Tensor, "B D"], Float[Tensor, "B D"]]:
    """The Δ and σ that maximize the exact evidence of each data set.

    Δ = x̄, and τ = σ² is the root of N τ² + (N (N − 1) − S) τ − N S = 0 with S = Σ (x_i − x̄)²: where the slope of
    −(N − 1)/2 log τ − S/(2 τ) − ½ log(τ + N) vanishes. It is S/(N − 1) up to terms of τ²/N².
    """
    count, center, scatter = _split(statistics(x))
    b = count * (count - 1) - scatter
    root = (b.square() + 4 * count.square() * scatter).sqrt()
    # Both forms are the same root; each adds where the other would subtract nearly equal numbers.
    variance = torch.where(b > 0, 2 * count * scatter / (b + root), (root - b) / (2 * count))
    return center, variance.sqrt()


class RowsLikelihood(Likelihood):
    """x is N independent rows, x_i ~ N(mean, diag σ²), with one mean and one σ for all: params (*rows, 2, 1, D).

    Args:
        image_shape: (1, N, D).
        has_surrogate: see ``GaussianLocation.missing_half``.
    """

    out_channels = 2
    data_kind = "continuous"

    def __init__(self, image_shape: tuple[int, int, int], has_surrogate: bool = False) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.has_surrogate = has_surrogate

    def log_prob(self, x: Float[Tensor, "B 1 N D"], params: Float[Tensor, "K B 2 1 D"]) -> Float[Tensor, "K B"]:
        """log p(x | params) in nats, over all rows."""
        mean, log_scale = params.squeeze(-2).unbind(-2)
        return rows_log_prob(statistics(x), mean, log_scale)

    def mean(self, params: Float[Tensor, "*rows 2 1 D"]) -> Float[Tensor, "*rows 1 N D"]:
        """The mean in each of the N rows, as a view."""
        return self._in_each_row(params[..., :1, :, :])

    def mode(self, params: Float[Tensor, "*rows 2 1 D"]) -> Float[Tensor, "*rows 1 N D"]:
        """The mean."""
        return self.mean(params)

    def std(self, params: Float[Tensor, "*rows 2 1 D"]) -> Float[Tensor, "*rows 1 N D"]:
        """σ in each of the N rows, as a view."""
        return self._in_each_row(params[..., 1:, :, :].exp())

    def sample(
        self, params: Float[Tensor, "*rows 2 1 D"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows 1 N D"]:
        """N rows."""
        mean = self.mean(params)
        noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
        return mean + self.std(params) * noise

    def _in_each_row(self, values: Tensor) -> Tensor:
        return values.expand(*values.shape[:-2], self.image_shape[1], values.shape[-1])


@register("model", "gaussian_location")
class GaussianLocation(Model):
    """z ~ N(0, I), x_i | z ~ N(z + Δ, diag σ²): N rows that share one z; Caterini et al. 2018, section 4.1.

    A data set is one x, (1, N, D). Only z + Δ can be seen in it: where the data are many, the most likely Δ is x̄, which
    is the true Δ plus the true z, and its squared error is |z|² however good the posterior is.

    Args:
        image_shape: (1, N, D); data of other N are taken too.
        posterior: q(z), the same for every x: a study has one model for each data set.
        log_scale: where log σ begins in every dimension; Δ begins at 0.
        missing_half: train on the published objective of planar and autoregressive flows, which lacks a factor ½ in
            Σ_i (x_i − Δ)²/σ². It is no bound: a surrogate, which stands in the loss alone. Log-likelihoods, weights
            and all that is reported stay the true ones, and objectives of the true likelihood refuse it.

    Raises:
        RecipeError: images of several channels.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        posterior: Annotated[Factory, Nested("posterior")] = Factory("posterior", "diagonal"),
        log_scale: float = 3.0,
        missing_half: bool = False,
    ) -> None:
        super().__init__()
        channels, _, latent_dim = image_shape
        if channels != 1:
            raise RecipeError(
                f"model: a data set is one channel of N rows, (1, N, D); got {channels} channels",
                hint="use model=vae for images",
            )
        self.image_shape, self.latent_dim, self.missing_half = image_shape, latent_dim, missing_half
        self.shift = nn.Parameter(torch.zeros(latent_dim))
        self.log_scale = nn.Parameter(torch.full((latent_dim,), log_scale))
        self.posterior: Posterior = posterior(feature_dim=0, latent_dim=latent_dim)
        self.likelihood = RowsLikelihood(image_shape, missing_half)
        self.noise_size = self.posterior.noise_size
        self.groups = (LatentGroup(slice(0, latent_dim), (latent_dim,)),)
        self.capabilities = self.posterior.capabilities

    def encode(self, x: Float[Tensor, "B 1 N D"]) -> Encoding:
        """The sufficient ``statistics`` (B, 1 + 2 D), which the posterior does not look at."""
        return Encoding(statistics(x))

    def draw(
        self,
        x: Float[Tensor, "B 1 N D"],
        num_samples: int,
        *,
        encoding: Encoding | None = None,
        noise: Float[Tensor, "K B E"] | None = None,
        generator: torch.Generator | None = None,
        stop_density: bool = False,
    ) -> Draw:
        """K independent weighted samples of z for each data set; see ``Model.draw``."""
        noise = self.noise_for(x, num_samples, noise, generator)
        features = (self.encode(x) if encoding is None else encoding).features
        return self.draw_from(features, noise, stop_density=stop_density)

    def draw_from(
        self, features: Float[Tensor, "B F"], noise: Float[Tensor, "K B E"], *, stop_density: bool = False
    ) -> Draw:
        """``draw`` of data sets of which the ``statistics`` are known: no work grows with N."""
        target = self._target(features) if "follows_target" in self.posterior.capabilities else None
        z, log_q, q = self.posterior.propose(
            features, len(noise), noise=noise, target=target, stop_density=stop_density
        )
        zeros = torch.zeros_like(self.shift)
        log_likelihood = self._log_likelihood(features, z)
        return Draw(
            latents=(z,),
            log_likelihood=log_likelihood,
            log_ratio=(standard_normal_log_prob(z) - log_q,),
            params=self._params(z),
            densities=(None if q is None or stop_density else (q, Gaussian(zeros, zeros + 1)),),
            surrogate=log_likelihood - self._excess(features) if self.missing_half else None,
        )

    def target(self, x: Float[Tensor, "B 1 N D"], encoding: Encoding) -> Target:
        """log p(x, ·), z (K, B, D) -> (K, B): what a Hamiltonian posterior follows the gradient of."""
        return self._target(encoding.features)

    def log_prior(self, epsilon: Float[Tensor, "*rows E"], encoding: Encoding | None = None) -> Float[Tensor, "*rows"]:
        """log N(ε; 0, I); flat coordinates are z itself."""
        return standard_normal_log_prob(epsilon)

    def sample_prior(
        self, num_samples: int, generator: torch.Generator | None = None, encoding: Encoding | None = None
    ) -> Float[Tensor, "n E"]:
        """Z ~ N(0, I), (n, D)."""
        shape = (num_samples, self.latent_dim)
        return torch.randn(shape, generator=generator, dtype=self.shift.dtype, device=self.shift.device)

    def closed_posterior(self, encoding: Encoding) -> Gaussian | None:
        """q(z) where the posterior is a Gaussian; see ``Model.closed_posterior``."""
        return self.posterior.base(encoding.features) if "gaussian" in self.posterior.capabilities else None

    def base(self, encoding: Encoding) -> Gaussian | None:
        """The posterior's base (B, D); see ``Model.base``."""
        q = self.posterior.base(encoding.features)
        size = (len(encoding.features), self.latent_dim)
        return q if q.scale is None else Gaussian(q.mean.expand(size), q.scale.expand(size))

    def latents_at(self, epsilon: Float[Tensor, "*rows E"]) -> tuple[Tensor, ...]:
        """ε itself."""
        return (epsilon,)

    def epsilon_of(self, *latents: Tensor) -> Float[Tensor, "*rows E"]:
        """Z itself."""
        (z,) = latents
        return z

    def decode(self, *latents: Tensor) -> PixelDistribution:
        """p(x | z) at z (*rows, D)."""
        (z,) = latents
        return PixelDistribution(self.likelihood, self._params(z))

    def log_evidence(self, x: Float[Tensor, "B 1 N D"]) -> Float[Tensor, " B"]:
        """The exact log p(x), dimension by dimension: rows of covariance σ² I + 1 1ᵀ around Δ.

        log p = log p(x | z = 0) + ½ log v + ½ v (N (x̄ − Δ)/σ²)², where v = 1/(1 + N/σ²) is the posterior's variance.
        """
        return self.log_evidence_of(statistics(x))

    def log_evidence_of(self, features: Float[Tensor, "B F"]) -> Float[Tensor, " B"]:
        """``log_evidence`` of data sets of which the ``statistics`` are known."""
        count, center, _ = _split(features)
        precision = count * (-2 * self.log_scale).exp()
        variance = 1 / (1 + precision)
        gain = 0.5 * (variance.log() + variance * (precision * (center - self.shift)).square())
        return rows_log_prob(features, self.shift.expand_as(center), self.log_scale) + gain.sum(-1)

    def _target(self, features: Tensor) -> Target:
        """log p(x, z) as a quadratic of z: what does not depend on z is computed once, not at each leapfrog step.

        It is that of the weights as they are: make it anew after ``backward`` or an update.
        """
        count, center, _ = _split(features)
        weight, middle = count * (-2 * self.log_scale).exp(), center - self.shift
        constant = rows_log_prob(features, center, self.log_scale) - 0.5 * self.latent_dim * _LOG_2_PI
        return lambda z: constant - 0.5 * (z.square() + weight * (middle - z).square()).sum(-1)

    def _log_likelihood(self, features: Tensor, z: Tensor) -> Tensor:
        return rows_log_prob(features, z + self.shift, self.log_scale)

    def _excess(self, features: Tensor) -> Tensor:
        """½ Σ_i (x_i − Δ)²/σ² (B), by which the published objective of the flows is too low."""
        count, center, scatter = _split(features)
        square = scatter + count * (center - self.shift).square()
        return 0.5 * (square * (-2 * self.log_scale).exp()).sum(-1)

    def _params(self, z: Tensor) -> Tensor:
        """(*rows, D) -> (*rows, 2, 1, D): z + Δ and log σ."""
        mean = z + self.shift
        return torch.stack([mean, self.log_scale.expand_as(mean)], -2).unsqueeze(-2)


def _split(features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """N (B, 1), x̄ (B, D) and Σ (x_i − x̄)² (B, D)."""
    size = (features.shape[-1] - 1) // 2
    count, center, scatter = features.split((1, size, size), -1)
    return count, center, scatter
