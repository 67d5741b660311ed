"""Independent Bernoulli pixels, in logits."""

from __future__ import annotations

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.core import Likelihood
from tightbound.likelihoods.beta_nll import Beta, beta_nll
from tightbound.registry import register


@register("likelihood", "bernoulli")
class Bernoulli(Likelihood):
    """Binary pixels: log p(x | l) = Σ x·l + log σ(−l), with the decoder's output as logits l.

    Logits rather than probabilities: nothing saturates, nothing is clamped. On gray pixels the same formula is a
    cross-entropy, not a likelihood; a recipe has to declare that protocol and every number then says so.

    Args:
        image_shape: (C, H, W).
        beta_nll: β of the surrogate that training then maximizes, Σ ⌊(p (1 − p))^β⌋ log p(x | l), after Seitzer et al.
            2022 with the Bernoulli's variance; None for the likelihood itself.
    """

    data_kind: ClassVar[str] = "binary"
    takes_logits: ClassVar[bool] = True

    def __init__(self, image_shape: tuple[int, int, int], *, beta_nll: Beta | None = None) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.out_channels = image_shape[0]
        self.beta_nll = beta_nll
        self.has_surrogate = beta_nll is not None

    def log_prob(self, x: Float[Tensor, "B C H W"], params: Float[Tensor, "K B P H W"]) -> Float[Tensor, "K B"]:
        """log p(x | logits), summed over pixels: (B, C, H, W), (K, B, C, H, W) -> (K, B)."""
        return _log_probabilities(x, params).sum((-3, -2, -1))

    def surrogate(self, x: Tensor, params: Tensor) -> Tensor | None:
        """Σ ⌊(p (1 − p))^β⌋ log p(x | logits) (K, B) if β-NLL is asked for, else None."""
        if self.beta_nll is None:
            return None
        logsigmoid = nn.functional.logsigmoid
        return beta_nll(_log_probabilities(x, params), logsigmoid(params) + logsigmoid(-params), self.beta_nll)

    def mean(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """σ(l)."""
        return params.sigmoid()

    def mode(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """1 where σ(l) > ½."""
        return (params > 0).to(params.dtype)

    def std(self, params: Float[Tensor, "*rows P H W"]) -> Float[Tensor, "*rows C H W"]:
        """√(p (1 − p))."""
        return (params.sigmoid() * (-params).sigmoid()).sqrt()

    def sample(
        self, params: Float[Tensor, "*rows P H W"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "*rows C H W"]:
        """Coin flips."""
        return torch.bernoulli(params.sigmoid(), generator=generator)


def _log_probabilities(x: Tensor, logits: Tensor) -> Tensor:
    """log p of every pixel."""
    return x * logits + nn.functional.logsigmoid(-logits)
