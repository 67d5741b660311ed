"""Any flow of the zuko library, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Flow
from tightbound.errors import RecipeError
from tightbound.networks.layers import Widths
from tightbound.registry import nearest_hint, register


@register("flow", "zuko")
class Zuko(Flow):
    """The transformation of a zuko flow, such as MAF, NSF or NICE; needs ``pip install 'tightbound[zuko]'``.

    The direction that zuko uses for densities is ``forward``: from noise to z in a posterior, which for autoregressive
    flows makes it parallel, and from z to noise in a prior. zuko's own base distribution is not used, so flows on
    bounded domains are refused. Annealing cannot follow gradients through BPF and CNF, which have their own. CNF solves
    an equation to a tolerance: its log-determinants forward and back differ by some 1e-4.

    Args:
        feature_dim: width of the context; 0 for none.
        latent_dim: D.
        flow: a class of ``zuko.flows``.
        transforms: how many; null for zuko's default.
        hidden: widths of the hidden layers of its networks.

    Raises:
        RecipeError: zuko is not installed, has no such flow or not with these keys, or the flow does not map ℝᴰ onto
            itself.
    """

    capabilities = frozenset({"inverse"})

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        flow: str = "MAF",
        transforms: Annotated[int, Ge(1)] | None = None,
        hidden: Widths = (64, 64),
    ) -> None:
        super().__init__()
        self.feature_dim, self.latent_dim = feature_dim, latent_dim
        given = {} if transforms is None else {"transforms": transforms}
        self.flow: Any = _make(flow, latent_dim, feature_dim, {**given, "hidden_features": hidden})
        _check_onto(self, flow)

    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """f(z) and log |det ∂f/∂z|."""
        return self._transform(features).call_and_ladj(z)

    def inverse(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """The point that is mapped to z, and ``forward``'s log-determinant there."""
        point, log_det = self._transform(features).inv.call_and_ladj(z)
        return point, -log_det

    def _transform(self, features: Tensor) -> Any:
        return self.flow.transform(features if self.feature_dim else None)


def _make(name: str, latent_dim: int, feature_dim: int, options: Mapping[str, Any]) -> nn.Module:
    try:
        from zuko import distributions, flows
    except ImportError as error:
        raise RecipeError("flow 'zuko' needs the zuko package", hint="pip install 'tightbound[zuko]'") from error
    found: dict[str, Any] = {
        n: c
        for n, c in vars(flows).items()
        if isinstance(c, type) and issubclass(c, flows.Flow) and c is not flows.Flow
    }
    if name not in found:
        known = sorted(found)
        raise RecipeError(f"flow: zuko has no flow {name!r}; it has {', '.join(known)}", hint=nearest_hint(name, known))
    try:
        made = found[name](latent_dim, feature_dim, **options)
        base = made.base()
    except (TypeError, ValueError, AttributeError) as error:
        raise RecipeError(
            f"flow: zuko's {name} cannot be made with {', '.join(options)} and {latent_dim} units: {error}",
            hint="leave out transforms, or see zuko's documentation",
        ) from error
    if not isinstance(base, distributions.DiagNormal):
        raise RecipeError(
            f"flow: zuko's {name} is not a map of noise in ℝᴰ: its base is {type(base).__name__}", hint="use MAF or NSF"
        )
    return made


def _check_onto(flow: Zuko, name: str) -> None:
    """Refuses a map that does not reach all of where noise and latents are: its density would not be normalized.

    Points of eight standard deviations must have something that is mapped to them, at the initial weights.
    """
    ends = torch.tensor([-8.0, -4.0, 0.0, 4.0, 8.0]).reshape(1, -1, 1).expand(1, 5, flow.latent_dim).contiguous()
    with torch.no_grad():
        features = torch.zeros(5, flow.feature_dim)
        point, _ = flow.inverse(ends, features)
        reached, _ = flow(point, features)
    if not torch.allclose(reached, ends, atol=0.05):
        raise RecipeError(
            f"flow: zuko's {name} does not map onto all of ℝᴰ, so that its densities do not integrate to 1",
            hint="use MAF, NSF, NICE or RealNVP",
        )
