"""How long annealing will take, told before it begins: a transition or two are timed, the rest is multiplication."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from tightbound.core import Model
from tightbound.errors import RecipeError
from tightbound.evaluation import pilot
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings
from tightbound.evaluation.chunks import tiles
from tightbound.evaluation.pilot import Annealing
from tightbound.evaluation.shares import ALONE, Processes, longest_share, most_images
from tightbound.evaluation.source import Images
from tightbound.numerics import hmc_step

MOST_HOURS = 24.0
_PATH, _STEP = np.array([0.0, 0.5, 1.0]), 1e-3


@dataclass(frozen=True)
class Forecast:
    """The cost of an annealed evaluation.

    Args:
        images: n, annealed forward.
        num_samples: K, chains of each.
        annealing: what was chosen.
        seconds_per_gradient: of one chain of one image, everything around the gradient included.
        simulated: images drawn from the model, annealed forward and in reverse.
        processes: that share the images. The pilot is one's.
        one_by_one: of the images, a simulated one counted twice, those that are done one after the other, as the
            process with the most to do has it; None for all.
        seconds_per_pilot_gradient: in the pilot, where more chains go together than of a few images; None: the same.
    """

    images: int
    num_samples: int
    annealing: Annealing
    seconds_per_gradient: float
    simulated: int = 0
    processes: int = 1
    one_by_one: int | None = None
    seconds_per_pilot_gradient: float | None = None

    @property
    def gradients(self) -> int:
        """Of the decoder, each of one chain of one image: one where a chain begins, L in each of its transitions.

        A chain has T − 2 transitions; the pilot's have their own number, whatever T.
        """
        return self._gradients_of(self.images + 2 * self.simulated) + self._gradients_of_pilot

    def _gradients_of(self, images: int) -> int:
        per_chain = 1 + (self.annealing.temperatures - 2) * self.annealing.leapfrog_steps
        return self.num_samples * images * per_chain

    @property
    def _gradients_of_pilot(self) -> int:
        return pilot.IMAGES * pilot.CHAINS + pilot.PAIR_TRANSITIONS * self.annealing.leapfrog_steps

    @property
    def seconds(self) -> float:
        """Until the last process is done."""
        images = self.images + 2 * self.simulated if self.one_by_one is None else self.one_by_one
        return self._gradients_of(images) * self.seconds_per_gradient + self._seconds_of_pilot

    @property
    def _seconds_of_pilot(self) -> float:
        each = self.seconds_per_pilot_gradient
        return self._gradients_of_pilot * (self.seconds_per_gradient if each is None else each)

    @property
    def work(self) -> str:
        """What is to be done, in words."""
        drawn = f" (and {self.simulated:,} simulated, both ways)" if self.simulated else ""
        temperatures, steps = self.annealing.temperatures, self.annealing.leapfrog_steps
        transitions = f"{temperatures:,} temperatures × {_count(steps, 'leapfrog step')}"
        shared = f" in {self.processes} processes" if self.processes > 1 else ""
        return f"{_count(self.images, 'image')}{drawn} × {_count(self.num_samples, 'chain')} × {transitions}{shared}"

    @property
    def sentence(self) -> str:
        """The work and its time, to be told before it begins."""
        return f"annealing {self.work}: about {roughly(self.seconds)}"

    def check(self, most_hours: float | None) -> None:
        """Refuses what would take longer.

        Raises:
            RecipeError: it says what it would take, and what to lower.
        """
        if most_hours is None or self.seconds <= 3600 * most_hours:
            return
        of_pilot = self._seconds_of_pilot
        simulated = ", simulated" if self.simulated else ""
        lower = f"lower limit (images), samples (chains), temperatures{simulated} or leapfrog_steps"
        if of_pilot > 3600 * most_hours:  # which depends on none of the others
            lower = f"the pilot alone takes about {roughly(of_pilot)}: lower leapfrog_steps"
        raise RecipeError(
            f"most_hours: {self.work} would take about {roughly(self.seconds)}; expected at most {most_hours:g} h",
            hint=f"{lower}; or allow more with most_hours (null for any time)",
        )


def foresee(
    model: Model,
    images: Images,
    num_samples: int,
    annealing: Annealing,
    *,
    seed: int,
    chunk: int,
    simulated: int = 0,
    processes: Processes = ALONE,
) -> Forecast:
    """Times one transition of as many chains as are evaluated together, after a shorter one that warms up.

    Where in the pilot at least twice as many go together, one of it is timed too: of a few chains each costs more.

    Args:
        model: in eval mode, without gradients.
        images: to be evaluated.
        num_samples: K.
        annealing: what was chosen.
        seed: of the evaluation; the transitions' numbers are independent of the chains'.
        chunk: (image, chain) pairs in one evaluation.
        simulated: images drawn from the model.
        processes: that share the images. Each times a transition, at the same time; the first one's counts.
    """
    cuts = [
        tiles(count, num_samples, chunk, most_images(count, images.device, processes))
        for count in (images.num_images, simulated)
    ]
    rows = cuts[0][0][:chunk]
    chains = min(num_samples, max(1, chunk // len(rows)))
    x = images.read(rows)
    options = (annealing, seed, chunk, processes)
    per_gradient = _seconds_per_gradient(model, x, rows, chains, "annealing forecast", *options)
    of_pilot = None
    if 2 * len(rows) * chains <= min(chunk, pilot.IMAGES * pilot.CHAINS):
        images_of_pilot = range(pilot.IMAGES)
        x = x[:1].expand(len(images_of_pilot), *x.shape[1:])
        of_pilot = _seconds_per_gradient(model, x, images_of_pilot, pilot.CHAINS, "annealing forecast, pilot", *options)
    forward, both_ways = (longest_share(processes, cut) for cut in cuts)
    return Forecast(
        *(images.num_images, num_samples, annealing, per_gradient, simulated),
        processes=processes.world_size,
        one_by_one=forward + 2 * both_ways,
        seconds_per_pilot_gradient=of_pilot,
    )


def _seconds_per_gradient(
    model: Model,
    x: Tensor,
    rows: range,
    num_chains: int,
    purpose: str,
    annealing: Annealing,
    seed: int,
    chunk: int,
    processes: Processes,
) -> float:
    chains = Chains(model, x, annealing.start, num_chains, chunk)
    noise = ChainNoise(seed, purpose, rows, num_chains, x)
    settings = Settings(_PATH, np.full(3, _STEP), annealing.leapfrog_steps, annealing.refresh, annealing.start)
    chains.begin(noise)
    _transition(chains, dataclasses.replace(settings, leapfrog_steps=1), noise)
    seconds = processes.gather(lambda: _transition(chains, settings, noise))[0]
    return seconds / (len(rows) * num_chains * annealing.leapfrog_steps)


def _transition(chains: Chains, settings: Settings, noise: ChainNoise) -> float:
    """Its wall time; a device has finished when its numbers are here."""
    started = time.perf_counter()
    float(chains.step(hmc_step, float(_PATH[1]), _STEP, settings, noise).sum())
    return time.perf_counter() - started


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def roughly(seconds: float) -> str:
    """``12 s``, ``7 min``, ``3 h 20 min``, ``5 days 4 h``."""
    if seconds < 99.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(seconds / 3600), 24)
    return f"{days:,} days {hours} h" if hours else f"{days:,} days"
