"""How layers are activated, normalized and initialized: the choices that all networks share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, get_args

import torch
from annotated_types import Ge
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from tightbound.errors import RecipeError
from tightbound.networks.batch_norm import MapBatchNorm
from tightbound.registry import nearest_hint

Activation = Literal["relu", "elu", "selu", "gelu", "silu", "tanh", "leaky_relu", "softplus", "none"]
Normalization = Literal["none", "weight", "group", "batch"]
Positive = Annotated[int, Ge(1)]
Widths = tuple[Positive, ...]
KernelSize = Annotated[int, Ge(3)]  # a smaller kernel would skip pixels

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "none": nn.Identity,
}
_IN_PLACE = ("relu", "elu", "leaky_relu")  # those whose derivative can be told from their value
_MOST_GROUPS = 8
# A group of few values loses much of what it says: its mean and its scale are taken out.
_LEAST_FEATURES_IN_GROUP = 16
_LEAST_CHANNELS_IN_GROUP = 4

L = TypeVar("L", bound=nn.Linear | nn.Conv2d | nn.ConvTranspose2d)


@dataclass(frozen=True)
class Style:
    """The activation and normalization of a network's layers, and a maker of such layers.

    Args:
        activation: name of the nonlinearity; ``"none"`` for a linear network.
        normalization: ``"weight"`` (w = g v / |v| per output: Salimans & Kingma 2016, eq. 2), ``"group"`` (within
            each image: Wu & He 2018), ``"batch"`` (in training, images then depend on each other) or ``"none"``.

    Raises:
        RecipeError: unknown name.
    """

    activation: Activation
    normalization: Normalization

    def __post_init__(self) -> None:
        check_name("activation", self.activation, get_args(Activation))
        check_name("normalization", self.normalization, get_args(Normalization))

    @property
    def capabilities(self) -> frozenset[str]:
        """What a network of this style declares."""
        return frozenset({"batch_dependent"}) if self.normalization == "batch" else frozenset()

    @property
    def bias(self) -> bool:
        """Whether layers before a normalization need a bias: not where the normalization has its own."""
        return self.normalization in ("none", "weight")

    def activate(self, *, in_place: bool = False) -> nn.Module:
        """A new activation module.

        Args:
            in_place: overwrite the input if the gradient can do without it: one map less to write, and to keep for the
                backward pass. Only where neither the layer before, as a normalization or an affine layer, nor anything
                else reads its output again.
        """
        made = _ACTIVATIONS[self.activation]
        return made(inplace=True) if in_place and self.activation in _IN_PLACE else made()

    def prepare(self, layer: L, *, gain: float = 1.0) -> L:
        """The layer itself, initialized in place, and weight-normalized per output if that is the style.

        Biases are 0; weights are uniform such that outputs vary as much as the activations' inputs do (He et al. 2015,
        eq. 10, with the gain of whichever activation it is).

        Args:
            layer: to initialize.
            gain: of what else stands before the layer, such as a gate.
        """
        bound = gain * self._gain() * math.sqrt(3 / _fan_in(layer))
        nn.init.uniform_(layer.weight, -bound, bound)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        if self.normalization == "weight":
            weight_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)  # in place
        return layer

    def normalize_features(self, width: int) -> nn.Module:
        """Normalization of vectors (N, width).

        Raises:
            RecipeError: group normalization of a single feature, which is always 0.
        """
        if self.normalization == "group" and width == 1:
            raise RecipeError(
                "normalization 'group' needs layers of at least 2 features; a layer has 1",
                hint="widen the layer, or use normalization: weight",
            )
        return self._normalize(width, _LEAST_FEATURES_IN_GROUP, nn.BatchNorm1d)

    def normalize_maps(self, channels: int, *, affine: bool = True) -> nn.Module:
        """Normalization of maps (N, channels, H, W), with a trained scale and shift of each channel or without.

        Raises:
            RecipeError: group normalization of a single channel, which is always 0 where its map is a single pixel.
        """
        if self.normalization == "group" and channels == 1:
            raise RecipeError(
                "normalization 'group' needs maps of at least 2 channels; one has 1",
                hint="use more channels, or normalization: weight",
            )
        return self._normalize(channels, _LEAST_CHANNELS_IN_GROUP, MapBatchNorm, affine=affine)

    def dense(self, inputs: int, outputs: int) -> nn.Sequential:
        """A fully connected layer, its normalization and its activation: (N, inputs) -> (N, outputs)."""
        layer = self.prepare(nn.Linear(inputs, outputs, bias=self.bias))
        return nn.Sequential(layer, self.normalize_features(outputs), self.activate(in_place=True))

    def _normalize(self, width: int, least: int, batch_norm: type[nn.Module], *, affine: bool = True) -> nn.Module:
        if self.normalization == "group":
            return nn.GroupNorm(num_groups(width, least), width, affine=affine)
        return batch_norm(width, affine=affine) if self.normalization == "batch" else nn.Identity()

    def _gain(self) -> float:
        """1 / √E[activation(u)²] for u ~ N(0, 1), by quantiles."""
        u = torch.special.ndtri((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)
        return float(self.activate()(u).square().mean().rsqrt())


def num_groups(width: int, least: int) -> int:
    """The largest divisor of ``width`` up to 8 that leaves ``least`` values to a group; 1 if there is none."""
    return max(g for g in range(1, _MOST_GROUPS + 1) if g == 1 or (width % g == 0 and width // g >= least))


def check_positive(name: str, *values: int) -> None:
    """Refuses sizes below 1.

    Raises:
        RecipeError: naming the argument.
    """
    for value in values:
        if value < 1:
            raise RecipeError(f"{name} must be at least 1; got {value}", hint=f"give {name} positive sizes")


def check_used(style: Style, *, normalized: int, weighed: int) -> None:
    """Refuses a normalization that would have no effect.

    Args:
        style: of the network.
        normalized: how many layers have a normalization after them.
        weighed: how many layers can be weight-normalized.

    Raises:
        RecipeError: the style's normalization has no layer to act on.
    """
    if style.normalization != "none" and not (weighed if style.normalization == "weight" else normalized):
        raise RecipeError(
            f"normalization {style.normalization!r} has no effect without hidden layers",
            hint="give hidden: [512], or normalization: none",
        )


def _fan_in(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d) -> float:
    """How many inputs each output sums over."""
    if isinstance(layer, nn.ConvTranspose2d):
        return layer.weight.size(0) * layer.weight[0, 0].numel() / math.prod(layer.stride)
    return layer.weight[0].numel()


def check_name(what: str, given: str, known: tuple[str, ...]) -> None:
    """Refuses a name that is not in the list.

    Raises:
        RecipeError: with the known names and the nearest of them.
    """
    if given not in known:
        hint = nearest_hint(given, known)
        raise RecipeError(f"unknown {what} {given!r}; known: {', '.join(known)}", hint=hint)
