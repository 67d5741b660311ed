"""What a decoder that warps asks of the parts beside it."""

from __future__ import annotations

from tightbound.core import Likelihood, Posterior
from tightbound.errors import RecipeError
from tightbound.networks import Decoder, SpatialTransformer
from tightbound.posteriors.gaussian import GaussianPosterior


def check_warp(decoder: Decoder, posterior: Posterior, likelihood: Likelihood) -> None:
    """Refuses parts that mean another split of the latents, or another kind of parameters, than the decoder's.

    Raises:
        RecipeError: bounded units that are not the warp's, or probabilities of a likelihood that has none.
    """
    if not isinstance(decoder, SpatialTransformer):
        return
    for part in posterior.modules():
        if isinstance(part, GaussianPosterior) and part.bounded_units not in (0, decoder.where_dim):
            raise RecipeError(
                f"model.posterior.bounded_units: the means of the last {part.bounded_units} units are bounded; the "
                f"warp {decoder.warp!r} has the last {decoder.where_dim}",
                hint=f"use model.posterior.bounded_units={decoder.where_dim}, or model.posterior.mean_bound=none",
            )
    warps = [part for part in decoder.modules() if isinstance(part, SpatialTransformer)]
    if any(warp.applied_to == "probabilities" for warp in warps) and not likelihood.takes_logits:
        raise RecipeError(
            "model.decoder.applied_to: probabilities are warped where the likelihood's parameters are their logits "
            "(bernoulli, binomial); here they are not",
            hint="use model.decoder.applied_to=parameters",
        )
