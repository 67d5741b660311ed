"""The `data:` section of a recipe."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Le

from tightbound.errors import RecipeError
from tightbound.registry import nearest_hint

Binarize = Literal["auto", "none", "static", "dynamic", "threshold"]
Dequantize = Literal["none", "uniform"]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Which images, and what is done to them before a model sees them.

    Args:
        name: a shipped name, a folder of images, or an .npy or .npz file.
        binarize: how gray levels become 0 or 1. ``auto`` is what the set defines (digits, mnist and omniglot: dynamic;
            else none); ``dynamic`` draws a pixel of value x as 1 with probability x each time it is read; ``static``
            draws once, when the set is loaded; ``threshold`` is 1 above the middle.
        dequantize: ``uniform`` spreads level k of L over the cell (k + u) / (L + 1), u uniform in [0, 1).
        validation: images kept apart from training; None is the set's own number, 0 keeps none.
        train_limit: train on so many images only.
        train_split: ``test`` trains on the test images, as some published protocols do.
        size: (height, width) that a folder's images are brought to; None: they must all have one size.
        resize: ``crop`` brings the shorter side to ``size`` and cuts the center out; ``stretch`` ignores the aspect
            ratio.
        color: ``auto`` is what the files are; ``rgb`` or ``gray`` converts.
        levels: the largest gray level of your own integer pixels, such as 16 for counts from 0 to 16: level k is then
            k / levels, floats must be such, and larger integers are refused. None is 255, or 1 where all are 0 and 1.
            Of shipped sets it is known.
        skip_bad: leave out unreadable image files, and count them, instead of stopping.
        partial: of a shipped set some of whose files are missing or cut short (cifar10), use what is there; the set's
            name, and so every result, then says what that was.
        seed: of the splits and of static binarization.

    Raises:
        RecipeError: for a value outside its range or its list.
    """

    name: str = "digits"
    binarize: Binarize = "auto"
    dequantize: Dequantize = "none"
    validation: Annotated[int, Ge(0)] | None = None
    train_limit: Annotated[int, Ge(1)] | None = None
    train_split: Literal["train", "test"] = "train"
    size: tuple[Annotated[int, Ge(1)], Annotated[int, Ge(1)]] | None = None
    resize: Literal["crop", "stretch"] = "crop"
    color: Literal["auto", "rgb", "gray"] = "auto"
    levels: Annotated[int, Ge(1), Le(255)] | None = None
    skip_bad: bool = False
    partial: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        for key in ("binarize", "dequantize", "train_split", "resize", "color"):
            _check_choice(key, getattr(self, key), typing.get_args(hints[key]))
        _check_least("validation", self.validation, 0)
        _check_least("train_limit", self.train_limit, 1)
        _check_least("levels", self.levels, 1)
        if self.levels is not None and self.levels > 255:
            raise RecipeError(f"data.levels: expected 255 or less; got {self.levels}")
        if self.size is not None:
            if len(self.size) != 2:
                raise RecipeError(f"data.size: expected (height, width); got {self.size!r}")
            for side in self.size:
                _check_least("size", side, 1)


def _check_choice(key: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        message = f"data.{key}: expected one of {', '.join(choices)}; got {value!r}"
        raise RecipeError(message, hint=nearest_hint(str(value), choices))


def _check_least(key: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise RecipeError(f"data.{key}: expected {least} or more; got {value}")
