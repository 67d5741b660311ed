"""The evidence lower bound and its training variants: β, warm-up, free bits, several samples."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from tightbound.core import Draw, Loss, Objective, Step
from tightbound.errors import RecipeError
from tightbound.registry import Factory, Nested, register


def honest_parts(draw: Draw, kl: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """What is logged whatever is trained: the ELBO with β = 1, no free bits, no surrogate; nats, means over K and B."""
    log_likelihood = draw.log_likelihood.detach().mean()
    kl_groups = torch.stack([group.detach().sum(-1).mean() for group in kl])
    total = kl_groups.sum()
    return {"elbo": log_likelihood - total, "log_likelihood": log_likelihood, "kl": total, "kl_groups": kl_groups}


@register("objective", "elbo")
class ELBO(Objective):
    """−(1/K) Σ_k [log p(x | z_k)] + β·warm_up·KL, averaged over the batch; a bound at β ≥ 1.

    Kingma & Welling 2014; β as Higgins et al. 2017; free bits as Kingma et al. 2016, appendix C.8. Nothing is divided
    by pixels, latents or the size of the data set.

    Args:
        beta: final weight of the KL.
        num_samples: K posterior samples an image, averaged outside the logarithm (the multi-sample ELBO).
        kl: "auto" is analytic where posterior and prior are Gaussian; "sampled" is log q(z) − log p(z) at the samples.
        warm_up: how β grows from small at the start, such as {epochs: 10}; None for not at all.
        free_bits: nats below which a KL costs nothing more: max(KL, free_bits).
        free_bits_per: "group" (all of a latent group together) or "unit" (each unit; needs factorized Gaussians).
        free_bits_over: "batch" clamps the batch mean (Kingma et al. 2016), "sample" each draw before the mean.
    """

    def __init__(
        self,
        *,
        beta: Annotated[float, Ge(0)] = 1.0,
        num_samples: Annotated[int, Ge(1)] = 1,
        kl: Literal["auto", "analytic", "sampled"] = "auto",
        warm_up: Annotated[Factory, Nested("warm_up")] | None = None,
        free_bits: Annotated[float, Ge(0)] = 0.0,
        free_bits_per: Literal["group", "unit"] = "group",
        free_bits_over: Literal["batch", "sample"] = "batch",
    ) -> None:
        if free_bits_per == "unit" and kl == "sampled":
            raise RecipeError(
                "objective.free_bits_per: a sampled KL has no units",
                hint="use kl=auto or free_bits_per=group",
            )
        if not free_bits and (free_bits_per, free_bits_over) != ("group", "batch"):
            raise RecipeError(
                "objective.free_bits: got 0, so free_bits_per and free_bits_over have no effect",
                hint="give objective.free_bits in nats, or leave them out",
            )
        self.beta, self.num_samples, self.kl = beta, num_samples, kl
        self.warm_up = None if warm_up is None else warm_up()
        self.free_bits, self.free_bits_per, self.free_bits_over = free_bits, free_bits_per, free_bits_over
        analytic = {"gaussian"} if kl == "analytic" else set()
        self.needs = frozenset(analytic | ({"gaussian", "factorized"} if free_bits_per == "unit" else set()))

    def __call__(self, draw: Draw, step: Step) -> Loss:
        """The loss of one batch, nats per image."""
        log_likelihood = draw.log_likelihood if draw.surrogate is None else draw.surrogate
        # Made on the device: sending it there would have the host wait.
        beta = torch.full((), self.beta, dtype=log_likelihood.dtype, device=log_likelihood.device)
        if self.warm_up is not None:
            beta = beta * self.warm_up(step).to(beta)
        kl = draw.kl
        charged = tuple(-ratio.unsqueeze(-1) for ratio in draw.log_ratio) if self.kl == "sampled" else kl
        charge = torch.stack(self._charges(charged)).sum()
        return Loss(beta * charge - log_likelihood.mean(), {**honest_parts(draw, kl), "beta": beta})

    def _charges(self, kl: tuple[Tensor, ...]) -> list[Tensor]:
        """The KLs (K, B, units) of the groups as the loss counts them: a scalar each."""
        if self.free_bits_per == "group":
            kl = tuple(group.sum(-1, keepdim=True) for group in kl)
        if not self.free_bits:
            return [group.sum(-1).mean() for group in kl]
        if self.free_bits_over == "batch":
            kl = self._batch_means(kl)
        return [group.clamp(min=self.free_bits).sum(-1).mean() for group in kl]

    def _batch_means(self, kl: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Means (1, 1, units) over the whole batch, exchanged between processes all at once."""
        means = torch.cat([group.mean((0, 1), keepdim=True) for group in kl], dim=-1)
        return self.over_processes(means).split([group.shape[-1] for group in kl], dim=-1)
