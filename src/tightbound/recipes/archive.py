"""A zip of a run folder, unpacked where nothing outside its own folder can be written."""

from __future__ import annotations

import atexit
import shutil
import stat
import tempfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from tightbound.errors import RunError

_MARK = "resolved.json"


def unpack(path: Path) -> Path:
    """The run folder inside a zip, in a temporary place that lasts as long as the process.

    Raises:
        RunError: it is not a zip, is damaged, holds no run or several, or names files outside its folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                _check(path, member)
            target = Path(tempfile.mkdtemp(prefix="tightbound-"))
            atexit.register(shutil.rmtree, target, ignore_errors=True)
            archive.extractall(target, members)
    # Beside damage: RuntimeError is a zip with a password, NotImplementedError a compression that Python lacks.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
        raise RunError(f"{path} is not a run folder nor a whole zip of one: {error}") from error
    runs = sorted(mark.parent for mark in target.rglob(_MARK))
    if len(runs) != 1:
        raise RunError(f"{path}: expected one run in the zip, with its {_MARK}; got {len(runs)}")
    return runs[0]


def _check(path: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename.replace("\\", "/"))
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0] or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise RunError(f"{path}: refused: the zip names {member.filename!r}, which is not a file inside its own folder")
