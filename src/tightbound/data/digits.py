"""The 1,797 8 × 8 digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path

import numpy as np
import torch

from tightbound.data.data_set import DataSet
from tightbound.data.images import Images, Parts
from tightbound.data.progress import Progress
from tightbound.errors import DataError
from tightbound.registry import register


@register("data", "digits")
class Digits(DataSet):
    """Handwritten digits, 1,797 of 8 × 8 with gray levels 0 to 16, embedded: 1,297 / 200 / 300.

    From E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
    """

    binarize = "dynamic"
    validation = 200
    test = 300

    def files(self) -> list[Path] | None:
        """The file inside scikit-learn."""
        path = _file()
        return None if path is None else [path]

    def how_to_get(self) -> str:
        """It is there."""
        return "comes with scikit-learn"

    def read(self, progress: Progress = None) -> Parts:
        """All 1,797 images: which are test images is decided with the splits."""
        table = _table()
        pixels = torch.from_numpy(table[:, :64].astype(np.uint8)).reshape(-1, 1, 8, 8)
        return Parts(Images(pixels, levels=16, labels=torch.from_numpy(table[:, 64].astype(np.int64))))


def _file() -> Path | None:
    # Finding the package does not import it: that takes three seconds, pandas included.
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return path if path.is_file() else None


def _table() -> np.ndarray:
    """(1797, 65): 64 pixels and the label."""
    path = _file()
    if path is None:
        raise DataError(
            "digits: the file inside scikit-learn is missing", hint="pip install --force-reinstall scikit-learn"
        )
    try:
        with gzip.open(path, "rt") as lines:
            return np.loadtxt(lines, delimiter=",")
    except (OSError, EOFError, ValueError) as error:
        hint = "pip install --force-reinstall scikit-learn"
        raise DataError(f"{path}: cannot be read: {error}", hint=hint) from error
