"""What every network is: a body, entered through one forward that handles mixed precision."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor

from tightbound import core


class Network(core.Component):
    """A deterministic map of tensors to one tensor. Adding one: subclass ``Encoder`` or ``Decoder``.

    Only ``body`` is yours. ``forward`` is final: it is the one place where autocast is entered, and it casts the
    result back once, so densities and samples are computed from the very float32 tensors that the network returned.

    Attributes:
        autocast_dtype: the dtype of the body's matrix products and convolutions (bf16, say); None leaves them alone.
            Set from outside, after construction.
    """

    autocast_dtype: torch.dtype | None = None
    body: Callable[..., Tensor]  # the network itself, in whatever precision it finds

    @final
    def forward(self, *inputs: Tensor) -> Tensor:
        """``body`` under autocast where ``autocast_dtype`` says so; the output has the dtype of the first input."""
        if self.autocast_dtype is None:
            return self.body(*inputs)
        # No cache: each weight is used once, and a cast cached under torch.func.grad would outlive its level.
        with torch.autocast(inputs[0].device.type, dtype=self.autocast_dtype, cache_enabled=False):
            outputs = self.body(*inputs)
        return outputs.to(inputs[0].dtype)

    def affine(self) -> tuple[Tensor, Tensor] | None:
        """(weight (out, in), bias (out)) if the network is an affine map of its input, else None."""
        return None


class Encoder(Network, core.Encoder):
    """x -> features. Adding one: take the wiring ``image_shape``, set ``feature_dim``, write ``body``, register."""

    @abstractmethod
    def body(self, inputs: Float[Tensor, "B C H W"]) -> Float[Tensor, "B F"]:
        """The features of each image."""


class Decoder(Network):
    """z -> the likelihood's parameters. Adding one: write ``body`` for the wiring below, register.

    The constructor takes the wiring ``latent_dim`` = D, ``image_shape`` = (C, H, W) and ``out_channels`` = P.
    """

    @abstractmethod
    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The likelihood's parameters for each row."""
