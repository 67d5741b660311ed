"""The posteriors of the Gaussian location study, as the published study had them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.registry import Factory

_STANDARD = Factory("posterior", "standard")


@dataclass(frozen=True)
class Method:
    """One posterior.

    Args:
        label: as tables name it.
        make: the posterior for D dimensions.
        rate: of Adam on the posterior's parameters in D dimensions, where training goes on until nothing is gained; of
            a network, the wider it is the lower.
        points: how many independent numbers of the noise z is an affine function of in each dimension; 0 for none.
        location: see ``Ensemble``.
        missing_half: whether its published bound lacks the factor ½.
        published: whether it stands in the published tables.
    """

    label: str
    make: Callable[[int], Factory]
    rate: Callable[[int], float] = lambda _: 0.05
    points: int = 0
    location: str | None = None
    missing_half: bool = False
    published: bool = True


def _flow(kind: str, options: Mapping[str, Any]) -> Factory:
    """A flow of N(0, I)."""
    return Factory("posterior", "flow", {"base": _STANDARD, "flows": (Factory("flow", kind, options),)})


def _iaf(dimension: int) -> Factory:
    """One step, one hidden layer of D + 100."""
    hidden = {"hidden": (dimension + 100,), "activation": "relu", "normalization": "none"}
    return _flow("iaf", {"transform": "affine", **hidden})


def _planar(label: str, repeat: int, shared: bool, *, published: bool = True) -> Method:
    flow = _flow("planar", {"repeat": repeat, "shared": shared, "amortized": False})
    return Method(label, lambda _: flow, lambda d: 1 / d, missing_half=True, published=published)


def _hamiltonian(label: str, steps: int, tempering: str) -> Method:
    """Steps begin at 0.005 and stay below 0.5; 1/√β_0 begins at 5."""
    beta = {"beta_0": 0.04} if tempering == "quadratic" else {}
    options = {"base": _STANDARD, "steps": steps, "tempering": tempering, "step_size": 0.005, **beta}
    return Method(label, lambda _: Factory("posterior", "hamiltonian", options), points=2)


METHODS: Mapping[str, Method] = {
    "hamiltonian-1": _hamiltonian("Hamiltonian K=1", 1, "quadratic"),
    "hamiltonian-10": _hamiltonian("Hamiltonian K=10", 10, "quadratic"),
    "iaf": Method(
        "IAF",
        _iaf,
        lambda d: min(0.01, max(0.004, 0.8 / d)),
        location="posterior.flow.steps.0.steps.0.network.output.bias",
        missing_half=True,
    ),
    "planar-1": _planar("planar K=1", 1, True),
    "planar-30-shared": _planar("planar K=30, shared", 30, True),
    "planar-30": _planar("planar K=30", 30, False, published=False),
    "mean-field": Method(
        "mean field",
        lambda _: Factory("posterior", "diagonal", {"log_scale_offset": 1.0}),
        points=1,
        location="posterior.moments.bias",
    ),
    "untempered-1": _hamiltonian("untempered K=1", 1, "none"),
    "untempered-10": _hamiltonian("untempered K=10", 10, "none"),
}


def sign_points(groups: int, dimension: int) -> Float[Tensor, "K E"]:
    """Noise whose average is exact for the bound of this model, where z is an affine function of the noise.

    log p(x, z) is a sum over dimensions of quadratics. Where each z_j, and each momentum ρ_j, is an affine function of
    ``groups`` independent numbers, the expectation needs only that their means are 0, their variances 1 and their
    covariances 0: the 2^groups combinations of signs have these, with the same signs in every dimension.
    """
    signs = torch.cartesian_prod(*[torch.tensor([1.0, -1.0], dtype=torch.float64)] * groups).reshape(-1, groups)
    return signs.repeat_interleave(dimension, 1)
