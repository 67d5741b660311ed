"""Our training as the library does it, and a plain loop over the same network."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from benchmarks.bench.limits import pixels
from benchmarks.bench.timing import say
from tightbound.core import Step
from tightbound.data.images import Images
from tightbound.data.split import Split
from tightbound.networks import initialize_from_data
from tightbound.recipes.build import Built, build
from tightbound.recipes.facts import DataFacts
from tightbound.recipes.recipe import load_recipe
from tightbound.training import TrainingStep, decide
from tightbound.training.session import Session, assemble

Run = Callable[[int], None]
NUM_IMAGES = 60_000


def images(recipe: str, number: int = NUM_IMAGES) -> Split:
    """Random images of the kind that a recipe is for: gray and binarized dynamically, or binary as stored."""
    binary = recipe.startswith("static")
    stored = Images(pixels(number, torch.device("cpu"), 1 if binary else 255), 1 if binary else 255)
    return Split(stored, "none" if binary else "dynamic")


def built(recipe: str, split: Split, overrides: Iterable[str] = ()) -> Built:
    """The recipe for these images, its length such that no schedule ends."""
    loaded = load_recipe(recipe, ["training.steps=null", "training.epochs=10000", *overrides])
    return build(loaded, DataFacts.of(split))


def session_of(recipe: str, split: Split, overrides: Iterable[str]) -> tuple[Session, int]:
    """A run of the library ready for its first step, and the steps of an epoch."""
    made = built(recipe, split, overrides)
    settings = made.recipe.training
    decisions = decide(settings, made.model, len(split))
    say(f"  {recipe}: {decisions.device}, {decisions.precision}, {decisions.compile_note}")
    session = assemble(
        *(made.model, made.objective, split, settings, decisions, None),
        folder=Path(tempfile.gettempdir()),  # nothing is written without a checkpoint
        initialize=initialize_from_data,
        warn=say,
    )
    return session, decisions.steps_per_epoch


def ours(recipe: str, split: Split, overrides: Iterable[str], log_every: int = 50) -> Run:
    """The body of ``training.loop.train``: batches, loss and gradients, guarded update, metrics read now and then."""
    session, steps_per_epoch = session_of(recipe, split, overrides)
    live, step = session.live, 0

    def run(steps: int) -> None:
        nonlocal step
        for _ in range(steps):
            x, noise = session.batches(step)
            done = live.update.done
            with session.masks(step):
                loss = session.forward_backward(x, noise, Step(done, done.to(session.dtype) / steps_per_epoch))
            outcome = live.update(loss.value, session.learning_rate(step))
            parts = {**loss.parts, "loss": loss.value, "gradient_norm": outcome.gradient_norm}
            live.meter.add(parts, outcome.finite)
            step += 1
            if step % log_every == 0:
                live.meter.read()
                live.update.counters()

    return run


def plain(recipe: str, split: Split, device: torch.device, overrides: Iterable[str] = (), dtype=torch.float32) -> Run:
    """A loop as one would write it by hand over the same network and objective: eager, NCHW, PyTorch's own optimizer.

    Its images and their binarization are tensor work on the device, as ours are.
    """
    made = built(recipe, split, overrides)
    model, settings = made.model.to(device, dtype).train(), made.recipe.training
    module = TrainingStep(model, made.objective)
    kind = {"adam": torch.optim.Adam, "adamax": torch.optim.Adamax}[settings.optimizer.kind]
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
