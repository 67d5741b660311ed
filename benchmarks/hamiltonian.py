"""What a Hamiltonian posterior costs beside as many forward and backward passes of its decoder, in processor time.

OMP_NUM_THREADS=1 python benchmarks/hamiltonian.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from tightbound.models import VAE
from tightbound.recipes.components import load_components
from tightbound.registry import Factory

STEPS, BATCH, LATENTS = 15, 128, 64
DECODERS = {"mlp 512-512": ("mlp", {"hidden": (512, 512)}), "convolutional": ("convolutional", {})}


def model_of(kind: str, options: dict[str, object], *, second_order: bool) -> VAE:
    """A VAE of binary 28×28 images."""
    torch.manual_seed(0)
    posterior = Factory("posterior", "hamiltonian", {"steps": STEPS, "second_order": second_order})
    encoder, decoder = Factory("encoder", "mlp"), Factory("decoder", kind, options)
    return VAE((1, 28, 28), latent_dim=LATENTS, encoder=encoder, posterior=posterior, decoder=decoder)


def seconds(work: Callable[[], object], repeats: int = 3) -> float:
    """The least processor time of some repeats, after one to warm up."""
    work()
    taken = []
    for _ in range(repeats):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def passes(model: VAE, x: Tensor) -> None:
    """As many forward and backward passes of the decoder as the posterior takes steps, to weights and latents."""
    for _ in range(STEPS):
        model.zero_grad()
        z = torch.randn(1, BATCH, LATENTS, requires_grad=True)
        model.decode(z).log_prob(x).mean().backward()


def step(model: VAE, x: Tensor) -> None:
    """The gradient of the bound."""
    model.zero_grad()
    (-model.draw(x, 1).log_weight.mean()).backward()


def main() -> None:
    """Prints a table."""
    torch.set_num_threads(1)
    load_components()
    x = (torch.rand(BATCH, 1, 28, 28) > 0.5).float()
    print(f"K = {STEPS}, batch {BATCH}: times those of {STEPS} forward and backward passes of the decoder")
    for name, (kind, options) in DECODERS.items():
        full, first = (model_of(kind, options, second_order=order) for order in (True, False))
        base = seconds(partial(passes, full, x))
        with torch.no_grad():
            draw = seconds(partial(full.draw, x, 1))
        training, cheap = seconds(partial(step, full, x)), seconds(partial(step, first, x))
        print(f"{name}: training {training / base:.2f}, first order {cheap / base:.2f}, a draw {draw / base:.2f}")


if __name__ == "__main__":
    main()
