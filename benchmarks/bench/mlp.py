"""Case 1: training the 784-512-16 perceptron, beside pythae and a plain float32 loop."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from benchmarks.bench.limits import count
from benchmarks.bench.peers import has_pythae, pythae_training
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender, Race
from benchmarks.bench.training import NUM_IMAGES, Ours, Run, images

RECIPE, LATENTS, HIDDEN, PIXELS = "mnist-mlp", 16, 512, 784
TARGETS = {128: 3.0, 512: 5.0}
EPOCHS = 10


class PlainVAE(nn.Module):
    """The same network as in a tutorial."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(HIDDEN, LATENTS), nn.Linear(HIDDEN, LATENTS)
        self.decoder = nn.Sequential(nn.Linear(LATENTS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, PIXELS))

    def forward(self, x: Tensor) -> Tensor:
        """The negative bound of images (B, 784), nats an image."""
        h = self.encoder(x)
        mean, log_variance = self.mean(h), self.log_variance(h)
        z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
        distortion = binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
        rate = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(-1)
        return (distortion + rate).mean()


def plain(gray: Tensor, batch: int) -> Run:
    """A float32 loop over gray images (N, 784) in [0, 1] on the device, binarized at each step."""
    torch.manual_seed(0)
    model = PlainVAE().to(gray.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def run(steps: int) -> None:
        for _ in range(steps):
            x = torch.bernoulli(gray[torch.randint(len(gray), (batch,), device=gray.device)])
            optimizer.zero_grad()
            model(x).backward()
            optimizer.step()

    return run


def operations_an_image(batch: int) -> float | None:
    """Of a step of the plain loop, forward and backward."""
    model, x = PlainVAE(), torch.rand(batch, PIXELS).round()
    found = count(lambda: model(x).backward())
    return None if found is None else found / batch


def case(bench: Bench) -> Iterator[Row]:
    """Batches of 128 and of 512."""
    split = images(RECIPE)
    gray = (split.pixels.flatten(1).to(torch.float32) / 255).to(bench.device)
    for batch, least in TARGETS.items():
        overrides = bench.training(True, f"training.batch_size={batch}")
        mine = Ours(RECIPE, split, overrides)
        contenders = [mine.contender(batch)]
        if has_pythae():
            x = (split.pixels > 127).to(torch.float32)
            contenders.append(Contender("pythae", pythae_training(x, batch, bench.device), batch))
        contenders.append(Contender("plain float32", plain(gray, batch), batch))
        found = bench.race(contenders)
        yield race_row(
            *(bench, 1, f"MLP VAE training, batch {batch}", found),
            beside="pythae",
            least=least,
            operations=operations_an_image(batch),
            limit=f"product {bench.precision}",
            notes=(mine.how, totals(bench, found, batch)),
        )


def totals(bench: Bench, found: Race, batch: int) -> str:
    """What 10 epochs take with all that the first step takes more than others, compilation above all."""
    parts = []
    for name in found.rates:
        rate = found.rate(name).median
        extra = max(found.first[name] - batch / rate, 0.0)
        total = extra + EPOCHS * (NUM_IMAGES // batch) * batch / rate
        parts.append(f"{name} {total:.1f} s, of which the first step's extra {extra:.1f} s")
    apart = "" if bench.clock is time.perf_counter else " (without the compiler's own processes)"
    return f"{EPOCHS} epochs of {NUM_IMAGES:,} images: {'; '.join(parts)}{apart}"
