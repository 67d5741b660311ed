"""What a step costs before it is run: arithmetic and memory of training and evaluation, `python -m benchmarks.cost`.

Operations are those of matrix products and convolutions, two for each multiplication and addition, counted and not
estimated; bytes are of what autograd keeps for the backward pass, as stored, each tensor once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.bench.limits import count
from tightbound import api
from tightbound.core import Model, Step
from tightbound.training import TrainingStep

BATCH = 2
MNIST = {"image_shape": (1, 28, 28)}
COLOR = {"image_shape": (3, 32, 32), "data_kind": "levels", "levels": 255}


class Cost(NamedTuple):
    """Of one image, and of one more sample of it.

    Attributes:
        name: of the model.
        parameters: how many.
        training: operations of a step, forward and backward.
        encoding: operations of what is done once an image.
        sample: operations of a draw beside it.
        slope: operations of log p(x | ε) and its gradient in ε, which a leapfrog step takes.
        kept: bytes that a training step keeps for each image.
    """

    name: str
    parameters: int
    training: float | None
    encoding: float | None
    sample: float
    slope: float
    kept: int


def cost(name: str, recipe: str, overrides: Sequence[str] = (), **facts: object) -> Cost:
    """Of a recipe's model under its objective."""
    built = api.build(recipe, overrides=overrides, **{**MNIST, **facts})
    model, objective = built.model.train(), built.objective
    step = TrainingStep(model, objective)
    x = torch.rand(2 * BATCH, *model.image_shape).round()
    noise = torch.randn(objective.num_samples, 2 * BATCH, model.noise_size)
    at = Step(torch.tensor(0), torch.tensor(0.0))
    # What grows with the images: views of weights and weights made of others are kept once, whatever the batch.
    fewer, less = x[:BATCH].clone(), noise[:, :BATCH].clone()
    kept = kept_bytes(lambda: step(x, noise, at)) - kept_bytes(lambda: step(fewer, less, at))
    x, noise = fewer, less
    training = count(lambda: step(x, noise, at).value.backward())
    model.eval()
    with torch.no_grad():
        encoding = model.encode(x)
        whole, part = count(lambda: model.encode(x)), count(lambda: model.draw(x, 1, encoding=encoding))
    assert part is not None
    return Cost(
        name,
        sum(p.numel() for p in model.parameters()),
        None if training is None else training / BATCH,
        None if whole is None else whole / BATCH,
        part / BATCH,
        slope(model, x),
        kept // BATCH,
    )


def slope(model: Model, x: Tensor) -> float:
    """Operations of log p(x | ε) and its gradient, an image and chain."""
    model.requires_grad_(False)
    epsilon = model.sample_prior(BATCH).unsqueeze(0).requires_grad_()
    found = count(lambda: model.log_likelihood_at(x, epsilon).sum().backward())
    assert found is not None
    return found / BATCH


def kept_bytes(work: Callable[[], object]) -> int:
    """Bytes of the storages that autograd keeps in some work."""
    found: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        held = work()
    del held
    return sum(found.values())


def main() -> None:
    """Prints the table."""
    ladder = "static-mnist-ladder-12"
    rows = [
        cost("mnist-mlp", "mnist-mlp"),
        cost("mnist-iaf-small", "mnist-iaf-small"),
        cost("mnist-iaf", "mnist-iaf"),
        cost("ladder, 3 layers, 64 channels", "static-mnist-ladder-3"),
        cost("ladder, 6 layers, 64 channels", "static-mnist-ladder-6"),
        cost("ladder, 12 layers, 64 channels", ladder),
        cost("ladder, 12 layers, 32 channels", ladder, ["model.channels=32"]),
        cost("ladder, 12 layers, 128 channels", ladder, ["model.channels=128"]),
        cost("cifar10-ladder-15", "cifar10-ladder-15", **COLOR),
    ]
    lines = [
        "| model | parameters | training step | encoding | one sample | one slope | kept in training |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        operations = (row.training, row.encoding, row.sample, row.slope)
        written = ["not counted" if one is None else f"{one / 1e6:,.1f} M" for one in operations]
        lines.append(f"| {row.name} | {row.parameters:,} | {' | '.join(written)} | {row.kept / 2**20:,.2f} MiB |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
