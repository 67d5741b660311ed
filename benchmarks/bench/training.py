"""Our training as the library does it, and a plain loop over the same network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from benchmarks.bench.limits import pixels
from benchmarks.bench.timing import Contender, say
from tightbound.core import Step
from tightbound.data.images import Images
from tightbound.data.split import Split
from tightbound.memory import memory_kept
from tightbound.networks import initialize_from_data
from tightbound.recipes.build import Built, build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.training import ALONE, Processes, TrainingStep, decide
from tightbound.training.session import assemble

Run = Callable[[int], None]
NUM_IMAGES = 60_000
OPTIMIZERS = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "adadelta": torch.optim.Adadelta}


def images(recipe: str, number: int = NUM_IMAGES) -> Split:
    """Random images of the kind that a recipe is for: gray and binarized dynamically, or binary as stored."""
    binary = recipe.startswith("static")
    stored = Images(pixels(number, torch.device("cpu"), 1 if binary else 255), 1 if binary else 255)
    return Split(stored, "none" if binary else "dynamic")


def built(recipe: str, split: Split, overrides: Iterable[str] = ()) -> Built:
    """The recipe for these images, its length such that no schedule ends."""
    loaded = load_recipe(recipe, ["training.steps=null", "training.epochs=10000", *overrides])
    return build(loaded, DataFacts.of(split))


class Ours:
    """The body of ``training.loop.train``: batches, loss and gradients, guarded update, metrics read now and then.

    Called with a number of steps, it takes them.

    Args:
        recipe: a shipped name.
        split: images on the CPU.
        overrides: of the recipe.
        processes: that share every batch.
    """

    def __init__(self, recipe: str, split: Split, overrides: Iterable[str], processes: Processes = ALONE) -> None:
        made = built(recipe, split, overrides)
        settings = made.recipe.training
        self._decisions = decide(settings, made.model, len(split))
        self._session = assemble(
            *(made.model, made.objective, split, settings, self._decisions, None),
            folder=Path(tempfile.gettempdir()),  # nothing is written without a checkpoint
            processes=processes,
            device=torch.device(self._decisions.device),
            initialize=initialize_from_data,
            warn=say,
        )
        self._log_every, self._step = settings.log_every, 0

    @property
    def how(self) -> str:
        """Precision, and whether the steps are compiled or captured: not so where that failed at the first."""
        step = self._session.forward_backward
        compiled = "compiled" if step.compiled else "not compiled"
        return f"ours: {self._decisions.precision}, {compiled}{', one CUDA graph' if step.cuda_graph else ''}"

    def contender(self, items: float) -> Contender:
        """In a race, with memory as training has it."""
        return Contender("ours", self, items, lambda: memory_kept(self._decisions.device))

    def __call__(self, steps: int) -> None:
        """As the loop does, without validation and checkpoints."""
        session, live = self._session, self._session.live
        for _ in range(steps):
            x, noise = session.batches(self._step)
            done = live.update.done
            position = Step(done, done.to(session.dtype) / self._decisions.steps_per_epoch)
            with session.masks(self._step):
                loss = session.forward_backward(x, noise, position)
            outcome = live.update(loss.value, session.learning_rate(self._step))
            parts = {**loss.parts, "loss": loss.value, "gradient_norm": outcome.gradient_norm}
            live.meter.add(parts, outcome.finite)
            self._step += 1
            if self._step % self._log_every == 0:
                live.meter.read()
                live.update.counters()


def plain(
    recipe: str, split: Split, device: torch.device, overrides: Iterable[str] = (), dtype: torch.dtype = torch.float32
) -> Run:
    """A loop as one would write it by hand over the same network and objective: eager, NCHW, PyTorch's own optimizer.

    Its images and their binarization are tensor work on the device, as ours are.
    """
    made = built(recipe, split, overrides)
    model, settings = made.model.to(device, dtype).train(), made.recipe.training
    module = TrainingStep(model, made.objective)
    kind = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax, "adadelta": torch.optim.Adadelta}[
        settings.optimizer.kind
    ]
    optimizer = kind(model.parameters(), lr=settings.optimizer().learning_rate)
    stored, batch = split.to(device), settings.batch_size
    step = Step(torch.tensor(10_000, device=device), torch.tensor(100.0, device=device, dtype=dtype))

    def run(steps: int) -> None:
        for _ in range(steps):
            x = stored.batch(torch.randint(len(stored), (batch,), device=device)).to(dtype)
            noise = torch.randn(made.objective.num_samples, batch, model.noise_size, device=device, dtype=dtype)
            optimizer.zero_grad()
            module(x, noise, step).value.backward()
            optimizer.step()

    return run
