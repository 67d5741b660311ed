"""Case 5: leapfrog steps of annealed chains beside the decoder's own gradient, which each step must take."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.bench.limits import count
from benchmarks.bench.mlp import LATENTS, RECIPE
from benchmarks.bench.scoring import binary, model_of
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender
from benchmarks.bench.training import Run
from tightbound.core import Model
from tightbound.evaluation.chain_noise import ChainNoise
from tightbound.evaluation.chains import Chains, Settings
from tightbound.evaluation.chunks import probe_chunk
from tightbound.numerics import hmc_step

CHAINS, LEAPFROG_STEPS, LEAST = 16, 10, 0.6


def ours(model: Model, x: torch.Tensor, chunk: int) -> Run:
    """Transitions of 10 leapfrog steps of 16 chains of each image, halfway along the path from the prior."""
    half, sizes = np.array([0.0, 0.5, 1.0]), np.full(3, 1e-2)
    settings = Settings(half, sizes, LEAPFROG_STEPS)
    noise = ChainNoise(0, "annealing", range(len(x)), CHAINS, x)
    with torch.no_grad():
        chains = Chains(model, x, "prior", CHAINS, chunk)
        chains.begin(noise)

    @torch.no_grad()
    def run(steps: int) -> None:
        for _ in range(steps):
            chains.step(hmc_step, 0.5, 1e-2, settings, noise)

    return run


def decoder_gradient(model: Model, x: torch.Tensor, rows: int) -> Run:
    """Forward and gradient to z of the decoder and the pixels' density, as many rows at a time as ours; no weights."""
    decoder = model.decoder.requires_grad_(False)  # pyright: ignore[reportAttributeAccessIssue]
    z = torch.randn(rows, LATENTS, device=x.device, requires_grad=True)
    target = x.repeat(-(-rows // len(x)), 1, 1, 1)[:rows]

    def run(steps: int) -> None:
        for _ in range(steps):
            loss = binary_cross_entropy_with_logits(decoder(z).reshape(target.shape), target, reduction="sum")
            torch.autograd.grad(loss, z)

    return run


def case(bench: Bench) -> Iterator[Row]:
    """The perceptron, float32."""
    x = binary(512 if bench.on_gpu else 32, bench.device)
    model, alone = model_of(RECIPE, bench.device), model_of(RECIPE, bench.device)
    with torch.no_grad():
        chunk = probe_chunk(model, x[:1], gradient=True)
    rows = min(chunk, CHAINS * len(x))
    gradient = decoder_gradient(alone, x, rows)
    forward = count(lambda: alone.decoder(torch.zeros(rows, LATENTS, device=x.device)))  # pyright: ignore
    contenders = [
        Contender("ours", ours(model, x, chunk), CHAINS * len(x) * LEAPFROG_STEPS),
        Contender("decoder gradient", gradient, rows),
    ]
    yield race_row(
        *(bench, 5, "annealing of the MLP VAE, float32", bench.race(contenders)),
        unit="leapfrog steps × chains/s",
        least=LEAST,
        operations=None if forward is None else 2 * forward / rows,  # to z alone, backward costs as much as forward
        limit="product float32",
        notes=(f"{len(x)} images × {CHAINS} chains, {rows:,} a call; the path from the prior at t = 0.5",),
    )
