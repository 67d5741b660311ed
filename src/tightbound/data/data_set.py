"""What a shipped data set is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from tightbound.data.images import Parts
from tightbound.data.progress import Progress


class DataSet(ABC):
    """A data set with a name. Adding one: subclass in a small file, set the attributes, implement the three methods,
    and register it: ``@register("data", "my_set")``; recipes, ``tightbound data`` and ``load_data`` then know it.

    Attributes:
        binarize: what ``binarize: auto`` means for it.
        validation: how many training images are kept apart where it brings no validation images of its own.
        test: how many of its images are held out as test images where it brings none of its own.
        test_seed: the held-out test images are the same for every ``data.seed``; this draws them.
    """

    binarize: ClassVar[str] = "none"
    validation: ClassVar[int] = 0
    test: ClassVar[int] = 0
    test_seed: ClassVar[int] = 0

    @abstractmethod
    def files(self) -> list[Path] | None:
        """The files it is read from, or None if some are missing; an empty list if it needs none."""

    @abstractmethod
    def how_to_get(self) -> str:
        """Where it comes from, or where to put which files: one sentence."""

    @abstractmethod
    def read(self, progress: Progress = None) -> Parts:
        """Its images, downloaded first if that is needed and possible.

        Raises:
            DataError: for missing or damaged files.
        """


class PartialDataSet(DataSet):
    """A set of which a part is read where only that is there, but never unasked: ``data.partial=true`` asks."""

    @abstractmethod
    def read_partial(self, progress: Progress = None) -> Parts:
        """What there is of it. Edition and notes say what that is, so that every result does.

        Raises:
            DataError: for damaged files, or no image to train on.
        """
