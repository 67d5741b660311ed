"""Models for the laws: every combination, small enough to integrate; linear-Gaussian ones, solved exactly."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tightbound.flows import AutoregressiveStep
from tightbound.models import VAE
from tightbound.networks import SpatialTransformer
from tightbound.numerics import soft_clamp
from tightbound.posteriors.gaussian import GaussianPosterior
from tightbound.priors import Mixture, Vamp
from tightbound.recipes.build import build
from tightbound.recipes.components import load_components
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.registry import Factory, kinds

# What a component needs beyond its defaults to make a well-behaved integrand; everything else runs on defaults. A name
# is a kind or, with a comma, a variant of one.
# Activations are smooth: the trapezoid rule converges exponentially only where all derivatives do.
_IAF: dict[str, Any] = {"kind": "iaf", "repeat": 2, "hidden": [6], "activation": "tanh"}
_WIDE: dict[str, Any] = {"kind": "diagonal", "log_scale_offset": 0.4}


def _flow(*flows: dict[str, Any], **others: Any) -> dict[str, Any]:
    return {"base": _WIDE, "flows": list(flows), **others}


def _hamiltonian(**others: Any) -> dict[str, Any]:
    """Steps long enough that a mistake of a percent shows."""
    return {"base": _WIDE, "steps": 3, "step_size": 0.2, **others}


OPTIONS: dict[tuple[str, str], dict[str, Any]] = {
    ("likelihood", "binomial"): {"levels": 3},
    ("likelihood", "discretized_logistic"): {"levels": 3, "scale": 0.3},
    ("likelihood", "discretized_logistic_mixture"): {"levels": 3, "components": 2, "scale": 0.3},
    ("likelihood", "gaussian"): {"scale": 0.7},
    ("likelihood", "gaussian, imagewise"): {"noise": "imagewise", "scale": 0.7},
    ("likelihood", "gaussian, pixelwise"): {"noise": "pixelwise", "scale": 0.7},
    ("prior", "mixture"): {"components": 3},
    ("prior", "standard_normal"): {"scale": 0.8},
    ("prior", "vamp"): {"components": 3},
    ("posterior", "diagonal"): {"log_scale_offset": 0.4},
    ("posterior", "diagonal, bounded means"): {"log_scale_offset": 0.4, "mean_bound": "tanh"},
    ("posterior", "full_covariance"): {"log_scale_offset": 0.4},
    ("posterior", "flow"): _flow(_IAF),
    ("posterior", "flow, affine"): _flow({**_IAF, "transform": "affine"}),
    ("posterior", "flow, shift"): _flow({**_IAF, "transform": "shift"}),
    ("posterior", "flow, two layers, no weight normalization"): _flow(
        {**_IAF, "hidden": [6, 5], "normalization": "none"}
    ),
    ("posterior", "flow, batch normalization"): _flow({**_IAF, "normalization": "batch"}),
    ("posterior", "flow, context after the activation"): _flow({**_IAF, "context": "after"}, context=6),
    ("posterior", "flow, full covariance and iaf"): _flow(_IAF, base={"kind": "full_covariance"}),
    ("posterior", "flow, identity"): _flow({"kind": "identity"}),
    ("posterior", "flow, planar"): _flow({"kind": "planar", "repeat": 2}),
    ("posterior", "flow, planar shared and not amortized"): _flow(
        {"kind": "planar", "repeat": 3, "shared": True, "amortized": False}
    ),
    ("posterior", "flow, sylvester"): _flow({"kind": "sylvester", "repeat": 2}),
    ("posterior", "flow, sylvester of one column"): _flow({"kind": "sylvester", "columns": 1}),
    ("posterior", "flow, sylvester householder"): _flow({"kind": "sylvester", "repeat": 2, "basis": "householder"}),
    ("posterior", "flow, sylvester triangular"): _flow({"kind": "sylvester", "repeat": 2, "basis": "triangular"}),
    ("posterior", "flow, planar, iaf and sylvester"): _flow({"kind": "planar"}, _IAF, {"kind": "sylvester"}),
    ("posterior", "flow, zuko BPF"): _flow({"kind": "zuko", "flow": "BPF", "transforms": 1, "hidden": []}),
    ("posterior", "hamiltonian"): _hamiltonian(),
    ("posterior", "hamiltonian, untempered"): _hamiltonian(tempering="none"),
    ("posterior", "hamiltonian, free"): _hamiltonian(tempering="free"),
    ("posterior", "hamiltonian, detached"): _hamiltonian(second_order=False),
    ("posterior", "hamiltonian, over full covariance"): _hamiltonian(base={**_WIDE, "kind": "full_covariance"}),
    ("posterior", "hamiltonian, over a flow"): _hamiltonian(base={"kind": "flow", **_flow(_IAF)}),
    ("posterior", "hamiltonian, over standard"): _hamiltonian(base={"kind": "standard"}),
    ("posterior", "hamiltonian, with iaf"): _hamiltonian(flows=[_IAF]),
    ("posterior", "hamiltonian, free with planar and sylvester"): _hamiltonian(
        tempering="free", flows=[{"kind": "planar"}, {"kind": "sylvester"}]
    ),
    ("posterior", "hamiltonian, of flows alone"): {
        "base": _WIDE,
        "steps": 0,
        "tempering": "none",
        "flows": [_IAF],
    },
    ("prior", "flow"): {"flows": [{**_IAF, "transform": "affine"}]},
    ("prior", "flow, gated"): {"flows": [_IAF]},
    ("prior", "flow, zuko BPF"): {"flows": [{"kind": "zuko", "flow": "BPF", "transforms": 1, "hidden": []}]},
}
SHORTHANDS = {("posterior", "iaf"), ("prior", "maf")}  # of ``flow``, with which they are tested to be the same

# Kind of the pixels and their levels; else continuous.
PIXELS: dict[str, tuple[Any, int]] = {
    "bernoulli": ("binary", 1),
    "binomial": ("levels", 3),
    "discretized_logistic": ("levels", 3),
    "discretized_logistic_mixture": ("levels", 3),
}


def recipe_of(family: str, kind: str) -> dict[str, Any]:
    """A component with the options that the laws need, as a recipe has it."""
    return {"kind": kind.partition(",")[0], **OPTIONS.get((family, kind), {})}


def combinations() -> Iterator[tuple[str, str, str]]:
    """Every posterior × prior × likelihood in the registry, variants of a likelihood among them."""
    load_components()
    for posterior in _long("posterior"):
        for prior in _long("prior"):
            for likelihood in [*kinds("likelihood"), *variants("likelihood")]:
                yield posterior, prior, likelihood


def variants(family: str) -> list[str]:
    """The variants of a family's kinds."""
    return [name for variant_family, name in OPTIONS if variant_family == family and "," in name]


