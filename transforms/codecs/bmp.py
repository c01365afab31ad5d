"""BMP: full-colour pixels change where they lie; fewer bits a pixel become 24."""

from __future__ import annotations

import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

from transforms.codecs.errors import CodecError
from transforms.codecs.orientation import Orientation
from transforms.codecs.photo import (
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    decoded,
    open_image,
    with_change,
)

MAGIC = b"BM"

_FORMATS = ("BMP",)
_FILE_HEADER = 14
_RGB, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
_BLUE_GREEN_RED = (0xFF0000, 0xFF00, 0xFF)  # masks of red, green, blue
_V5 = 124  # bytes of the header that can point to a colour profile


class _Layout(NamedTuple):
    """Where the pixels lie: bytes a row, bytes a pixel, rows from the top."""

    start: int
    stride: int
    width: int
    height: int
    size: int
    top_down: bool

    @property
    def end(self) -> int:
        return self.start + self.stride * self.height


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = open_image(data, _FORMATS, max_pixels)
    return decoded("BMP", np.asarray(image.convert("RGB")), Orientation())


def encode(data: bytes, change: np.ndarray | None, rebuild_thumbnails: bool = True) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`."""
    if change is None:
        return _cut(data)
    layout = _layout(data)
    if layout is None:
        return _widened(data, change)
    rows = np.frombuffer(data, np.uint8, layout.stride * layout.height, layout.start)
    rows = rows.reshape(layout.height, layout.stride).copy()
    pixels = rows[:, : layout.width * layout.size].reshape(layout.height, layout.width, -1)
    pixels = pixels if layout.top_down else pixels[::-1]
    changed = with_change(pixels, change)
    changed = changed if layout.top_down else changed[::-1]
    rows[:, : layout.width * layout.size] = changed.reshape(layout.height, -1)
    end = max(layout.end, _profile_end(data))
    left_over = data[end:].strip(b"\0")
    notes = ("data after the end of the image removed",) if left_over else ()
    return EncodedPhoto(data[: layout.start] + rows.tobytes() + data[layout.end : end], notes)


def _cut(data: bytes) -> EncodedPhoto:
    """The file up to the end of its pixels."""
    try:
        (start,) = struct.unpack_from("<I", data, 10)
        _, width, height, _, bits, compression, size = struct.unpack_from(
            "<IiiHHII", data, _FILE_HEADER
        )
    except struct.error as error:
        raise CodecError(f"damaged or cut off ({error})") from error
    if compression in (_RGB, _BITFIELDS, _ALPHA_BITFIELDS):
        size = (bits * width + 31) // 32 * 4 * abs(height)
    end = max(start + size, _profile_end(data))
    notes = ("data after the end of the image removed",) if data[end:].strip(b"\0") else ()
    return EncodedPhoto(data[:end], notes)


def _layout(data: bytes) -> _Layout | None:
    """None for a kind of BMP whose pixels are no red, green and blue of a byte each."""
    try:
        (start,) = struct.unpack_from("<I", data, 10)
        size, width, height, _, bits, compression = struct.unpack_from(
            "<IiiHHI", data, _FILE_HEADER
        )
        if size < 40 or bits not in (24, 32):
            return None
        if compression in (_BITFIELDS, _ALPHA_BITFIELDS):
            if struct.unpack_from("<3I", data, _FILE_HEADER + 40) != _BLUE_GREEN_RED:
                return None
        elif compression != _RGB:
            return None
    except struct.error as error:
        raise CodecError(f"damaged or cut off ({error})") from error
    stride = (bits * width + 31) // 32 * 4
    layout = _Layout(start, stride, width, abs(height), bits // 8, height < 0)
    if width <= 0 or layout.end > len(data):
        raise CodecError("damaged or cut off (too few pixels)")
    return layout


def _profile_end(data: bytes) -> int:
    if struct.unpack_from("<I", data, _FILE_HEADER)[0] < _V5:
        return 0
    offset, size = struct.unpack_from("<II", data, _FILE_HEADER + 112)
    return _FILE_HEADER + offset + size if size else 0


def _widened(data: bytes, change: np.ndarray) -> EncodedPhoto:
    image = open_image(data, _FORMATS, NO_LIMIT)
    out = io.BytesIO()
    changed = Image.fromarray(with_change(np.asarray(image.convert("RGB")), change))
    changed.save(out, "BMP", dpi=image.info.get("dpi", (0, 0)))
    return EncodedPhoto(out.getvalue(), ("widened to 24 bits",))
