"""Progress of an evaluation whose one tile may take minutes: counted in work, told in images."""

from __future__ import annotations

from collections.abc import Callable


class Meter:
    """Turns finished work into the number of images that this is worth.

    Args:
        progress: called with images done (a fraction while it goes on) and images in all; None tells nobody.
        images: in all.
        work: in all, in any unit.
    """

    def __init__(self, progress: Callable[[float, int], None] | None, images: int, work: float) -> None:
        self._progress, self._images, self._work, self._done = progress, images, work, 0.0

    def tick(self, work: float) -> Callable[[], None]:
        """What to call when so much work more is done."""
        return lambda: self.add(work)

    def add(self, work: float) -> None:
        """So much more is done."""
        self._done += work
        if self._progress is not None:
            self._progress(min(self._images * self._done / self._work, self._images), self._images)

    def finish(self) -> None:
        """All is done."""
        if self._progress is not None:
            self._progress(self._images, self._images)
