"""Flow priors: a standard normal seen through an invertible map."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from tightbound import flows as _flows  # noqa: F401  (registers the defaults)
from tightbound.core import Prior
from tightbound.errors import RecipeError
from tightbound.flows import Steps
from tightbound.numerics import Gaussian, standard_normal_log_prob
from tightbound.registry import Factory, Nested, register

_AFFINE = {
    "transform": "affine"
}  # a gate only shrinks: alone it would make priors wider than its noise, never narrower


@register("prior", "flow")
class FlowPrior(Prior):
    """log p(z) = log N(f(z); 0, I) + log |det ∂f/∂z|: f goes from z to noise, as z is what training has.

    With inverse autoregressive steps this is a masked autoregressive flow (Papamakarios et al. 2017): densities in one
    pass, samples in D.

    Args:
        latent_dim: D.
        flows: f, applied to z in this order; each needs an inverse, or there are no samples.

    Raises:
        RecipeError: no flows, or one without an inverse.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        flows: tuple[Annotated[Factory, Nested("flow")], ...] = (Factory("flow", "iaf", _AFFINE),),
    ) -> None:
        super().__init__()
        if not flows:
            raise RecipeError("prior.flows: got []; expected at least one", hint="or prior=standard_normal")
        self.noise_size = latent_dim
        self.flow = Steps(flow(feature_dim=0, latent_dim=latent_dim) for flow in flows)
        if "inverse" not in self.flow.capabilities:
            raise RecipeError(
                f"prior.flows: {', '.join(flow.kind for flow in flows)} has no inverse, so nothing could be sampled",
                hint="use iaf without batch normalization, or zuko",
            )

    def log_prob(self, z: Float[Tensor, "*rows D"], components: Gaussian | None = None) -> Float[Tensor, "*rows"]:
        """log p(z): (*rows, D) -> (*rows)."""
        noise, log_det = self.flow(*_as_batch(z))
        return (standard_normal_log_prob(noise) + log_det).reshape(z.shape[:-1])

    def sample(self, noise: Float[Tensor, "*rows N"], components: Gaussian | None = None) -> Float[Tensor, "*rows D"]:
        """f⁻¹(noise)."""
        z, _ = self.flow.inverse(*_as_batch(noise))
        return z.reshape(noise.shape)


@register("prior", "maf")
def maf(latent_dim: int, *, steps: Annotated[int, Ge(1)] = 4) -> FlowPrior:
    """Short for ``flow`` with ``flows: [{kind: iaf, transform: affine, repeat: steps}]``; Papamakarios et al. 2017.

    Args:
        latent_dim: D.
        steps: how many masked autoregressive steps.
    """
    return FlowPrior(latent_dim, flows=(Factory("flow", "iaf", {**_AFFINE, "repeat": steps}),))


def _as_batch(z: Tensor) -> tuple[Tensor, Tensor]:
    """Points (*rows, D) as one sample of a batch (1, N, D), and features (N, 0)."""
    points = z.reshape(1, -1, z.shape[-1])
    return points, points.new_zeros(points.shape[1], 0)
