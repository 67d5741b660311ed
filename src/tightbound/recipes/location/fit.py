"""Training of an ensemble: until nothing is gained any more, or for as many passes as were published."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound.errors import TrainingError
from tightbound.recipes.location.ensemble import Ensemble

WINDOW = 160  # updates at the least, each compared with one of the window before: four passes over mini-batches
_DECAY, _LOWEST = 10**-0.5, 1e-3  # of the learning rate: at each plateau, and at the end
_PATIENCE = 3  # windows in a row without a gain, before the rate goes down
_MOST_WINDOWS = 20  # at one rate
_GAIN = 1e-2  # nats: a smaller gain in a window is none, however small the noise
_MOST_UPDATES = 25_000  # more than 7 rates of 20 windows
_MODEL_RATE = 0.05  # of Δ, log σ and a location
_POINTS_PER_DECADE = 12  # of a learning curve

Errors = Callable[[Ensemble], Mapping[str, object]]


@dataclass(frozen=True)
class Protocol:
    """How parameters are moved.

    Args:
        passes: over the data, with RMSprop as published; None for Adam until nothing is gained.
        clip: norm of the gradient above which it is scaled down, in each copy; None for none.
    """

    passes: int | None = None
    clip: float | None = None


@dataclass(frozen=True)
class Fitted:
    """What came of it.

    Args:
        updates: how many.
        converged: whether it ended because nothing was gained; False after a given number of passes.
        seconds: of all updates.
        curve: one entry a recorded update: ``update``, ``pass``, ``elbo`` of each copy and what ``errors`` gave.
    """

    updates: int
    converged: bool
    seconds: float
    curve: list[dict[str, object]] = field(repr=False)


def fit(
    ensemble: Ensemble,
    batches: Float[Tensor, "S parts F"],
    noise: Callable[[], Float[Tensor, "S K 1 E"]],
    errors: Errors,
    *,
    rate: float,
    protocol: Protocol,
) -> Fitted:
    """Trains; one update for each part of the data in turn, each as if it were a whole data set with a z of its own.

    Without a number of passes, the loss of each update in a window is compared with that of the same part of the data
    in the window before. A copy gains if the median difference is above 0.01 nats and more of them are positive than of
    a fair coin, by 2 standard errors. Where none does three times in a row, all learning rates go down by √10, and
    after 20 windows at one rate in any case. At a thousandth of the first ones it ends; it has converged if nothing was
    gained at the last rate.

    Args:
        ensemble: what is trained.
        batches: statistics of the parts, one where all rows are used at once.
        noise: of the next update.
        errors: what a learning curve shows beside the bound.
        rate: of the posterior's parameters.
        protocol: see ``Protocol``.

    Raises:
        TrainingError: a loss is not finite.
    """
    parts = batches.shape[1]
    optimizer, plateau = _optimizer(ensemble, rate, protocol), Plateau(parts)
    most = _MOST_UPDATES if protocol.passes is None else protocol.passes * parts
    wanted = _recorded(most, {1000 * parts * thousand for thousand in range(1, 6)})
    curve, update, started = [], 0, time.perf_counter()
    while update < most and not plateau.over:
        at = update % parts
        losses, elbo = ensemble.losses(batches[:, at : at + 1], noise())
        if not losses.isfinite().all():
            raise TrainingError(f"the loss is not finite at update {update + 1}", hint="a smaller learning rate")
        optimizer.zero_grad()
        losses.sum().backward()
        if protocol.clip is not None:
            clip_each(ensemble.parameters.values(), protocol.clip)
        optimizer.step()
        update += 1
        if protocol.passes is None and plateau.reached(losses.detach()):
            for group in optimizer.param_groups:
                group["lr"] *= _DECAY
        if update in wanted or plateau.over:
            curve.append({"update": update, "pass": update / parts, "elbo": elbo.tolist(), **errors(ensemble)})
    return Fitted(update, plateau.over and plateau.calm, time.perf_counter() - started, curve)


def clip_each(parameters: Collection[Tensor], most: float) -> None:
    """Scales the gradient of each copy down to a norm of ``most``, over all of its parameters."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([gradient.reshape(len(gradient), -1).square().sum(1) for gradient in gradients]).sum(0).sqrt()
    factor = (most / norm.clamp(min=1e-30)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(factor.reshape(-1, *[1] * (gradient.dim() - 1)))


class Plateau:
    """Says when windows of losses gain nothing on the ones before.

    Args:
        parts: of the data, which take turns; a window is a multiple of them.
    """

    def __init__(self, parts: int) -> None:
        self._size = parts * math.ceil(WINDOW / parts)
        self._losses: list[Tensor] = []
        self._before: Tensor | None = None
        self._rate, self._patience, self._windows = 1.0, _PATIENCE, 0
        self.calm = False  # whether nothing was gained when the rate last went down

    @property
    def over(self) -> bool:
        """Whether the rate has come down to its end."""
        return self._rate < _LOWEST * (1 + 1e-9)

    def reached(self, losses: Tensor) -> bool:
        """Takes in the losses of one update (S); whether the rate is to go down now."""
        self._losses.append(losses)
        if len(self._losses) < self._size:
            return False
        window = torch.stack(self._losses)
        before, self._before, self._losses = self._before, window, []
        if before is None:
            return False
        # Of the same part each: parts of 256 rows and of 16 differ by far more than a window gains.
        gains = before - window
        # By signs and median: some losses of a wide flow are far off, and would hide in a mean what others gain.
        more = (gains > 0).double().mean(0) > 0.5 + 1 / math.sqrt(self._size)  # by 2 standard errors of a fair coin
        gained = bool((more & (gains.median(0).values > _GAIN)).any())
        self._patience = _PATIENCE if gained else self._patience - 1
        self._windows += 1
        if self._patience > 0 and self._windows < _MOST_WINDOWS:
            return False
        self.calm = self._patience == 0
        self._rate, self._patience, self._windows = self._rate * _DECAY, _PATIENCE, 0
        return True


def _optimizer(ensemble: Ensemble, rate: float, protocol: Protocol) -> torch.optim.Optimizer:
    # A location has as far to go as Δ, to which it is the counterpart.
    quick = ("shift", "log_scale", ensemble.location)
    own = [value for name, value in ensemble.parameters.items() if name in quick]
    others = [value for name, value in ensemble.parameters.items() if name not in quick]
    if protocol.passes is not None:
        return torch.optim.RMSprop([*own, *others], lr=1e-3, alpha=0.99, eps=1e-8)
    return torch.optim.Adam(
        [{"params": own, "lr": _MODEL_RATE}, {"params": others, "lr": rate}], betas=(0.9, 0.99), fused=True
    )


def _recorded(most: int, always: Collection[int]) -> set[int]:
    """Updates that a learning curve shows: evenly on a logarithmic axis, and these."""
    count = math.ceil(_POINTS_PER_DECADE * math.log10(max(most, 2)))
    even = {round(10 ** (index / _POINTS_PER_DECADE)) for index in range(count + 1)}
    return {update for update in {*even, *always, most} if update <= most}
