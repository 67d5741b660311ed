"""The networks of a ladder: bottom-up from the image, top-down to it, and what joins them."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.networks.blocks import Block, BlockStyle, stack
from tightbound.networks.maps import in_format_of
from tightbound.networks.network import Network
from tightbound.networks.whole import doubled, flat, with_flat_gradient

Merging = Literal["residual", "linear"]


class Merge(nn.Module):
    """Two maps to one: a 1×1 convolution of both, then a gated block if ``residual``.

    Args:
        style: of the ladder.
        merging: the kind.
    """

    def __init__(self, style: BlockStyle, merging: Merging) -> None:
        super().__init__()
        self.convolution = style.convolution(2 * style.channels, style.channels, 1)
        self.block = Block(style, gated=True) if merging == "residual" else nn.Identity()

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, C, H, W) each."""
        return self.block(self.convolution(torch.cat([first, second], 1)))


class Stem(Network):
    """(B, image channels, H, W) -> (B, C, H', W'): a 5×5 convolution, of stride 2 if ``downscale``, and one block.

    Args:
        inputs: channels of the image.
        style: of the ladder.
        downscale: whether the maps are half as large as the image.
        gated: whether the block is; it is not in the published code.
    """

    def __init__(self, inputs: int, style: BlockStyle, *, downscale: bool, gated: bool) -> None:
        super().__init__()
        first = style.convolution(inputs, style.channels, 5, stride=2 if downscale else 1)
        self.layers = nn.Sequential(first, style.style.activate(in_place=True), Block(style, gated=gated))

    def body(self, x: Float[Tensor, "B c H W"]) -> Float[Tensor, "B C _ _"]:
        """The first maps."""
        return self.layers(in_format_of(x, self))


class BottomUp(Network):
    """Maps of one layer from those below it: blocks, the first of which halve the maps.

    Args:
        style: of the ladder.
        blocks: how many.
        downsample: how many of them halve the maps.
    """

    def __init__(self, style: BlockStyle, blocks: int, downsample: int) -> None:
        super().__init__()
        self.blocks = stack(style, blocks, downsample, "down")

    def body(self, maps: Float[Tensor, "B C _ _"]) -> Float[Tensor, "B C _ _"]:
        """The layer's maps."""
        return self.blocks(in_format_of(maps, self))


class Moments(Network):
    """Maps -> means and raw log-scales of latents (N, 2·z·H·W): a 3×3 convolution, after a merge if there is one.

    Args:
        style: of the ladder.
        latent_channels: z.
        merging: how maps from below and from above are joined before; None where there is one kind of maps.
    """

    def __init__(self, style: BlockStyle, latent_channels: int, merging: Merging | None = None) -> None:
        super().__init__()
        self.merge = None if merging is None else Merge(style, merging)
        self.convolution = style.convolution(style.channels, 2 * latent_channels, 3)

    def body(self, maps: Tensor, above: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, 2·z·H·W), all means first."""
        maps = in_format_of(maps, self)
        if self.merge is not None:
            assert above is not None
            maps = self.merge(maps, in_format_of(above, self))
        return flat(self.convolution(maps))


class TopDown(Network):
    """Latents of a layer, and the maps from above, to the maps for the layer below.

    Args:
        style: of the ladder.
        latent_channels: z.
        blocks: how many.
        upsample: how many of them double the maps.
        skip: whether the maps from above are merged in again; not at the top, where there are none.
    """

    def __init__(self, style: BlockStyle, latent_channels: int, blocks: int, upsample: int, *, skip: bool) -> None:
        super().__init__()
        self.convolution = style.convolution(latent_channels, style.channels, 3)
        self.merge = Merge(style, "residual") if skip else None
        self.blocks = stack(style, blocks, upsample, "up")

    def body(
        self, z: Float[Tensor, "N z _ _"], above: Float[Tensor, "N C _ _"] | None = None
    ) -> Float[Tensor, "N C _ _"]:
        """The maps for the layer below."""
        maps = self.convolution(with_flat_gradient(in_format_of(z, self)))
        if self.merge is not None:
            assert above is not None
            maps = self.merge(maps, in_format_of(above, self))
        return self.blocks(maps)


class Output(Network):
    """Maps -> the likelihood's parameters: enlarged twofold if the image was halved, blocks, a 3×3 convolution.

    Args:
        style: of the ladder.
        blocks: how many.
        out_channels: P.
        upscale: whether the maps are enlarged first.
    """

    def __init__(self, style: BlockStyle, blocks: int, out_channels: int, *, upscale: bool) -> None:
        super().__init__()
        self.upscale = upscale
        self.blocks = stack(style, blocks, 0, "none")
        self.convolution = style.convolution(style.channels, out_channels, 3)

    def body(self, maps: Float[Tensor, "N C _ _"]) -> Float[Tensor, "N P H W"]:
        """The parameters of the padded image."""
        maps = in_format_of(maps, self)
        if self.upscale:
            maps = doubled(maps)
        for block in self.blocks:  # one call of them all would hold the first maps, the largest there are, to its end
            maps = block(maps)
        return self.convolution(maps).contiguous()
