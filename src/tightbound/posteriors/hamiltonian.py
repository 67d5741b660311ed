"""Hamiltonian posteriors: samples of any posterior, carried on along the gradient of the model's own log p(x, z)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Literal, NamedTuple

import torch
from annotated_types import Ge, Gt, Lt
from jaxtyping import Float
from torch import Tensor, nn

from tightbound import flows as _flows  # noqa: F401  (registers what ``flows`` may hold)
from tightbound.core import Posterior, Proposal, Target
from tightbound.errors import RecipeError
from tightbound.flows import Steps
from tightbound.numerics import Gaussian, Local, Phase, advance, energy, gradient, standard_normal_log_prob
from tightbound.registry import Factory, Nested, register

Tempering = Literal["quadratic", "free", "none"]

_BETA_0, _STEP_SIZE, _MAX_STEP_SIZE = 0.25, 0.01, 0.5


class Moved(NamedTuple):
    """One step of a trajectory, places and momenta (K, B, D).

    Attributes:
        before: where it began.
        arrived: where the leapfrog led.
        after: the same with the momentum tempered.
    """

    before: Phase
    arrived: Phase
    after: Phase


@register("posterior", "hamiltonian")
class Hamiltonian(Posterior):
    """K leapfrog steps on log p(x, z) from a base posterior, with tempering; Caterini et al. 2018, algorithm 1.

    z_0 ~ q_0(z | x), ρ_0 = γ / √β_0 with γ ~ N(0, I); K times a leapfrog step, then ρ ← α_k ρ with α_k = √(β_{k−1} /
    β_k) and β_K = 1; then flows of (z, ρ), if any. As a leapfrog step keeps volume,

        log q = log q_0(z_0) + log N(ρ_0; 0, I/β_0) − D Σ log α_k − log |det flows| − log N(ρ_K; 0, I),

    the last term because the target is p(x, z) N(ρ; 0, I). The terms in β_0 cancel: ∏ α_k = √β_0.

    Args:
        feature_dim: F.
        latent_dim: D.
        base: q_0, any posterior.
        steps: K; 0 leaves the flows alone.
        tempering: ``quadratic`` (1/√β_k = 1 + (1/√β_0 − 1)(1 − k²/K²) with a learned β_0), ``free`` (each α_k learned
            in (0, 1), √β_0 their product; at the start the quadratic ones), or ``none``.
        beta_0: at the start of training.
        step_size: of the leapfrog at the start of training; one is learned for each latent unit.
        max_step_size: which learned step sizes stay below.
        second_order: whether gradients go through the slopes ∇ log p(x, z), as those of the bound do; without, slopes
            are constants: cheaper, and biased.
        flows: of (z, ρ), 2 D wide, after the last step, in this order.

    Raises:
        RecipeError: numbers out of order, or settings that have no effect together.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        base: Annotated[Factory, Nested("posterior")] = Factory("posterior", "diagonal"),
        steps: Annotated[int, Ge(0)] = 5,
        tempering: Tempering = "quadratic",
        beta_0: Annotated[float, Gt(0), Lt(1)] = _BETA_0,
        step_size: Annotated[float, Gt(0)] = _STEP_SIZE,
        max_step_size: Annotated[float, Gt(0)] = _MAX_STEP_SIZE,
        second_order: bool = True,
        flows: tuple[Annotated[Factory, Nested("flow")], ...] = (),
    ) -> None:
        super().__init__()
        _check(steps, tempering, beta_0, step_size, max_step_size, second_order, flows)
        self.start: Posterior = base(feature_dim=feature_dim, latent_dim=latent_dim)
        self.flow = Steps(flow(feature_dim=feature_dim, latent_dim=2 * latent_dim) for flow in flows)
        self.latent_dim, self.steps, self.tempering = latent_dim, steps, tempering
        self.max_step_size, self.second_order = max_step_size, second_order
        if steps:
            self.raw_step_size = nn.Parameter(torch.full((latent_dim,), _logit(step_size / max_step_size)))
        if tempering == "quadratic":
            self.raw_beta_0 = nn.Parameter(torch.tensor(_logit(beta_0)))
        elif tempering == "free":
            log_alphas = _quadratic(torch.tensor(beta_0, dtype=torch.float64), steps)
            self.raw_alphas = nn.Parameter((-torch.log(torch.expm1(-log_alphas))).to(torch.get_default_dtype()))
        self.noise_size = self.start.noise_size + latent_dim
        self.amortized = self.start.amortized or bool(flows)
        depends = (self.start.capabilities | self.flow.capabilities) & {"batch_dependent"}
        follows = frozenset({"follows_target"}) if steps else self.start.capabilities & {"follows_target"}
        self.capabilities = depends | follows

    @property
    def step_sizes(self) -> Float[Tensor, " D"]:
        """ε, of each latent unit."""
        return self.max_step_size * torch.sigmoid(self.raw_step_size)

    @property
    def log_alphas(self) -> Float[Tensor, " K"] | None:
        """log α_k, below 0; None without tempering."""
        if self.tempering == "none":
            return None
        if self.tempering == "free":
            return nn.functional.logsigmoid(self.raw_alphas)
        return _quadratic(torch.sigmoid(self.raw_beta_0), self.steps)

    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """The Gaussian that z_0 comes from or, where q_0 is not Gaussian itself, starts from; (B, D)."""
        return self.start.base(features)

    def propose(
        self,
        features: Float[Tensor, "B F"],
        num_samples: int,
        *,
        noise: Float[Tensor, "K B N"],
        target: Target | None = None,
        stop_density: bool = False,
    ) -> Proposal:
        """z_K and its log q; see ``Posterior.propose``. K gradients of the target, and one more at z_0.

        Raises:
            ValueError: ``stop_density``, or no target where it is to be followed.
        """
        if stop_density:
            raise ValueError(
                "the density of a Hamiltonian posterior at a given z is an integral over momenta; use an objective "
                "without stop_density, such as elbo or iwae"
            )
        gamma = noise[..., self.start.noise_size :]
        z, momentum, log_q = self._begin(features, num_samples, noise, target)
        for moved in self._moves(z, momentum, target) if self.steps else ():
            z, momentum = moved.after.local.z, moved.after.momentum
        if len(self.flow.steps):
            state, log_det = self.flow(torch.cat([z, momentum], -1), features)
            z, momentum = state.chunk(2, -1)
            log_q = log_q - log_det
        # log N(ρ_0; 0, I/β_0) − D Σ log α_k = log N(γ; 0, I), as ∏ α_k = √β_0.
        log_q = log_q + standard_normal_log_prob(gamma) - standard_normal_log_prob(momentum)
        return Proposal(z, log_q, None)

    def trajectory(
        self, features: Float[Tensor, "B F"], noise: Float[Tensor, "K B N"], target: Target
    ) -> tuple[Float[Tensor, "P K B D"], Float[Tensor, "P K B"]]:
        """All that a sample comes past: z_0 to z_K and, with flows, z itself; and the energy errors (nats) so far.

        Counted is what the leapfrog changes of H = −log p(x, z) + ρ²/2. What tempering takes out of the momentum, and
        what a flow does, is on purpose and no error.
        """
        z, momentum, _ = self._begin(features, len(noise), noise, target)
        places, errors = [z], [z.new_zeros(z.shape[:-1])]
        for moved in self._moves(z, momentum, target) if self.steps else ():
            places.append(moved.after.local.z)
            errors.append(errors[-1] + energy(moved.arrived) - energy(moved.before))
        if len(self.flow.steps):
            places.append(self.propose(features, len(noise), noise=noise, target=target).z)
            errors.append(errors[-1])
        return torch.stack(places), torch.stack(errors)

    def _begin(
        self, features: Tensor, num_samples: int, noise: Tensor, target: Target | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """z_0, ρ_0 = γ / √β_0 and log q_0(z_0)."""
        start, gamma = noise.split((self.start.noise_size, self.latent_dim), dim=-1)
        z, log_q, _ = self.start.propose(features, num_samples, noise=start, target=target)
        log_alphas = self.log_alphas
        return z, gamma if log_alphas is None else gamma * (-log_alphas.sum()).exp(), log_q

    def _moves(self, z: Tensor, momentum: Tensor, target: Target | None) -> Iterator[Moved]:
        """The K steps, each with its tempering."""
        if target is None:
            raise ValueError(
                "expected target, the model's log p(x, z), which a Hamiltonian posterior follows; got None"
            )
        log_alphas, step_sizes = self.log_alphas, self.step_sizes

        def density(point: Tensor) -> Local:
            return Local(point, *self._slope(target, point))

        phase = Phase(density(z), momentum)
        for k in range(self.steps):
            before, arrived = phase, advance(phase, density, step_sizes)
            scale = 1.0 if log_alphas is None else log_alphas[k].exp()
            phase = arrived._replace(momentum=scale * arrived.momentum)
            yield Moved(before, arrived, phase)

    def _slope(self, target: Target, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x, z) and its gradient."""
        if self.second_order:
            return gradient(target, z)
        with torch.no_grad():
            return gradient(target, z)


def _quadratic(beta_0: Tensor, steps: int) -> Tensor:
    """log α_k = log(T_k / T_{k−1}), T_k = 1/√β_k = 1 + (T_0 − 1)(1 − k²/K²): fixed tempering."""
    k = torch.arange(steps + 1, dtype=beta_0.dtype, device=beta_0.device)
    return (1 + (beta_0.rsqrt() - 1) * (1 - (k / steps).square())).log().diff()


def _logit(p: float) -> float:
    return math.log(p / (1 - p))


def _check(
    steps: int,
    tempering: Tempering,
    beta_0: float,
    step_size: float,
    max_step_size: float,
    second_order: bool,
    flows: tuple[Factory, ...],
) -> None:
    """Refuses what makes no posterior, and what would have no effect."""
    if step_size >= max_step_size:
        raise RecipeError(
            f"posterior.step_size: got {step_size:g}; expected less than max_step_size, {max_step_size:g}",
            hint="the learned step sizes are sigmoid(·) · max_step_size",
        )
    if tempering == "none" and beta_0 != _BETA_0:
        raise RecipeError(
            f"posterior.beta_0: got {beta_0:g}, which has no effect with tempering: none",
            hint="leave it out, or tempering: quadratic",
        )
    if steps:
        return
    if not flows:
        raise RecipeError(
            "posterior.steps: got 0 and no flows: nothing would move", hint="steps: 5, or a list of flows"
        )
    if tempering != "none":
        raise RecipeError(
            f"posterior.tempering: got {tempering!r} without a step to temper", hint="tempering: none, or steps: 5"
        )
    if (step_size, max_step_size, second_order) != (_STEP_SIZE, _MAX_STEP_SIZE, True):
        raise RecipeError(
            "posterior: step_size, max_step_size and second_order have no effect with steps: 0",
            hint="leave them out, or steps: 5",
        )
