"""From the parts of a set to its splits: what is kept apart, held out, limited and binarized."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tightbound.data.binarize import binarized, check_dequantize
from tightbound.data.images import Images, Parts
from tightbound.data.settings import DataSettings
from tightbound.data.split import Data, Split
from tightbound.errors import DataError, RecipeError
from tightbound.numerics.noise import generator_for

OWN_SHARE = 0.1  # of the user's own images: kept apart for validation, and held out for the test


@dataclass(frozen=True)
class Habits:
    """What a set does where the settings leave it open.

    Args:
        binarize: what ``auto`` means.
        validation: images kept apart where the set has no validation images; None: a tenth of them.
        test: images held out where the set has no test images; None: a tenth of them.
        test_seed: draws the held-out test images; None: ``data.seed`` does.
    """

    binarize: str = "none"
    validation: int | None = None
    test: int | None = None
    test_seed: int | None = None


def assemble(name: str, parts: Parts, settings: DataSettings, habits: Habits) -> Data:
    """The splits of a set.

    Raises:
        DataError: if there are too few images for what is asked.
        RecipeError: if settings contradict each other or these data.
    """
    notes = list(parts.notes)
    parts, binarize = binarized(parts, settings, habits.binarize, notes)
    check_dequantize(parts.train.levels, binarize, settings)
    total = len(parts.train)
    train, test = parts.train, parts.test
    count = _tenth(total) if habits.test is None else habits.test
    if test is None and count > 0:
        seed = settings.seed if habits.test_seed is None else habits.test_seed
        train, test = _hold_out(name, train, count, seed, "test split")
        if habits.test is None:
            notes.append(
                f"test: {count:,} of {total:,} images held out, since the data name none (data.seed={settings.seed})"
            )
    train, validation = _validation(name, train, parts.validation, total, settings, habits, notes)
    if settings.train_split == "test":
        if test is None:
            raise DataError(f"{name}: expected test images to train on (data.train_split=test); it has none")
        train = test
        notes.append("trained on the test images (data.train_split=test): numbers on them are training numbers")
    train = _limited(name, train, settings, notes)
    _check_shape(name, train, settings)

    def split(images: Images | None) -> Split | None:
        return None if images is None else Split(images, binarize, settings.dequantize)

    return Data(name, Split(train, binarize, settings.dequantize), split(validation), split(test), tuple(notes))


def whole(parts: Parts, settings: DataSettings, habits: Habits) -> Split:
    """The test images of a set if it names some, else all of them, as one split."""
    parts, binarize = binarized(parts, settings, habits.binarize, [])
    check_dequantize(parts.train.levels, binarize, settings)
    return Split(parts.train if parts.test is None else parts.test, binarize, settings.dequantize)


def _tenth(count: int) -> int:
    return max(1, round(count * OWN_SHARE))


def _hold_out(name: str, images: Images, count: int, seed: int, purpose: str) -> tuple[Images, Images]:
    """(the rest, ``count`` random images), each in the order of the data."""
    if count >= len(images):
        raise DataError(
            f"{name}: expected at least {count + 1:,} images to keep {count:,} apart ({purpose}); got {len(images):,}",
            hint="data.validation=0 keeps no validation images"
            if purpose == "validation split"
            else "give more images",
        )
    order = torch.randperm(len(images), generator=generator_for(seed, purpose))
    return images.select(order[:-count].sort().values), images.select(order[-count:].sort().values)


def _validation(
    name: str,
    train: Images,
    given: Images | None,
    total: int,
    settings: DataSettings,
    habits: Habits,
    notes: list[str],
) -> tuple[Images, Images | None]:
    """(images to train on, images to choose checkpoints by)."""
    if given is not None:
        return _given_validation(name, train, given, settings.validation, notes)
    count = settings.validation
    if count is None:
        count = _tenth(total) if habits.validation is None else habits.validation
    if count == 0:
        return train, None
    notes.append(f"validation: {count:,} of {len(train):,} training images kept apart (data.seed={settings.seed})")
    return _hold_out(name, train, count, settings.seed, "validation split")


def _given_validation(
    name: str, train: Images, given: Images, count: int | None, notes: list[str]
) -> tuple[Images, Images | None]:
    """The set's own validation images; another number is cut from the end of both parts together."""
    if count is None or count == len(given):
        return train, given
    both = train.join(given)
    if count >= len(both):
        raise DataError(f"{name}: expected data.validation below {len(both):,}, the images there are; got {count:,}")
    rows = torch.arange(len(both))
    rest = len(both) - count
    notes.append(f"validation: {count:,} images instead of the set's own {len(given):,}; {rest:,} to train on")
    return both.select(rows[:rest]), both.select(rows[rest:]) if count else None


def _limited(name: str, train: Images, settings: DataSettings, notes: list[str]) -> Images:
    limit = settings.train_limit
    if limit is None:
        return train
    if limit > len(train):
        raise DataError(f"{name}: expected data.train_limit up to {len(train):,}, the training images; got {limit:,}")
    notes.append(f"trained on {limit:,} of {len(train):,} images (data.train_limit, data.seed={settings.seed})")
    order = torch.randperm(len(train), generator=generator_for(settings.seed, "training images"))
    return train.select(order[:limit].sort().values)


def _check_shape(name: str, images: Images, settings: DataSettings) -> None:
    """Size and color can only be brought about in a folder of images; elsewhere they must be true already."""
    channels, height, width = images.image_shape
    if settings.size is not None and tuple(settings.size) != (height, width):
        raise RecipeError(
            f"data.size: expected {height} x {width}, the size of {name}; got {settings.size[0]} x {settings.size[1]}",
            hint="only a folder of images is resized",
        )
    wanted = {"auto": channels, "rgb": 3, "gray": 1}[settings.color]
    if wanted != channels:
        raise RecipeError(
            f"data.color: expected the {channels} channels of {name}; got {settings.color}",
            hint="only a folder of images is converted",
        )
