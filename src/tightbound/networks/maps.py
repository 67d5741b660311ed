"""Maps of pixels: how their sizes shrink and grow back exactly, and how they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.network import Network

SMALLEST_MAP = {2: 4, 3: 3}  # by stride: an axis is not divided if fewer pixels would be left

Size = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class Stage:
    """One step between two map sizes: a convolution shrinks ``large`` to ``small``, a transposed one is its way back.

    Every pixel of ``large`` is read; see ``padding_of``.

    Args:
        large: (H, W) on the image's side.
        small: (H, W) on the latent side.
        kernel: per axis.
        stride: per axis, 1 to 3.
    """

    large: Size
    small: Size
    kernel: Size
    stride: Size

    @property
    def padding(self) -> Size:
        """Zeros on each side, per axis."""
        height, width = (padding_of(n, k, s) for n, k, s in zip(self.large, self.kernel, self.stride, strict=True))
        return height, width

    @property
    def output_padding(self) -> Size:
        """What a transposed convolution needs to end at exactly ``large``, per axis (less than the stride)."""
        height, width = (
            n - ((m - 1) * s - 2 * p + k)
            for n, m, s, p, k in zip(self.large, self.small, self.stride, self.padding, self.kernel, strict=True)
        )
        return height, width

    def convolution(self, inputs: int, outputs: int, *, bias: bool) -> nn.Conv2d:
        """(N, inputs, *large) -> (N, outputs, *small)."""
        return nn.Conv2d(inputs, outputs, self.kernel, self.stride, self.padding, bias=bias)

    def transposed(self, inputs: int, outputs: int, *, bias: bool) -> nn.ConvTranspose2d:
        """(N, inputs, *small) -> (N, outputs, *large)."""
        return nn.ConvTranspose2d(
            inputs, outputs, self.kernel, self.stride, self.padding, self.output_padding, bias=bias
        )


def padding_of(pixels: int, kernel: int, stride: int) -> int:
    """Zeros on each side of an axis: the fewest from p = ⌊(k − s + 1) / 2⌋ on with which every pixel is read.

    The n + 2p padded pixels give ⌊(n + 2p − k) / s⌋ + 1 outputs, and the last (n + 2p − k) mod s of them are not read:
    that must not be more than the p zeros at that end. At stride 2 it never is. At stride 3, kernel 5 has p = 1, and
    p = 2 if n mod 3 = 2.
    """
    padding = (kernel - stride + 1) // 2
    while (pixels + 2 * padding - kernel) % stride > padding:
        padding += 1
    return padding


def division(size: Size, kernel: int, stride: int = 2) -> Stage:
    """The stage that divides each axis by the stride, unless fewer than ``SMALLEST_MAP`` pixels would be left of it.

    n pixels become ⌈n / 2⌉ with an odd and ⌊n / 2⌋ with an even kernel, or n / 3 rounded in one direction or the other.
    An axis that is left alone needs an odd kernel to keep its size: an even one is reduced by 1 there.
    """
    height, width = (_axis(n, kernel, stride) for n in size)
    return Stage(size, (height[0], width[0]), (height[1], width[1]), (height[2], width[2]))


def _axis(pixels: int, kernel: int, stride: int) -> tuple[int, int, int]:
    """(pixels that are left, kernel, stride) of one axis."""
    left = (pixels + 2 * padding_of(pixels, kernel, stride) - kernel) // stride + 1
    if left >= SMALLEST_MAP[stride]:
        return left, kernel, stride
    return pixels, odd(kernel), 1


def odd(kernel: int) -> int:
    """The kernel, or one less if it is even: a convolution of stride 1 can then keep the size."""
    return kernel - 1 + kernel % 2


def divisions(size: Size, count: int, kernel: int, stride: int = 2) -> tuple[Stage, ...]:
    """``count`` stages one after the other, from the image inward."""
    stages: list[Stage] = []
    for _ in range(count):
        stages.append(division(stages[-1].small if stages else size, kernel, stride))
    return tuple(stages)


def same_size(size: Size, kernel: int) -> Stage:
    """The stage of stride 1 that leaves the size as it is."""
    return Stage(size, size, (odd(kernel), odd(kernel)), (1, 1))


def check_kernel_fits(kernel: int, image_shape: tuple[int, int, int]) -> None:
    """Refuses images that are smaller than the kernel.

    Raises:
        RecipeError: with the sizes.
    """
    height, width = image_shape[1:]
    if kernel > min(height, width):
        raise RecipeError(
            f"a convolution of kernel size {kernel} needs images of at least {kernel}×{kernel} pixels; "
            f"these are {height}×{width}",
            hint="use kind: mlp for encoder and decoder, larger images, or a smaller kernel_size where there is one",
        )


def in_format_of(maps: Tensor, network: Network) -> Tensor:
    """``maps`` (N, C, H, W) laid out in memory as the network's kernels are, in the precision of its body.

    ``module.to(memory_format=torch.channels_last)`` re-lays the kernels only, and weight normalization makes a fresh
    weight from them that has lost the layout; so the input has to bring it. Float32 maps in a bf16 body would make
    float32 of every sum with them, and of what follows to the next convolution.
    """
    return maps.to(network.autocast_dtype or maps.dtype).contiguous(memory_format=_format_of(network))


def _format_of(module: nn.Module) -> torch.memory_format:
    for weight in module.parameters():
        if weight.dim() == 4 and not weight.is_contiguous():
            return torch.channels_last
    return torch.contiguous_format
