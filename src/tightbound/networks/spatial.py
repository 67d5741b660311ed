"""A decoder whose image is warped: one part of z says what is seen, the rest where and in which pose."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor, nn

from tightbound.errors import RecipeError
from tightbound.networks.network import Decoder
from tightbound.networks.warps import Warp, displacements, num_parameters, pixel_places
from tightbound.networks.whole import read_at
from tightbound.registry import Factory, Nested, register

_GRID = 3
# What one prior standard deviation of a unit moves at the start: a tenth of the half image.
_REACH = 0.1


@register("decoder", "spatial_transformer")
class SpatialTransformer(Decoder):
    """Another decoder's maps of z_what, warped by θ = W z_where + b, z = (z_what, z_where); Jaderberg et al. 2015.

    The latents stay one group, so that every posterior, prior, objective and evaluation goes with it. Maps are read
    bilinearly; beyond the border is the border. ``warps`` has the kinds of warp and what their parameters mean.

    Nothing in the bound asks for upright canonical images: W and b are free, so that a scale, a turn or a flip can go
    into them or into the other decoder alike. What the two parts mean has to be looked at.

    Args:
        latent_dim: D, of both parts.
        image_shape: (C, H, W).
        out_channels: P, channels of the other decoder's maps.
        warp: its where-units, the last of z: 2 of a ``"translation"``, 4 of a ``"similarity"``, 6 of an ``"affine"``
            map, 2·grid² of a thin-plate spline, ``"tps"``.
        grid: control points a side of a thin-plate spline; None is 3.
        regularization: of a thin-plate spline: how far it may miss its control points for less bending.
        applied_to: the likelihood's ``"parameters"``, or the ``"probabilities"`` of one whose parameters are logits.
        start: ``"identity"`` starts with W = 0.1 I and b = 0, so that z_where = 0 is no warp; ``"random"`` with W and b
            uniform up to 1/√u, as PyTorch's layers do.
        decoder: the other one, z_what -> (N, P, H, W).

    Raises:
        RecipeError: too few latents, or keys of a thin-plate spline without one.
    """

    places: Tensor  # (H·W·2)
    displacements: Tensor  # (U, H·W·2)

    def __init__(
        self,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        out_channels: int,
        *,
        warp: Warp = "affine",
        grid: Annotated[int, Ge(2)] | None = None,
        regularization: Annotated[float, Ge(0)] = 0.0,
        applied_to: Literal["parameters", "probabilities"] = "parameters",
        start: Literal["identity", "random"] = "identity",
        decoder: Annotated[Factory, Nested("decoder")] = Factory("decoder", "mlp"),
    ) -> None:
        super().__init__()
        if warp != "tps" and (grid is not None or regularization):
            raise RecipeError(
                f"model.decoder: grid and regularization have no effect on warp {warp!r}",
                hint="leave them out, or use model.decoder.warp=tps",
            )
        self.warp: Warp = warp
        self.applied_to = applied_to
        self.size = (image_shape[1], image_shape[2])
        self.where_dim = num_parameters(warp, grid or _GRID)
        self.what_dim = latent_dim - self.where_dim
        _check_latents(latent_dim, self.where_dim, warp)
        self.decoder: Decoder = decoder(latent_dim=self.what_dim, image_shape=image_shape, out_channels=out_channels)
        self.capabilities = self.decoder.capabilities
        self.to_warp = nn.Linear(self.where_dim, self.where_dim)
        if start == "identity":
            with torch.no_grad():
                self.to_warp.weight.copy_(_REACH * torch.eye(self.where_dim))
                self.to_warp.bias.zero_()
        moved = displacements(warp, self.size, grid=grid or _GRID, regularization=regularization)
        like = self.to_warp.weight
        self.register_buffer("places", pixel_places(self.size).flatten().to(like), persistent=False)
        self.register_buffer("displacements", moved.flatten(1).to(like), persistent=False)

    def body(self, inputs: Float[Tensor, "N D"]) -> Float[Tensor, "N P H W"]:
        """The warped maps."""
        what, where = self.split(inputs)
        canonical = self.canonical(what)
        # Places in bf16 would be off by a tenth of a pixel.
        with torch.autocast(inputs.device.type, enabled=False):
            return self.warped(canonical, self.places_read(where))

    def split(self, z: Float[Tensor, "*rows D"]) -> tuple[Float[Tensor, "*rows A"], Float[Tensor, "*rows U"]]:
        """(z_what, z_where)."""
        return z[..., : self.what_dim], z[..., self.what_dim :]

    def canonical(self, what: Float[Tensor, "N A"]) -> Float[Tensor, "N P H W"]:
        """The likelihood's parameters before the warp."""
        return self.decoder(what)

    def places_read(self, where: Float[Tensor, "N U"]) -> Float[Tensor, "N H W 2"]:
        """Where each pixel is read: (x, y), from −1 to 1 between the centers of the outermost pixels."""
        return torch.addmm(self.places, self.to_warp(where), self.displacements).unflatten(1, (*self.size, 2))

    def warped(self, maps: Float[Tensor, "N P H W"], places: Float[Tensor, "N H W 2"]) -> Float[Tensor, "N P H W"]:
        """The likelihood's parameters, read at these places."""
        if self.applied_to == "parameters":
            return read_at(maps, places)
        # Both p and 1 − p are read, so that neither is lost to rounding where the other is nearly 1.
        read = read_at(torch.cat((maps, -maps), dim=1).sigmoid(), places)
        log_on, log_off = (read + torch.finfo(read.dtype).tiny).log().chunk(2, dim=1)  # no log of 0: at e^−87 it ends
        return log_on - log_off


def _check_latents(latent_dim: int, where_dim: int, warp: str) -> None:
    if latent_dim <= where_dim:
        raise RecipeError(
            f"model.decoder: warp {warp!r} takes {where_dim} latent units and leaves none of {latent_dim} to the image",
            hint=f"use model.latent_dim={where_dim + 16}, or a warp of fewer units",
        )
