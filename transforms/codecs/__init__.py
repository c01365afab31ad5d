"""One module per file format, behind one interface.

Each format module has `decode(data, max_pixels)` and `encode(data, change, rebuild_thumbnails)` as
described here; without a change (None) `encode` does what `alone` says.
"""

from __future__ import annotations

from types import ModuleType

from photoveil.transforms import process_wide
from photoveil.transforms.codecs import bmp, gif, heif, jpeg, names, png, rests, tiff, webp
from photoveil.transforms.codecs.change import Patch, PhotoChange
from photoveil.transforms.codecs.errors import (
    CodecError,
    MissingPackage,
    TooMuch,
    UnsupportedFormat,
    explained,
)
from photoveil.transforms.codecs.photo import DecodedPhoto, EncodedPhoto
from photoveil.transforms.reasons import Reason

__all__ = [
    "CodecError",
    "DecodedPhoto",
    "EncodedPhoto",
    "MissingPackage",
    "Patch",
    "PhotoChange",
    "TooMuch",
    "UnsupportedFormat",
    "alone",
    "decode",
    "encode",
    "oddities",
    "sniff",
    "unread",
    "without_names",
    "without_video",
]

process_wide.leave_size_to_codecs()
process_wide.hush_tifffile()

_BY_MAGIC: dict[bytes, tuple[str, ModuleType]] = {
    jpeg.MAGIC: ("JPEG", jpeg),
    png.MAGIC: ("PNG", png),
    gif.MAGIC: ("GIF", gif),
    bmp.MAGIC: ("BMP", bmp),
    **dict.fromkeys(tiff.MAGICS, ("TIFF", tiff)),
}


def sniff(data: bytes) -> str | None:
    """Recognise the format of a file by its first 32 bytes.

    A camera's raw file may look like a TIFF until it is decoded.

    Returns:
        "JPEG", "PNG", "WebP", "TIFF", "HEIC", "AVIF", "BMP" or "GIF"; None for anything else.
    """
    return _sniffed(data)[0]


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """Decode the pixels of a photo.

    Raises:
        UnsupportedFormat: a kind of file that this version does not write.
        CodecError: damaged, cut off, or with more pixels than `max_pixels`.
    """
    with explained(Reason.DAMAGED):
        return _module(data).decode(data, max_pixels)


def encode(data: bytes, change: PhotoChange, rebuild_thumbnails: bool = True) -> EncodedPhoto:
    """Move pixels of a photo, change their luminance, and keep everything else as it was.

    Args:
        data: the original file.
        change: of the upright photo. All channels of a pixel are moved, and the same levels are
            added to red, green and blue. Where both are 0 the picture stays as it is.
        rebuild_thumbnails: rebuild thumbnails from the changed photo; otherwise remove them.

    Raises:
        UnsupportedFormat: a kind of file that this version does not write.
        CodecError: the photo cannot be written in its own format.
    """
    with explained(Reason.NOT_REWRITTEN):
        return _module(data).encode(data, change, rebuild_thumbnails)


def alone(data: bytes, rebuild_thumbnails: bool = True) -> EncodedPhoto:
    """Remove every other picture from a photo's file and leave its own pixels as they are coded.

    The other pictures are treated as in `encode`: rebuilt from the photo, or removed.

    Raises:
        CodecError: damaged, or a kind of file that this version does not write.
    """
    with explained(Reason.NOT_REWRITTEN):
        return _module(data).encode(data, None, rebuild_thumbnails)


def without_names(data: bytes) -> tuple[bytes, int]:
    """Remove the people tags from the metadata and leave pixels and all else untouched.

    Returns:
        The new file, and how many face regions and lists of names it had.

    Raises:
        CodecError: damaged or cut off.
    """
    module = _sniffed(data)[1]
    with explained(Reason.DAMAGED):
        if module in (jpeg, png):  # which split, compress or check what they carry
            return module.without_names(data)
        return names.without_names(data)


def without_video(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Remove the video from a motion photo.

    Returns:
        The new file, its pixels and all else untouched, and what was done.

    Raises:
        CodecError: damaged or cut off.
    """
    module = _sniffed(data)[1]
    with explained(Reason.DAMAGED):
        return module.without_video(data) if module in (jpeg, heif) else (data, ())


def oddities(data: bytes) -> tuple[str, ...]:
    """Describe the defects of a photo that most viewers tolerate and a strict reader would refuse.

    Raises:
        CodecError: damaged or cut off.
    """
    module = _sniffed(data)[1]
    with explained(Reason.DAMAGED):
        return module.oddities(data) if module in (jpeg, png, gif, bmp, webp) else ()


def unread(data: bytes) -> list[bytes]:
    """Find the bytes of a photo's file that no reader of its format reads.

    They are what follows its end and is not known metadata, what is between its parts, and rows
    beyond its height. Filler, and what is too short for a picture, is left out.

    Raises:
        CodecError: damaged or cut off.
    """
    module = _sniffed(data)[1]
    with explained(Reason.DAMAGED):
        found = module.unread(data) if module else []
    return [one for one in found if rests.may_show(one)]


def _sniffed(data: bytes) -> tuple[str | None, ModuleType | None]:
    if webp.is_webp(data):
        return "WebP", webp
    if kind := heif.kind(data):
        return kind, heif
    found = (entry for magic, entry in _BY_MAGIC.items() if data.startswith(magic))
    return next(found, (None, None))


def _module(data: bytes) -> ModuleType:
    module = _sniffed(data)[1]
    if module is None:
        raise UnsupportedFormat(Reason.NO_KNOWN_FORMAT)
    return module
