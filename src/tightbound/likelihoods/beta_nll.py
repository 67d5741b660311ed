"""β-NLL: what trains a likelihood whose noise varies from pixel to pixel, and is not a likelihood itself."""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge, Le
from jaxtyping import Float
from torch import Tensor

Beta = Annotated[float, Ge(0), Le(1)]


def beta_nll(
    log_density: Float[Tensor, "K B *event"], log_variance: Float[Tensor, "K B *event"], beta: float
) -> Float[Tensor, "K B"]:
    """Σ ⌊σ^{2β}⌋ log p, the brackets for no gradient; Seitzer et al. 2022, eq. 5, as a score to maximize.

    The mean's gradient under log N is (x − μ)/σ²: pixels that are predicted badly get a large σ and then hardly learn.
    The weight makes it (x − μ)/σ^{2−2β}; β = 0 is the log-likelihood and β = 1 has the mean's gradient of squared
    errors. It is no bound on anything, so the ELBO that is logged uses the true log-likelihood.

    Args:
        log_density: log p of every pixel, or of pixels that share a variance.
        log_variance: their log σ².
        beta: β in [0, 1].

    Returns:
        (K, B), summed over the event.
    """
    weighted = (beta * log_variance.detach()).exp() * log_density
    return weighted.sum(tuple(range(2, weighted.dim())))
