"""Case 4: importance evaluation of the perceptron in float32, beside pythae's."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from benchmarks.bench.limits import count, pixels
from benchmarks.bench.mlp import RECIPE
from benchmarks.bench.peers import has_pythae, pythae_likelihood, samples_drawn
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender, say
from benchmarks.bench.training import built, images
from tightbound.core import Model
from tightbound.evaluation import importance

SAMPLES = (1000, 5000)
LEAST = 2.5
PEER_BATCH = 100  # the default of get_nll


def model_of(recipe: str, device: torch.device) -> Model:
    """Fresh weights in float32, in eval mode."""
    return built(recipe, images(recipe, 64)).model.to(device).eval()


def binary(number: int, device: torch.device) -> Tensor:
    """Random binary images (number, 1, 28, 28)."""
    return (pixels(number, device) > 127).to(torch.float32)


def operations_a_pair(model: Model, x: Tensor) -> float | None:
    """Of an evaluation of all K samples, the encoder apart."""
    found = count(lambda: importance(model, x, 256, chunk=1024))
    return None if found is None else found / (256 * len(x))


def case(bench: Bench) -> Iterator[Row]:
    """K = 1,000 and 5,000."""
    model, number = model_of(RECIPE, bench.device), 512 if bench.on_gpu else 32
    x = binary(number, bench.device)
    operations = operations_a_pair(model, x)
    for num_samples in SAMPLES:

        def run(steps: int, num_samples: int = num_samples) -> None:
            for _ in range(steps):
                importance(model, x, num_samples)

        contenders, drawn = [Contender("ours", run, number * num_samples)], samples_drawn(num_samples, PEER_BATCH)
        if has_pythae():
            theirs = pythae_likelihood(x, num_samples, PEER_BATCH, bench.device)
            contenders.append(Contender("pythae", theirs, drawn))
        else:
            say("  pythae is not installed: its column stays empty; pip install -e '.[bench]'")
        yield race_row(
            *(bench, 4, f"importance evaluation of the MLP VAE, K = {num_samples:,}, float32", bench.race(contenders)),
            unit="pairs/s",
            beside="pythae",
            least=LEAST,
            operations=operations,
            limit="product float32",
            notes=(
                f"ours draws exactly {num_samples:,} samples, {number} images a call; pythae, asked for as many in "
                f"batches of {PEER_BATCH}, draws {drawn:,} for one image after the other",
            ),
        )
