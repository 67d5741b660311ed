"""Every flow that the registry has, with random parameters, for laws over all of them."""

from __future__ import annotations

import torch
from torch import Tensor

from tightbound.core import Flow
from tightbound.recipes.components import load_components
from tightbound.recipes.sections import read_component
from tightbound.registry import kinds

FEATURES, UNITS = 3, 5

VARIANTS = {
    "iaf": {"repeat": 3, "hidden": [7, 9]},
    "iaf affine": {"kind": "iaf", "repeat": 2, "transform": "affine", "normalization": "none", "hidden": [7]},
    "iaf shift": {"kind": "iaf", "repeat": 2, "transform": "shift", "hidden": [7]},
    "iaf batch": {"kind": "iaf", "repeat": 2, "normalization": "batch", "hidden": [8]},
    "iaf after": {"kind": "iaf", "repeat": 2, "context": "after", "hidden": [FEATURES, 6]},
    "iaf narrow": {"kind": "iaf", "hidden": [2]},
    "planar": {"repeat": 4},
    "planar shared": {"kind": "planar", "repeat": 4, "shared": True},
    "sylvester": {"repeat": 2, "columns": 3},
    "sylvester householder": {"kind": "sylvester", "repeat": 2, "basis": "householder", "reflections": 3},
    "sylvester triangular": {"kind": "sylvester", "repeat": 2, "basis": "triangular"},
    "zuko": {"flow": "MAF", "hidden": [8]},
    "zuko NSF": {"kind": "zuko", "flow": "NSF", "hidden": [8]},
    "zuko RealNVP": {"kind": "zuko", "flow": "RealNVP", "hidden": [8]},
}


def names() -> list[str]:
    """Every kind of the registry, and variants."""
    load_components()
    return [*kinds("flow"), *(name for name in VARIANTS if " " in name)]


def make(name: str, feature_dim: int = FEATURES, latent_dim: int = UNITS, spread: float = 0.3) -> Flow:
    """A flow with random parameters, in evaluation mode."""
    given = {"kind": name, **VARIANTS.get(name, {})}
    flow = read_component("flow", "flow", given)(feature_dim=feature_dim, latent_dim=latent_dim).double()
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    return flow.eval()


def points(samples: int = 4, images: int = 3) -> tuple[Tensor, Tensor]:
    """z (K, B, D) and features (B, F)."""
    generator = torch.Generator().manual_seed(4)
    z = torch.randn(samples, images, UNITS, generator=generator)
    return z, torch.randn(images, FEATURES, generator=generator)
