"""One module a file format, behind one interface.

Each format module has `decode(data, max_pixels)` and `encode(data, change)` as described here.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from transforms.codecs import jpeg, png
from transforms.codecs.errors import CodecError, UnsupportedFormat
from transforms.codecs.photo import DecodedPhoto, EncodedPhoto

__all__ = [
    "CodecError",
    "DecodedPhoto",
    "EncodedPhoto",
    "UnsupportedFormat",
    "decode",
    "encode",
    "sniff",
]

# The limit that counts is the caller's `max_pixels`, checked before any pixel is decoded.
Image.MAX_IMAGE_PIXELS = None

_FORMATS = {"JPEG": jpeg, "PNG": png}


def sniff(data: bytes) -> str | None:
    """The format by the first bytes, "JPEG" or "PNG"; None for anything else."""
    return next((name for name, module in _FORMATS.items() if data.startswith(module.MAGIC)), None)


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """The pixels of a photo.

    Raises:
        UnsupportedFormat: a kind of file that this version does not write.
        CodecError: damaged, cut off, or larger than `max_pixels`.
    """
    return _module(data).decode(data, max_pixels)


def encode(data: bytes, change: np.ndarray) -> EncodedPhoto:
    """The photo with its luminance changed, everything else as it was.

    Args:
        data: the original file.
        change: float32 (H, W) in 8-bit levels, upright; the same is added to red, green and blue.
            Where it is 0 the picture stays as it is.

    Raises:
        CodecError: the photo cannot be written in its own format.
    """
    return _module(data).encode(data, change)


def _module(data: bytes):
    found = sniff(data)
    if found is None:
        raise UnsupportedFormat("neither JPEG nor PNG")
    return _FORMATS[found]
