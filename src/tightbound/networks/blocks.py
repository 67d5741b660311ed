"""Residual blocks of ladders: three orders of layers, gates, dropout, and maps that shrink or grow on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.networks.gated import Gate
from tightbound.networks.layers import Style

# Letters in the order in which they act: b normalization, a activation, c convolution, d dropout.
Order = Literal["bacdbacd", "bacdbac", "cabdcabd"]
Resampling = Literal["none", "down", "up"]


@dataclass(frozen=True)
class BlockStyle:
    """What all blocks of a ladder share.

    Args:
        style: activation and normalization.
        channels: of every map.
        order: of the layers of a block.
        kernel_size: of its convolutions, odd.
        groups: of its convolutions.
        inner_channels: of its convolutions, between two of 1×1; None for the ladder's own.
        gated: whether a gate ends the branch.
        dropout: the part of the maps that is dropped.
        branch_scale: what the branch is multiplied by, so that sums of many blocks stay small.
    """

    style: Style
    channels: int
    order: Order = "bacdbacd"
    kernel_size: int = 3
    groups: int = 1
    inner_channels: int | None = None
    gated: bool = True
    dropout: float = 0.0
    branch_scale: float = 1.0

    @property
    def inner(self) -> int:
        """Channels inside a block."""
        return self.channels if self.inner_channels is None else self.inner_channels

    def convolution(self, inputs: int, outputs: int, kernel: int, *, groups: int = 1, stride: int = 1) -> nn.Conv2d:
        """Keeps the size of the maps, or divides it by the stride."""
        return self.style.prepare(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups))

    def layers(self) -> Iterable[nn.Module]:
        """The branch of a block without its gate."""
        fresh = False  # whether a layer has made maps of its own: the block's input is added to the branch
        for letter in self.order:
            if letter == "b":
                yield self.style.normalize_maps(self.inner)
                fresh = fresh or not self.style.bias
            elif letter == "a":
                yield self.style.activate(in_place=fresh)
            elif letter == "c":
                fresh = True
                yield self.convolution(self.inner, self.inner, self.kernel_size, groups=self.groups)
            elif self.dropout > 0:
                yield MapDropout(self.dropout)


class MapDropout(nn.Dropout2d):
    """Whole maps are dropped with probability p < 1, the others multiplied by 1 / (1 − p).

    As PyTorch's, which divides by 1 − p: where a step is compiled, that is a division at every pixel, in each of the
    five passes that need the dropped maps.
    """

    def forward(self, input: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """In training; the maps as they are afterwards."""
        if not self.training:
            return input
        kept = torch.empty_like(input[:, :, :1, :1]).bernoulli_(1 - self.p)
        return input * (kept * (1 / (1 - self.p)))


class Block(nn.Module):
    """x + branch(x), as in the deep ladders after Sønderby et al. 2016: the branch has two convolutions and a gate.

    A block that resamples begins with a convolution of stride 2, or its transpose; one with other inner channels with
    one of 1×1 and ends with another.

    Args:
        style: of the ladder.
        resampling: ``"down"`` halves the maps, ``"up"`` doubles them.
        gated: overrides the style's; None does not.
    """

    def __init__(self, style: BlockStyle, resampling: Resampling = "none", *, gated: bool | None = None) -> None:
        super().__init__()
        channels, inner = style.channels, style.inner
        self.before: nn.Module = nn.Identity()
        if resampling == "down":
            self.before = style.convolution(channels, inner, 3, stride=2)
        elif resampling == "up":
            self.before = style.style.prepare(nn.ConvTranspose2d(channels, inner, 3, 2, 1, 1))
        elif inner != channels:
            self.before = style.convolution(channels, inner, 1)
        gate = [style.convolution(inner, 2 * inner, 1), Gate(style.style.activate(in_place=True))]
        self.branch = nn.Sequential(*style.layers(), *(gate if (style.gated if gated is None else gated) else ()))
        self.branch_scale = style.branch_scale
        self.after = style.convolution(inner, channels, 1) if inner != channels else nn.Identity()

    def forward(self, maps: Float[Tensor, "N C _ _"]) -> Float[Tensor, "N C H W"]:
        """The block's output."""
        maps = self.before(maps)
        return self.after(torch.add(maps, self.branch(maps), alpha=self.branch_scale))


def stack(style: BlockStyle, count: int, resampled: int, resampling: Resampling) -> nn.Sequential:
    """``count`` blocks, the first ``resampled`` of which resample."""
    return nn.Sequential(*(Block(style, resampling if i < resampled else "none") for i in range(count)))
