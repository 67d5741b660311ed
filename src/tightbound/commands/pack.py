"""``tightbound data pack``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tightbound.commands.console import say
from tightbound.commands.show import data_settings
from tightbound.data.packed import pack
from tightbound.errors import RecipeError


def pack_folder(arguments: Sequence[str], out: Path | None) -> str:
    """Packs a folder of images; a sentence on how to use it.

    Args:
        arguments: the folder, then settings such as ``data.size=[64,64]``.
        out: the new folder; None for the folder's name with ``-packed``, in the current one.

    Raises:
        RecipeError: no folder is named, or a setting is wrong or has no effect here.
        DataError: its images cannot be read, or the new folder cannot be written.
    """
    if not arguments or "=" in arguments[0]:
        raise RecipeError("data pack: expected a folder of images", hint="tightbound data pack FOLDER")
    folder, overrides = Path(arguments[0]).expanduser(), arguments[1:]
    if not folder.is_dir():
        raise RecipeError(f"data pack: {folder} is no folder", hint="tightbound data pack FOLDER")
    place = Path(f"{folder.resolve().name}-packed") if out is None else out
    count = pack(folder, place, data_settings(str(folder), overrides), say)
    return f"{count:,} images packed; use them by data.name={place}"
