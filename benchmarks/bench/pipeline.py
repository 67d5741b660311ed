"""Case 6: what a training step is fed, made alone, beside a PyTorch DataLoader and the training that waits for it."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from benchmarks.bench.mlp import LATENTS, RECIPE
from benchmarks.bench.setting import Bench, Row, race_row
from benchmarks.bench.timing import Contender
from benchmarks.bench.training import Ours, Run, images
from tightbound.data.split import Split
from tightbound.training.batches import Batches

BATCH, LEAST = 128, 5.0


class OneByOne(Dataset[Tensor]):
    """Gray images (N, 1, 28, 28) as bytes, binarized one at a time as they are asked for."""

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> Tensor:
        """Float32 (1, 28, 28) of 0 and 1."""
        return torch.bernoulli(self.pixels[index].to(torch.float32) / 255)


def batches(split: Split, bench: Bench) -> Run:
    """Images and posterior noise of one step after the other, as our training takes them."""
    made = Batches(
        split.to(bench.device),
        seed=0,
        batch_size=BATCH,
        steps_per_epoch=len(split) // BATCH,
        noise_shape=(1, LATENTS),
        dtype=torch.float32,
        device=bench.device,
    )
    step = 0

    def run(steps: int) -> None:
        nonlocal step
        for _ in range(steps):
            made(step)
            step += 1

    return run


def loader(split: Split, bench: Bench) -> Run:
    """Shuffled batches of a DataLoader in this process, put on the device."""
    source = DataLoader(OneByOne(split.pixels), batch_size=BATCH, shuffle=True)
    found = iter(source)

    def run(steps: int) -> None:
        nonlocal found
        for _ in range(steps):
            x = next(found, None)
            if x is None:
                found = iter(source)
                x = next(found)
            x.to(bench.device)

    return run


def case(bench: Bench) -> Iterator[Row]:
    """Dynamic binarization at batch 128."""
    split = images(RECIPE)
    training = Ours(RECIPE, split, bench.training(True, f"training.batch_size={BATCH}"))
    contenders = [
        Contender("ours", batches(split, bench), BATCH),
        Contender("our training", training, BATCH),
        Contender("DataLoader", loader(split, bench), BATCH),
    ]
    found, what = bench.race(contenders), f"data with dynamic binarization, batch {BATCH}"
    ratio = found.ratio("ours", "DataLoader")
    note = f"{ratio.median:.0f} times the DataLoader, which binarizes one image at a time in one process"
    yield race_row(bench, 6, what, found, least=LEAST, notes=(training.how, note))