def integrable(posterior: str, largest: int = 2) -> list[int]:
    """Numbers of latent units for which a posterior's noise has at most ``largest`` dimensions: one grid an axis."""
    return [d for d in range(1, largest + 1) if (2 * d if posterior.startswith("hamiltonian") else d) <= largest]


def _long(family: str) -> list[str]:
    return [kind for kind in kinds(family) if (family, kind) not in SHORTHANDS]


def randomize(model: VAE, scale: float = 0.3, seed: int = 0) -> VAE:
    """Random parameters: a law that only holds at initialization proves nothing. Matrices lose their initialization,
    so that the integrands are as smooth whatever a network's defaults are.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.zero_()
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return model


def small_vae(
    posterior: str,
    prior: str,
    likelihood: str,
    latent_dim: int,
    *,
    amortized: bool = True,
    spread: float = 0.3,
    network_kind: str = "mlp",
) -> VAE:
    """A nonlinear VAE of 2 × 2 images with random parameters, built from a recipe."""
    network = {"kind": network_kind, "hidden": [4], "activation": "tanh"}
    recipe = load_recipe(
        {
            "name": "small",
            "model": {
                "latent_dim": latent_dim,
                "encoder": network if amortized else None,
                "posterior": recipe_of("posterior", posterior),
                "prior": recipe_of("prior", prior),
                "decoder": network,
                "likelihood": recipe_of("likelihood", likelihood),
            },
        }
    )
    facts = DataFacts((1, 2, 2), *PIXELS.get(likelihood, ("continuous", None)))
    model = build(recipe, facts).model.double()
    assert isinstance(model, VAE)
    return fit_the_grid(randomize(model, spread)).eval()


def small_spatial_vae(posterior: str, likelihood: str, applied_to: str = "parameters") -> VAE:
    """A VAE of 2 × 2 images that are translated by the last two of three latents, as smooth as the quadrature needs.

    Bilinear reading has kinks where a place crosses the center of a pixel. With b = ½ and |W| < 0.06 places stay
    between the two centers of an axis, or beyond the second, wherever the grid of z goes.
    """
    bounded = {"bounded_units": 2} if "bounded" in posterior else {}
    recipe = load_recipe(
        {
            "name": "small",
            "model": {
                "latent_dim": 3,
                "encoder": {"kind": "mlp", "hidden": [4], "activation": "tanh"},
                "posterior": recipe_of("posterior", posterior) | bounded,
                "decoder": {
                    "kind": "spatial_transformer",
                    "warp": "translation",
                    "applied_to": applied_to,
                    "decoder": {"kind": "mlp", "hidden": [4], "activation": "tanh"},
                },
                "likelihood": recipe_of("likelihood", likelihood),
            },
        }
    )
    model = build(recipe, DataFacts((1, 2, 2), *PIXELS.get(likelihood, ("continuous", None)))).model.double()
    assert isinstance(model, VAE)
    assert isinstance(model.decoder, SpatialTransformer)
    randomize(model, 0.4)
    with torch.no_grad():
        model.decoder.to_warp.weight.copy_(torch.tensor([[0.05, 0.01], [-0.01, 0.05]]))
        model.decoder.to_warp.bias.fill_(0.5)
    return model.eval()


def fit_the_grid(model: VAE) -> VAE:
    """Narrows random priors whose tails would lie beyond the grid of z, which ends at 8.

    A mixture's scales vary by component and unit, so that the widest is what counts; a VampPrior is as wide as q. A
    flow prior is narrower where its steps, from z to noise, scale up.
    """
    for step in model.prior.modules():
        if isinstance(step, AutoregressiveStep) and step.transform == "affine":
            with torch.no_grad():
                step.network.output.bias[model.latent_dim :].add_(0.4)
    if isinstance(model.prior, Mixture):
        with torch.no_grad():
            model.prior.raw_log_scale.sub_(0.5)
    if isinstance(model.prior, Vamp):
        for part in model.posterior.modules():
            if isinstance(part, GaussianPosterior):
                part.log_scale_offset = -0.6
    return model


def small_images(likelihood: str, count: int = 3) -> Tensor:
    """Images (count, 1, 2, 2) of the kind that a likelihood scores."""
    uniform = torch.rand(count, 1, 2, 2, generator=torch.Generator().manual_seed(7))
    if likelihood not in PIXELS:
        return uniform
    _, levels = PIXELS[likelihood]
    return (uniform * levels).round() / levels


def linear_gaussian(
    latent_dim: int,
    *,
    posterior: str = "diagonal",
    side: int = 8,
    noise: float = 0.5,
    widen: float = 1.0,
    orthogonal: bool | None = None,
) -> VAE:
    """x = W z + b + noise with the exact posterior as q, its scale times ``widen``.

    p(z | x) = N(A (x − b), S) with S = (I + Wᵀ W/σ²)⁻¹ and A = S Wᵀ/σ². A diagonal q is exact if the columns of W are
    orthogonal, which makes S diagonal.
    """
    pixels = side * side
    model = VAE(
        (1, side, side),
        latent_dim=latent_dim,
        encoder=Factory("encoder", "mlp", {"hidden": ()}),
        posterior=Factory("posterior", posterior),
        decoder=Factory("decoder", "mlp", {"hidden": ()}),
        likelihood=Factory("likelihood", "gaussian", {"scale": noise, "learned": False}),
    ).eval()
    generator = torch.Generator().manual_seed(latent_dim)
    weight = torch.randn(pixels, latent_dim, generator=generator) / math.sqrt(latent_dim)
    if posterior == "diagonal" if orthogonal is None else orthogonal:
        weight = torch.linalg.qr(weight).Q * torch.linspace(0.5, 1.5, latent_dim)
    bias = 0.3 * torch.randn(pixels, generator=generator)
    covariance = torch.linalg.inv(torch.eye(latent_dim) + weight.T @ weight / noise**2)
    gain = covariance @ weight.T / noise**2
    with torch.no_grad():
        layer = next(m for m in model.decoder.modules() if isinstance(m, torch.nn.Linear))
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
        _set_posterior(model, gain, -gain @ bias, torch.linalg.cholesky(covariance) * widen)
    return model


def raw_log_scale(log_scale: Tensor) -> Tensor:
    """What the posterior's soft bounds turn into ``log_scale``: a fixed point, as they are nearly the identity."""
    raw = log_scale.clone()
    for _ in range(20):
        raw += log_scale - soft_clamp(raw, -12.0, 8.0)
    return raw


def _set_posterior(model: VAE, gain: Tensor, offset: Tensor, factor: Tensor) -> None:
    """Writes N(gain·x + offset, factor factorᵀ) into the heads of a Gaussian posterior."""
    dimension = len(offset)
    scale = factor.diagonal()
    moments = model.posterior.moments
    moments.weight.zero_()
    moments.weight[:dimension] = gain
    moments.bias[:dimension] = offset
    moments.bias[dimension:] = raw_log_scale(scale.log())
    if hasattr(model.posterior, "correlations"):
        below = torch.tril_indices(dimension, dimension, -1)
        entries = (factor / scale.unsqueeze(-1))[below[0], below[1]] * math.sqrt(dimension)
        model.posterior.correlations.bias.copy_(entries)
