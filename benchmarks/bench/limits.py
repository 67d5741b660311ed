"""What the machine can do: matrix products and convolutions of the bare library, and the arithmetic of a step.

One multiplication and addition are two operations, as ``torch.utils.flop_counter`` counts them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import conv2d
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.bench.timing import Contender, say

DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16, "float64": torch.float64}
CHANNELS = 64


def product(size: int, device: torch.device, precision: str) -> Contender:
    """Square matrices of this size, multiplied; rates are operations a second."""
    a, b = (torch.randn(size, size, device=device).to(DTYPES[precision]) for _ in range(2))

    def run(steps: int) -> None:
        for _ in range(steps):
            torch.mm(a, b)

    return Contender(f"product {precision}", run, 2.0 * size**3)


def convolution(batch: int, side: int, device: torch.device, precision: str) -> Contender:
    """3 × 3 of 64 channels on side × side pixels, channels_last; rates are operations a second."""
    like = {"dtype": DTYPES[precision], "memory_format": torch.channels_last}
    x = torch.randn(batch, CHANNELS, side, side, device=device).to(**like)
    weight = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device).to(**like)

    @torch.no_grad()
    def run(steps: int) -> None:
        for _ in range(steps):
            conv2d(x, weight, padding=1)

    with torch.no_grad():
        operations = count(lambda: conv2d(x, weight, padding=1))
    assert operations is not None
    return Contender(f"convolution {side}×{side} {precision}", run, operations)


def limits(device: torch.device, precisions: tuple[str, ...], batch: int = 128) -> list[Contender]:
    """All of them."""
    size = 8192 if device.type == "cuda" else 1024
    sides = [(side, precision) for side in (14, 28) for precision in precisions]
    return [product(size, device, precision) for precision in precisions] + [
        convolution(batch, side, device, precision) for side, precision in sides
    ]


def count(work: Callable[[], object]) -> float | None:
    """Operations of matrix products and convolutions in some work, backward passes included; None if uncountable."""
    try:
        with FlopCounterMode(display=False) as counter:
            work()
    # The counter follows neither torch.func nor every kernel. What fails by itself fails again in the race, uncaught.
    except (RuntimeError, AttributeError, NotImplementedError) as error:
        say(f"  arithmetic not counted: {str(error).splitlines()[0]}")
        return None
    return float(counter.get_total_flops())


def pixels(number: int, device: torch.device, levels: int = 255, seed: int = 0) -> Tensor:
    """Random images (number, 1, 28, 28), uint8 gray levels, four fifths of them black as in pictures of digits."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(1, levels + 1, (number, 1, 28, 28), generator=generator, dtype=torch.uint8)
    ink = torch.rand(number, 1, 28, 28, generator=generator) < 0.2
    return (drawn * ink).to(device)
