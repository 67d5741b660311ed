"""Flow posteriors: samples of a Gaussian, carried on by invertible maps that see the image."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from tightbound import flows as _flows  # noqa: F401  (registers the defaults)
from tightbound.core import Posterior, Proposal, Target
from tightbound.errors import RecipeError
from tightbound.flows import Steps
from tightbound.networks.head import Head, HeadNormalization
from tightbound.numerics import Gaussian, call_detached
from tightbound.registry import Factory, Nested, register


@register("posterior", "flow")
class FlowPosterior(Posterior):
    """z = f(z_0; x), z_0 ~ N(μ(x), Σ(x)), log q(z | x) = log q(z_0 | x) − log |det ∂f/∂z_0|; Rezende & Mohamed 2015.

    Args:
        feature_dim: F.
        latent_dim: D.
        base: the Gaussian posterior that z_0 comes from.
        flows: f, applied in this order.
        context: width of an affine map of the features that the flows then see in their place; None for the features.
        normalization: of that map.

    Raises:
        RecipeError: no flows, a base that is not Gaussian, or a context where nothing is amortized.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        base: Annotated[Factory, Nested("posterior")] = Factory("posterior", "diagonal"),
        flows: tuple[Annotated[Factory, Nested("flow")], ...] = (Factory("flow", "iaf"),),
        context: Annotated[int, Ge(1)] | None = None,
        normalization: HeadNormalization = "none",
    ) -> None:
        super().__init__()
        if not flows:
            raise RecipeError("posterior.flows: got []; expected at least one", hint=f"or posterior={base.kind}")
        if context is not None and not feature_dim:
            raise RecipeError("posterior.context: there is no encoder, hence nothing to make a context of")
        self.start: Posterior = base(feature_dim=feature_dim, latent_dim=latent_dim)
        if "gaussian" not in self.start.capabilities:
            raise RecipeError(
                f"posterior.base: got {base.kind!r}; a flow starts from a Gaussian",
                hint="use diagonal or full_covariance, and list all maps under flows",
            )
        if context is None and normalization != "none":
            raise RecipeError(
                f"posterior.normalization: got {normalization!r}, which is of the context, and there is none",
                hint="give posterior.context: 320, or normalize posterior.base and each of posterior.flows",
            )
        self.context = None if context is None else Head(feature_dim, context, normalization=normalization)
        width = context or feature_dim
        self.flow = Steps(flow(feature_dim=width, latent_dim=latent_dim) for flow in flows)
        self.noise_size = self.start.noise_size
        parts = [part.capabilities for part in (self.start, self.flow, self.context) if part is not None]
        depends = frozenset[str]().union(*parts) & {"batch_dependent"}
        # The density is evaluated a second time, which would move batch statistics twice.
        can = "inverse" in self.flow.capabilities and not depends
        self.capabilities = depends | (self.start.capabilities & {"stop_density"} if can else frozenset())

    def base(self, features: Float[Tensor, "B F"]) -> Gaussian:
        """q(z_0 | x), (B, D)."""
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
        """Z = f(mean + scale·noise) and its log q; see ``Posterior.propose``."""
        start, log_q, _ = self.start.propose(features, num_samples, noise=noise)
        z, log_det = self.flow(start, self._seen(features))
        if stop_density:
            return Proposal(z, call_detached(self, features.detach(), z), None)
        return Proposal(z, log_q - log_det, None)

    def forward(self, features: Float[Tensor, "B F"], z: Float[Tensor, "K B D"]) -> Float[Tensor, "K B"]:
        """log q(z | x) of any z, by the inverse of the flows; D passes through each that is autoregressive.

        Raises:
            ValueError: a flow has no inverse.
        """
        start, log_det = self.flow.inverse(z, self._seen(features))
        return self.base(features).log_prob(start) - log_det

    def _seen(self, features: Tensor) -> Tensor:
        """What the flows see of the image."""
        return features if self.context is None else self.context(features)


@register("posterior", "iaf")
def iaf(
    feature_dim: int,
    latent_dim: int,
    *,
    steps: Annotated[int, Ge(1)] = 4,
    base: Annotated[Factory, Nested("posterior")] = Factory("posterior", "diagonal"),
) -> FlowPosterior:
    """Short for ``flow`` with ``flows: [{kind: iaf, repeat: steps}]``; Kingma et al. 2016.

    Args:
        feature_dim: F.
        latent_dim: D.
        steps: how many inverse autoregressive steps.
        base: the Gaussian posterior that they start from.
    """
    return FlowPosterior(feature_dim, latent_dim, base=base, flows=(Factory("flow", "iaf", {"repeat": steps}),))
