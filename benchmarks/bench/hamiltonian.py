"""Case 11: a Hamiltonian posterior of 15 steps beside as many forward and backward passes of its decoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.bench.scoring import binary
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender
from benchmarks.bench.training import Run
from tightbound.models import VAE
from tightbound.recipes.components import load_components
from tightbound.registry import Factory

STEPS, BATCH, LATENTS = 15, 128, 64
DECODERS = {"mlp 512-512": ("mlp", {"hidden": (512, 512)}), "convolutional": ("convolutional", {})}


def model_of(kind: str, options: dict[str, object], device: torch.device, *, second_order: bool) -> VAE:
    """A VAE of binary 28×28 images, float32."""
    torch.manual_seed(0)
    posterior = Factory("posterior", "hamiltonian", {"steps": STEPS, "second_order": second_order})
    encoder, decoder = Factory("encoder", "mlp"), Factory("decoder", kind, options)
    made = VAE((1, 28, 28), latent_dim=LATENTS, encoder=encoder, posterior=posterior, decoder=decoder)
    return made.to(device)


def passes(model: VAE, x: Tensor) -> None:
    """As many forward and backward passes of the decoder as the posterior takes steps, to weights and latents."""
    for _ in range(STEPS):
        model.zero_grad()
        z = torch.randn(1, BATCH, LATENTS, device=x.device, requires_grad=True)
        model.decode(z).log_prob(x).mean().backward()


def bound(model: VAE, x: Tensor) -> None:
    """The gradient of the bound."""
    model.zero_grad()
    (-model.draw(x, 1).log_weight.mean()).backward()


@torch.no_grad()
def draw(model: VAE, x: Tensor) -> None:
    """One draw, as an evaluation makes it."""
    model.draw(x, 1)


def case(bench: Bench) -> Iterator[Row]:
    """Both decoders; training with gradients of second order, of first order, and a draw alone."""
    load_components()
    x = binary(BATCH, bench.device)
    for name, (kind, options) in DECODERS.items():
        full, first = (model_of(kind, options, bench.device, second_order=order) for order in (True, False))
        works = {
            "ours": partial(bound, full, x),
            f"{STEPS} decoder passes": partial(passes, full, x),
            "first order": partial(bound, first, x),
            "a draw": partial(draw, full, x),
        }
        contenders = [Contender(title, _repeated(work), BATCH) for title, work in works.items()]
        found = bench.race(contenders)
        base = f"{STEPS} decoder passes"
        costs = {title: found.ratio(base, title).median for title in works if title != base}
        note = f"times as long as the passes: {', '.join(f'{title} {cost:.2f}' for title, cost in costs.items())}"
        yield race_row(bench, 11, f"Hamiltonian posterior, {name} decoder, batch {BATCH}", found, notes=(note,))


def _repeated(work: Callable[[], object]) -> Run:
    def run(steps: int) -> None:
        for _ in range(steps):
            work()

    return run
