"""A model and its objective in a few words each, from the recipe alone; a kind that is not known here is named so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tightbound.report.formatting import count, plural, with_article

Section = Mapping[str, Any]

_KINDS = {
    "bernoulli": "Bernoulli",
    "dreg": "DReG",
    "elbo": "the ELBO",
    "full_covariance": "full-covariance",
    "gaussian": "Gaussian",
    "hamiltonian": "Hamiltonian",
    "iwae": "IWAE",
    "stl": "STL",
    "vae": "VAE",
}
_WHOLE = {"vamp": "VampPrior"}  # names that need no noun
_NOISE = {"imagewise": " with one σ for each image", "pixelwise": " with one σ for each pixel"}


def section(of: Section, key: str) -> Section:
    """A part of the recipe that has parts itself, or nothing."""
    value = of.get(key)
    return value if isinstance(value, Mapping) else {}


def kind_of(part: Section, otherwise: str = "") -> str:
    """``Bernoulli``, ``discretized logistic``; ``otherwise`` where no kind is given."""
    kind = str(part.get("kind") or otherwise)
    return _KINDS.get(kind, kind.replace("_", " "))


def model_traits(model: Section) -> list[str]:
    """Latent units, posterior, prior and likelihood, as far as the recipe has them."""
    traits = [plural(int(model["latent_dim"]), "latent unit")] if model.get("latent_dim") else []
    if model.get("latent_channels"):
        traits.append(f"{plural(len(model['latent_channels']), 'layer')} of latents")
    return traits + [trait for trait in (_posterior(model), _prior(model), _likelihood(model)) if trait]


def _posterior(model: Section) -> str:
    posterior = section(model, "posterior")
    steps = posterior.get("steps") if posterior.get("kind") == "hamiltonian" else None
    moved = f" of {plural(steps, 'leapfrog step')}" if isinstance(steps, int) else ""
    one = " that is the same for every image" if "encoder" in model and model["encoder"] is None else ""
    return _named(posterior, "posterior", moved + one)


def _prior(model: Section) -> str:
    prior = section(model, "prior")
    components = prior.get("components")
    return _named(prior, "prior", f" of {count(components)}" if isinstance(components, int) else "")


def _likelihood(model: Section) -> str:
    likelihood = section(model, "likelihood")
    if likelihood.get("kind") == "auto":
        return ""
    noise = _NOISE.get(str(likelihood.get("noise")), "")
    if likelihood.get("noise") == "homoscedastic":
        fixed = likelihood.get("learned") is False
        noise = f" with σ fixed at {likelihood.get('scale')}" if fixed else " with one learned σ"
    return _named(likelihood, "likelihood", noise)


def _named(part: Section, noun: str, more: str) -> str:
    """``a diagonal posterior``, or nothing where no kind is given."""
    if not part.get("kind"):
        return ""
    whole = _WHOLE.get(part["kind"])
    return with_article(whole or f"{kind_of(part)} {noun}") + more


def objective_words(recipe: Section) -> str:
    """``IWAE (K = 16)``, ``β-NLL (β = 0.5)``; empty where the recipe has none."""
    objective = section(recipe, "objective")
    if not objective.get("kind"):
        return ""
    beta_nll = section(section(recipe, "model"), "likelihood").get("beta_nll")
    name = kind_of(objective) if beta_nll is None else "β-NLL"
    more = [
        (f"β = {beta_nll}", beta_nll is not None),
        (f"KL weight {objective.get('beta', 1):g}", objective.get("beta", 1) != 1),
        (f"K = {objective.get('num_samples')}", objective.get("num_samples", 1) != 1),
        ("KL warm-up", bool(objective.get("warm_up"))),
        (f"free bits of {objective.get('free_bits', 0):g} nats", bool(objective.get("free_bits"))),
    ]
    said = [words for words, holds in more if holds]
    return name + (f" ({', '.join(said)})" if said else "")
