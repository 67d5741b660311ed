"""Arrays of a Matlab 5 file. SciPy is imported when the first is read."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tightbound.errors import DataError

# What SciPy's reader can raise on a cut or overwritten file, for most of which it has no error of its own;
# NotImplementedError is a file of Matlab 7.3. Only the call of the reader is under it.
_BROKEN = (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError, zlib.error)


def read_matlab(path: Path, names: Sequence[str]) -> dict[str, Any]:
    """Those of the named arrays that the file has.

    Raises:
        DataError: for a damaged file.
    """
    import scipy.io

    try:
        return scipy.io.loadmat(str(path), variable_names=names)
    except (*_BROKEN, scipy.io.matlab.MatReadError) as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="delete it and get it again") from error
