"""One image file -> one array of bytes. Pillow is imported when the first file is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"})
_GRAY = ("1", "L", "LA", "La")
_COLOR = ("RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")
_ALPHA = ("RGBA", "RGBa", "LA", "La", "PA")
_ROTATED = (5, 6, 7, 8)  # EXIF orientations that swap height and width
_ORIENTATION = 0x0112

T = TypeVar("T")


@dataclass(frozen=True)
class Unreadable:
    """A file that is no usable image, and why."""

    reason: str


@dataclass(frozen=True)
class Header:
    """What a file says before its pixels are read.

    Args:
        color: ``"gray"`` or ``"rgb"``.
        height: in pixels, after the rotation that a camera noted.
        width: the same.
        transparent: whether it has an alpha channel.
    """

    color: Literal["gray", "rgb"]
    height: int
    width: int
    transparent: bool


def read_header(path: Path) -> Header | Unreadable:
    """Color and size of an image file."""

    def header(image: Image) -> Header | Unreadable:
        if image.mode not in _GRAY + _COLOR:
            return Unreadable(f"expected 8 bits a channel; got pixels of mode {image.mode}")
        width, height = image.size
        if _has_exif(image) and image.getexif().get(_ORIENTATION) in _ROTATED:
            width, height = height, width
        transparent = image.mode in _ALPHA or "transparency" in image.info
        return Header("gray" if image.mode in _GRAY else "rgb", height, width, transparent)

    return with_image(path, header)


def decode(path: Path, color: str, size: tuple[int, int], resize: str) -> np.ndarray | Unreadable:
    """The pixels of an image file, upright.

    Args:
        path: the file.
        color: ``"gray"`` or ``"rgb"``; converted to it (gray by ITU-R 601 luma). Transparent parts are laid over white.
        size: (height, width); an image of this size is not resampled, another is by Lanczos' filter.
        resize: ``"crop"`` or ``"stretch"``, see ``DataSettings``.

    Returns:
        uint8 (H, W) or (3, H, W).
    """

    def pixels(image: Image) -> np.ndarray:
        array = np.asarray(_brought_to(_flat(image, color), size, resize))
        return array if array.ndim == 2 else array.transpose(2, 0, 1)

    return with_image(path, pixels)


def with_image(path: Path, use: Callable[[Image], T]) -> T | Unreadable:
    """What ``use`` makes of the opened file, or why it is no usable image."""
    import PIL.Image

    try:
        # Not PIL.Image.open(path): by name, Pillow maps plain TIFFs into memory and gets turned ones wrong (13.0).
        with path.open("rb") as file, PIL.Image.open(file) as image:
            return use(image)
    except MemoryError:
        raise
    except PIL.UnidentifiedImageError:
        return Unreadable("empty" if path.stat().st_size == 0 else "no image format that Pillow knows")
    except Exception as error:  # the plugins raise OSError, SyntaxError, ValueError, struct.error, EOFError and more
        return Unreadable(str(error) or type(error).__name__)


def _has_exif(image: Image) -> bool:
    """Whether a rotation may be noted: asked before the pixels are read, which ``getexif`` of a plain PNG would do.

    A TIFF says no, and is turned by Pillow itself.
    """
    return "exif" in image.info


def _flat(image: Any, color: str) -> Any:
    """Upright, without alpha, in the wanted mode."""
    import PIL.Image
    import PIL.ImageOps

    if _has_exif(image):
        image = PIL.ImageOps.exif_transpose(image)
    if image.mode in _ALPHA or "transparency" in image.info:
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if color == "gray" else "RGB")


def _brought_to(image: Any, size: tuple[int, int], resize: str) -> Any:
    import PIL.Image
    import PIL.ImageOps

    height, width = size
    if image.size == (width, height):
        return image
    if resize == "stretch":
        return image.resize((width, height), PIL.Image.Resampling.LANCZOS)
    return PIL.ImageOps.fit(image, (width, height), PIL.Image.Resampling.LANCZOS)
