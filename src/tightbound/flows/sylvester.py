"""Sylvester flows: planar flows of several directions at once, whose determinant is a product of M numbers."""

from __future__ import annotations

from math import log
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from jaxtyping import Float
from torch import Tensor

from tightbound.core import Flow
from tightbound.errors import RecipeError
from tightbound.flows.steps import Steps
from tightbound.networks.head import Head
from tightbound.numerics import num_strictly_lower, orthonormal_columns, reflections, unit_lower
from tightbound.registry import register

Basis = Literal["orthogonal", "householder", "triangular"]
Count = Annotated[int, Ge(1)]

_COLUMNS, _REFLECTIONS = 16, 8


class SylvesterStep(Flow):
    """f(z) = z + Q R tanh(R̃ Qᵀ z + b), log |det| = Σ_i log(1 + r_ii r̃_ii tanh'_i); van den Berg et al. 2018, eq. 8-14.

    R and R̃ are upper triangular with diagonals in (−1, 1) by tanh, so each factor is positive and f is invertible.

    Args:
        feature_dim: width of the features that all parameters are amortized by.
        latent_dim: D.
        basis: how Q (D × M) is made.
        size: M columns of an orthogonal basis, or how many reflections of a householder one.
        flip: the units of a triangular basis are taken in reverse.
    """

    def __init__(self, feature_dim: int, latent_dim: int, basis: Basis, size: int, flip: bool) -> None:
        super().__init__()
        self.latent_dim, self.basis, self.size, self.flip = latent_dim, basis, size, flip
        self.rank = size if basis == "orthogonal" else latent_dim
        vectors = size if basis in ("orthogonal", "householder") else 0
        self.widths = (3 * self.rank, 2 * num_strictly_lower(self.rank), vectors * latent_dim)
        self.head = Head(feature_dim, sum(self.widths))
        assert self.head.bias is not None
        torch.nn.init.normal_(self.head.bias, std=0.1)  # a basis of zeros is none, and R = R̃ = 0 has no gradient
        torch.nn.init.normal_(self.head.bias[sum(self.widths[:2]) :])

    def forward(
        self, z: Float[Tensor, "K B D"], features: Float[Tensor, "B F"]
    ) -> tuple[Float[Tensor, "K B D"], Float[Tensor, "K B"]]:
        """f(z) and the log-determinant."""
        numbers, entries, vectors = self.head(features).split(self.widths, dim=-1)
        bias, diagonal, other_diagonal = numbers.unflatten(-1, (3, self.rank)).unbind(-2)
        one_plus_product = _log_one_plus_product(diagonal, other_diagonal).exp()
        diagonal, other_diagonal = diagonal.tanh(), other_diagonal.tanh()
        above, other_above = entries.unflatten(-1, (2, -1)).unbind(-2)
        basis = self._basis(vectors)
        y = self._onto(basis, z)
        h = torch.tanh(self._upper(other_diagonal, other_above, y) + bias)
        change = self._out_of(basis, self._upper(diagonal, above, h))
        # 1 + r r̃ (1 − h²) as a sum of two that are not negative: nothing cancels.
        rest = h.square()
        return z + change, torch.log(rest + one_plus_product * (1 - rest)).sum(-1)

    def _upper(self, diagonal: Tensor, entries: Tensor, y: Tensor) -> Tensor:
        """An upper triangular matrix times y (K, B, M); entries are scaled by 1/√M, as sums of M of them are made."""
        strict = unit_lower(entries / self.rank**0.5, self.rank)
        strict = strict - torch.eye(self.rank, dtype=strict.dtype, device=strict.device)
        return diagonal * y + torch.einsum("bji,kbj->kbi", strict.flip(-1, -2).mT, y)

    def _basis(self, vectors: Tensor) -> Tensor | None:
        """Q (B, D, M), or None for units as they are."""
        if self.basis == "triangular":
            return None
        vectors = vectors.unflatten(-1, (self.size, self.latent_dim))
        return orthonormal_columns(vectors.mT) if self.basis == "orthogonal" else reflections(vectors)

    def _onto(self, basis: Tensor | None, z: Tensor) -> Tensor:
        if basis is None:
            return z.flip(-1) if self.flip else z
        return torch.einsum("bdm,kbd->kbm", basis, z)

    def _out_of(self, basis: Tensor | None, y: Tensor) -> Tensor:
        if basis is None:
            return y.flip(-1) if self.flip else y
        return torch.einsum("bdm,kbm->kbd", basis, y)


def _log_one_plus_product(a: Tensor, b: Tensor) -> Tensor:
    """log(1 + tanh a tanh b) = log [cosh(a + b) / (cosh a cosh b)], also where the product is nearly −1."""

    def log_two_cosh(x: Tensor) -> Tensor:
        return torch.logaddexp(x, -x)

    return log_two_cosh(a + b) - log_two_cosh(a) - log_two_cosh(b) + log(2)


@register("flow", "sylvester")
class Sylvester(Steps):
    """Sylvester flow, van den Berg et al. 2018: orthogonal, Householder or triangular, amortized by the features.

    An orthogonal basis is the Q of a QR factorization, orthonormal to rounding; the paper's iteration is so to a
    tolerance only.

    Args:
        feature_dim: F.
        latent_dim: D.
        repeat: how many steps.
        basis: ``orthogonal`` (M columns), ``householder`` (a product of reflections), or ``triangular`` (the units
            themselves, in reverse at every second step).
        columns: M of an orthogonal basis, at most D; null: 16, or D if that is less.
        reflections: of a householder basis; null: 8.

    Raises:
        RecipeError: a key of another basis, or more columns than units.
    """

    def __init__(
        self,
        feature_dim: int,
        latent_dim: int,
        *,
        repeat: Annotated[int, Ge(1)] = 1,
        basis: Basis = "orthogonal",
        columns: Count | None = None,
        reflections: Count | None = None,
    ) -> None:
        _check(basis, columns, reflections, latent_dim)
        sizes = {"orthogonal": columns or min(_COLUMNS, latent_dim), "householder": reflections or _REFLECTIONS}
        size = sizes.get(basis, 0)
        super().__init__(SylvesterStep(feature_dim, latent_dim, basis, size, i % 2 == 1) for i in range(repeat))


def _check(basis: Basis, columns: int | None, num_reflections: int | None, latent_dim: int) -> None:
    for name, value, owner in (("columns", columns, "orthogonal"), ("reflections", num_reflections, "householder")):
        if value is not None and basis != owner:
            raise RecipeError(f"{name}: has no effect with basis {basis!r}", hint=f"leave it out, or basis: {owner}")
    if columns is not None and columns > latent_dim:
        raise RecipeError(f"columns: got {columns}; at most latent_dim = {latent_dim} can be orthonormal")
