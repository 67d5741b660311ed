"""How layers are activated, normalized and initialized: the choices that all networks share."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar, get_args

from annotated_types import Ge
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tightbound.errors import RecipeError
from tightbound.registry import nearest_hint

Activation = Literal["relu", "elu", "gelu", "silu", "tanh", "leaky_relu", "softplus", "none"]
Normalization = Literal["none", "weight", "group", "batch"]
Positive = Annotated[int, Ge(1)]
Widths = tuple[Positive, ...]

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "softplus": nn.Softplus,
    "none": nn.Identity,
}
_MOST_GROUPS = 8
# A group of few values loses much of what it says: its mean and its scale are taken out.
_LEAST_FEATURES_IN_GROUP = 16
_LEAST_CHANNELS_IN_GROUP = 4

L = TypeVar("L", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


@dataclass(frozen=True)
class Style:
    """The activation and normalization of a network's layers, and a maker of such layers.

    Args:
        activation: name of the nonlinearity; ``"none"`` for a linear network.
        normalization: ``"weight"`` (Salimans & Kingma 2016, w = g v / |v| per output), ``"group"`` (Wu & He 2018, within
            each image), ``"batch"`` (one image's output then depends on the others while training) or ``"none"``.

    Raises:
        RecipeError: unknown name.
    """

    activation: Activation
    normalization: Normalization

    def __post_init__(self) -> None:
        _check_name("activation", self.activation, get_args(Activation))
        _check_name("normalization", self.normalization, get_args(Normalization))

    @property
    def capabilities(self) -> frozenset[str]:
        """What a network of this style declares."""
        return frozenset({"batch_dependent"}) if self.normalization == "batch" else frozenset()

    @property
    def bias(self) -> bool:
        """Whether layers before a normalization need a bias: not where the normalization has its own."""
        return self.normalization in ("none", "weight")

    def activate(self) -> nn.Module:
        """A new activation module."""
        return _ACTIVATIONS[self.activation]()

    def weigh(self, layer: L) -> L:
        """The layer itself, weight-normalized per output if that is the style."""
        if self.normalization != "weight":
            return layer
        return weight_norm(layer, dim=1 if isinstance(layer, nn.ConvTranspose2d) else 0)

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

    def normalize_maps(self, channels: int) -> nn.Module:
        """Normalization of maps (N, channels, H, W)."""
        return self._normalize(channels, _LEAST_CHANNELS_IN_GROUP, nn.BatchNorm2d)

    def _normalize(self, width: int, least: int, batch_norm: type[nn.Module]) -> nn.Module:
        if self.normalization == "group":
            return nn.GroupNorm(num_groups(width, least), width)
        return batch_norm(width) if self.normalization == "batch" else nn.Identity()

    def dense(self, inputs: int, outputs: int) -> nn.Sequential:
        """A fully connected layer, its normalization and its activation: (N, inputs) -> (N, outputs)."""
        layer = self.weigh(nn.Linear(inputs, outputs, bias=self.bias))
        return nn.Sequential(layer, self.normalize_features(outputs), self.activate())


def num_groups(width: int, least: int) -> int:
    """The largest divisor of ``width`` up to 8 that leaves ``least`` values to a group; 1 if there is none."""
    return max(g for g in range(1, _MOST_GROUPS + 1) if g == 1 or (width % g == 0 and width // g >= least))


def xavier(layer: L) -> L:
    """Xavier-uniform weights and zero biases, in place.

    A transposed convolution of stride s hears only 1/s² of its kernel at each output, which the gain makes up for.
    """
    gain = math.sqrt(math.prod(layer.stride)) if isinstance(layer, nn.ConvTranspose2d) else 1.0
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def check_positive(name: str, *values: int) -> None:
    """Refuses sizes below 1.

    Raises:
        RecipeError: naming the argument.
    """
    for value in values:
        if value < 1:
            raise RecipeError(f"{name} must be at least 1; got {value}", hint=f"give {name} positive sizes")


def check_matters(style: Style, hidden: tuple[int, ...]) -> None:
    """Refuses a normalization that no layer would use.

    Raises:
        RecipeError: a normalization without hidden layers.
    """
    if not hidden and style.normalization != "none":
        raise RecipeError(
            f"normalization {style.normalization!r} has no effect without hidden layers",
            hint="give hidden: [512], or normalization: none",
        )


def _check_name(what: str, given: str, known: tuple[str, ...]) -> None:
    if given not in known:
        hint = nearest_hint(given, known)
        raise RecipeError(f"unknown {what} {given!r}; known: {', '.join(known)}", hint=hint)
