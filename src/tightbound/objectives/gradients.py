"""Gradient estimators: the bounds of ``elbo`` and ``iwae``, with gradients of less noise for the posterior.

Both ask for ``stop_density``: samples z_k = T(ε_k; φ), the whole latent state, enter
log w_k = log p_θ(x, z_k) − log q_φ'(z_k | x) with φ' = φ detached. θ and φ are roles, not sets of weights: a weight
that serves both (of a ladder's way down, of the encoder of a VampPrior) gets the sum of what it is due in each.
"""

from __future__ import annotations

from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from tightbound.core import Draw, Loss, Objective, Step
from tightbound.objectives.elbo import honest_parts
from tightbound.objectives.importance import IWAE
from tightbound.registry import register


@register("objective", "stl")
class STL(Objective):
    """The ELBO of K samples by path derivatives, "sticking the landing"; Roeder et al. 2017.

        ∇_φ = (1/K) Σ_k ∂log w_k/∂z_k · ∂z_k/∂φ,    ∇_θ = (1/K) Σ_k ∂log w_k/∂θ.

    What it leaves out is −(1/K) Σ_k ∂log q_φ(z_k | x)/∂φ at given z_k, of mean 0: so it is unbiased, and where q is the
    exact posterior log w is the same everywhere and the gradient of φ is 0 for every sample.

    The samples are averaged outside the logarithm. Inside of it, as Roeder et al. also propose, weights w̃_k depend on
    z_k and the term that is left out has another mean than 0 (Tucker et al. 2019): ``dreg`` is that done
    without bias, and one sample makes the two the same.

    Args:
        num_samples: K.
    """

    stop_density = True
    uses_surrogate = False

    def __init__(self, *, num_samples: Annotated[int, Ge(1)] = 1) -> None:
        self.num_samples = num_samples

    def __call__(self, draw: Draw, step: Step) -> Loss:
        """The loss of one batch, nats per image: −ELBO, the KL sampled."""
        assert draw.surrogate is None, "a likelihood with a surrogate has to say has_surrogate, and is then refused"
        return Loss(-draw.log_weight.mean(), honest_parts(draw, draw.kl))


@register("objective", "dreg")
class DReG(Objective):
    """The bound of ``iwae``, doubly reparametrized; Tucker et al. 2019, eq. 8.

    With w̃_k = w_k / Σ_j w_j, held fixed,

        ∇_φ = Σ_k w̃_k² ∂log w_k/∂z_k · ∂z_k/∂φ,    ∇_θ = Σ_k w̃_k ∂log w_k/∂θ.

    The signal-to-noise ratio of ∇_φ does not fall with K, as that of IWAE does by 1/√K (Rainforth et al. 2018).

    Why it is unbiased: IWAE's ∇_φ is Σ_k w̃_k ∂log w_k/∂z_k · ∂z_k/∂φ − Σ_k w̃_k ∂log q_φ(z_k | x)/∂φ. The second sum is
    reparametrized again: E[w̃_k ∂log q_φ/∂φ] = E[∂w̃_k/∂z_k · ∂z_k/∂φ], and ∂w̃_k/∂z_k = (w̃_k − w̃_k²) ∂log w_k/∂z_k. That
    holds for z_k all layers together, ∂z_k/∂φ total, and w_k a function of no other sample.

    The second w̃_k is put on the gradient where it passes from the densities to the samples, by a hook on every tensor
    of ``draw.latents``: one backward pass, whatever weights are shared. (For two sets of weights that are not, it is
    the pair of losses of Bauer & Mnih 2021: Σ_k w̃_k² log w_k for q, and Σ_k w̃_k log w_k at given z for p.) So a draw
    serves one call.

    Args:
        num_samples: K.
    """

    stop_density = True
    uses_surrogate = False
    separates_samples = True

    def __init__(self, *, num_samples: Annotated[int, Ge(1)] = 5) -> None:
        self.num_samples = num_samples
        self.bound = IWAE(num_samples=num_samples)

    def __call__(self, draw: Draw, step: Step) -> Loss:
        """The loss of one batch, nats per image: minus the bound, as of ``iwae``."""
        shares = draw.log_weight.detach().softmax(0)

        def reparametrize_again(gradient: Tensor) -> Tensor:
            return gradient * shares.reshape(*shares.shape, *[1] * (gradient.dim() - 2))

        for z in draw.latents:
            if z.requires_grad:
                z.register_hook(reparametrize_again)
        return self.bound(draw, step)
