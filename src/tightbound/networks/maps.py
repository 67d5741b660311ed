"""Maps of pixels: how their sizes shrink and grow back exactly, and how they lie in memory."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tightbound.errors import RecipeError

SMALLEST_MAP = 4  # an axis is not halved below this many pixels

Size = tuple[int, int]  # (H, W)


@dataclass(frozen=True)
class Stage:
    """One step between two map sizes: a convolution shrinks ``large`` to ``small``, a transposed one is its way back.

    With p = ⌊(k − 1) / 2⌋, stride 2 maps n pixels to ⌈n / 2⌉ for odd k and ⌊n / 2⌋ for even k ≥ 4; every pixel is read.

    Args:
        large: (H, W) on the image's side.
        small: (H, W) on the latent side.
        kernel: per axis.
        stride: per axis, 1 or 2.
    """

    large: Size
    small: Size
    kernel: Size
    stride: Size

    @property
    def padding(self) -> Size:
        """Zeros on each side, per axis."""
        return (self.kernel[0] - 1) // 2, (self.kernel[1] - 1) // 2

    @property
    def output_padding(self) -> Size:
        """What a transposed convolution needs to end at exactly ``large``, per axis (0 or 1)."""
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


def halving(size: Size, kernel: int) -> Stage:
    """The stage that halves each axis which stays at 4 pixels or more, and leaves the other as it is.

    An axis that is left alone needs an odd kernel to keep its size: an even one is reduced by 1 there.
    """
    halves = tuple((n + kernel % 2) // 2 for n in size)
    strides = tuple(2 if half >= SMALLEST_MAP else 1 for half in halves)
    small_height, small_width = (half if s == 2 else n for n, half, s in zip(size, halves, strides, strict=True))
    kernel_height, kernel_width = (kernel if s == 2 else kernel - 1 + kernel % 2 for s in strides)
    return Stage(size, (small_height, small_width), (kernel_height, kernel_width), (strides[0], strides[1]))


def halvings(size: Size, count: int, kernel: int) -> tuple[Stage, ...]:
    """``count`` stages one after the other, from the image inward."""
    stages: list[Stage] = []
    for _ in range(count):
        stages.append(halving(stages[-1].small if stages else size, kernel))
    return tuple(stages)


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


def in_format_of(maps: Tensor, module: nn.Module) -> Tensor:
    """``maps`` (N, C, H, W) laid out in memory as the module's kernels are.

    ``module.to(memory_format=torch.channels_last)`` re-lays the kernels only, and weight normalization makes a fresh
    weight from them that has lost the layout; so the input has to bring it.
    """
    return maps.contiguous(memory_format=_format_of(module))


def _format_of(module: nn.Module) -> torch.memory_format:
    for weight in module.parameters():
        if weight.dim() == 4 and not weight.is_contiguous():
            return torch.channels_last
    return torch.contiguous_format
