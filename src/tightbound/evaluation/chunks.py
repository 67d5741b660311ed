"""How an evaluation is cut: a budget of (image, sample) pairs that does not depend on K.

Three sizes follow from the budget. A *tile* of images is what log-weights are kept for; a *call* is one ``model.draw``.
The cut changes no result: noise belongs to the pair (see ``numerics.evaluation_noise``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tightbound.core import Model
from tightbound.numerics import NOISE_IMAGE_TILE, NOISE_SAMPLE_BLOCK

_KEPT_BYTES = 64 * 2**20  # log-weights of one tile
# More is slower: MLP and convolutional decoders are fastest while activations stay in the caches.
_CPU_BYTES = 32 * 2**20
_CPU_KEPT_BYTES = 2**30  # what a gradient keeps is used once and long after, from memory
_GPU_BYTES = 2 * 2**30
_TENSORS_PER_ACTIVATION = 4  # the largest activation, the one it is made from, and the likelihood's temporaries


@dataclass(frozen=True)
class Plan:
    """Sizes of one evaluation.

    Args:
        images_per_tile: images whose K log-weights are held together.
        images_per_call: images of one draw; each is encoded once, with these neighbors.
        samples_per_call: samples of one draw, at most a block of 256.
    """

    images_per_tile: int
    images_per_call: int
    samples_per_call: int


def make_plan(chunk: int, num_images: int, num_samples: int, most: int = sys.maxsize) -> Plan:
    """The sizes for a budget of ``chunk`` pairs a draw.

    A tile is 32 images or, if the budget has room for whole noise blocks of more, a multiple of 32, as long as the kept
    log-weights stay below 64 MiB and it holds no more than ``most`` images.
    """
    room = min(chunk // NOISE_SAMPLE_BLOCK, _KEPT_BYTES // (8 * num_samples), most)
    tile = max(NOISE_IMAGE_TILE, room // NOISE_IMAGE_TILE * NOISE_IMAGE_TILE)
    images = min(tile, chunk, num_images)
    samples = min(NOISE_SAMPLE_BLOCK, num_samples, max(1, chunk // images))
    return Plan(tile, images, samples)


def spans(start: int, stop: int, size: int) -> Iterator[range]:
    """Consecutive ranges of at most ``size`` that cover [start, stop)."""
    for first in range(start, stop, size):
        yield range(first, min(first + size, stop))


def tiles(num_images: int, num_samples: int, chunk: int, most: int = sys.maxsize) -> list[range]:
    """Images whose chains move together: as many whole tiles of 32 as the budget has room for, one at least.

    They are no more than ``most``, which is a multiple of 32.
    """
    room = min(chunk // num_samples, most) // NOISE_IMAGE_TILE * NOISE_IMAGE_TILE
    return list(spans(0, num_images, max(NOISE_IMAGE_TILE, room)))


def probe_chunk(model: Model, x: Tensor, *, gradient: bool = False) -> int:
    """How many (image, sample) pairs fit the memory budget, measured by one draw of one pair.

    The largest output of any module, image, latent or noise of the pair, times 4 (it, what it is made from, and the
    temporaries of the density), against 32 MiB on a CPU and an eighth of the free memory, at most 2 GiB, on a GPU.

    Args:
        model: on its device, in eval mode.
        x: (1, C, H, W).
        gradient: whether a gradient goes back through the draw, for which what every module gives is kept: then twice
            the sum of these counts too, against 1 GiB on a CPU.
    """
    largest, kept = max(x.nbytes, model.noise_size * x.element_size()), 0

    def watch(module: nn.Module, _inputs: Any, output: Any) -> None:
        nonlocal largest, kept
        outputs = output if isinstance(output, tuple | list) else (output,)
        sizes = [item.nbytes for item in outputs if isinstance(item, Tensor)]
        largest = max(largest, *sizes, 0)
        kept += 0 if getattr(module, "inplace", False) else sum(sizes)  # what works in place has been counted

    encoding = model.encode(x)
    noise = torch.zeros(1, 1, model.noise_size, dtype=x.dtype, device=x.device)
    # What a parametrization gives is a weight, which all pairs share.
    modules = [module for name, module in model.named_modules() if "parametrizations" not in name.split(".")]
    handles = [module.register_forward_hook(watch) for module in modules]
    try:
        draw = model.draw(x, 1, encoding=encoding, noise=noise)
    finally:
        for handle in handles:
            handle.remove()
    largest = max(largest, draw.params.nbytes, *(latent.nbytes for latent in draw.latents))
    pairs = _budget(x.device, _CPU_BYTES) // (_TENSORS_PER_ACTIVATION * largest)
    if gradient and kept:
        pairs = min(pairs, _budget(x.device, _CPU_KEPT_BYTES) // (2 * kept))
    return max(1, pairs)


def _budget(device: torch.device, of_cpu: int) -> int:
    if device.type == "cuda":
        return min(_GPU_BYTES, torch.cuda.mem_get_info(device)[0] // 8)
    return of_cpu
