"""BMP: pixels of 8 bits per colour or more are changed in place; those of fewer bits are widened.

The header (versions 3 to 5 of Windows' and OS/2's first), alpha and the colour profile are kept.
Pillow supports only a few orders of colours, while a header may define any, so pixels with masks
are read here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from photoveil.transforms.codecs import carve, icc, rests
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import DAMAGED, CodecError
from photoveil.transforms.codecs.orientation import Orientation
from photoveil.transforms.codecs.photo import (
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    check_size,
    decoded,
    open_image,
    with_change,
)

MAGIC = b"BM"

_FORMATS = ("BMP",)
_FILE_HEADER = 14
_CORE, _V3, _V5 = 12, 40, 124  # bytes of the headers
_HEADERS = {_CORE, _V3, 52, 56, 64, 108, _V5}
_MASKED = {52, 56, 108, _V5}  # headers that hold masks
_WITH_ALPHA_MASK = 56
_RGB, _BITFIELDS, _ALPHA_BITFIELDS = 0, 3, 6
_FIELDS_BEHIND = {_BITFIELDS: 12, _ALPHA_BITFIELDS: 16}  # bytes of masks behind a V3 header
_BLUE_GREEN_RED = (0xFF0000, 0xFF00, 0xFF)  # masks of red, green, blue
_FIFTEEN_BITS = (0x7C00, 0x3E0, 0x1F)
_NO_ALPHA, _ALPHA = 0, 0xFF000000
_BYTE = 8  # bits a colour that a cloak needs
_MOST_BITS = 16  # of a colour
_PROFILE = 112  # offset, in a V5 header, of the offset and length of its profile
_MOST_PALETTE = 1040  # bytes between a header and the pixels that may be masks and a palette
_NO_PADDING = "original lacks its last bytes of padding"


@dataclass(frozen=True)
class _Layout:
    """Where the pixels of a file are, and their layout.

    header: bytes of the header behind the file's own.
    start: offset of the pixels in the file.
    width, height: in pixels.
    bits: of a pixel.
    masks: of red, green, blue and alpha (0 for none) in a pixel; None for what only Pillow reads,
        which is a palette or run lengths.
    """

    header: int
    start: int
    width: int
    height: int
    top_down: bool
    bits: int
    masks: tuple[int, int, int, int] | None

    @property
    def stride(self) -> int:
        """Bytes of a row."""
        return (self.bits * self.width + 31) // 32 * 4

    @property
    def end(self) -> int:
        """Offset of the end of the pixels, if they are not run lengths."""
        return self.start + self.stride * self.height

    @property
    def padding(self) -> int:
        """Bytes at the end of a row that hold no pixels."""
        return self.stride - (self.bits * self.width + 7) // 8

    @property
    def in_place(self) -> bool:
        """True if the pixels have levels enough for a smooth change."""
        return self.masks is not None and min(m.bit_count() for m in self.masks[:3]) >= _BYTE


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    layout = _layout(data)
    check_size(layout.width * layout.height, max_pixels)
    return decoded("BMP", _seen(data, layout)[..., :3], Orientation())


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`."""
    layout = _layout(data)
    notes = list(oddities(data))
    if change is None or layout.in_place:
        before, after, done = _around(data, layout)
        pixels = data[layout.start : _end(data, layout)]
        coded = before + (pixels if change is None else _in_place(data, layout, change)) + after
        notes += done
    else:
        coded = _widened(data, layout, change)
        notes.append(f"widened to {_layout(coded).bits} bits")
    profile_at, profile = _profile(data, layout)
    end = max(_end(data, layout), profile_at + len(profile))
    if data[end:].strip(b"\0"):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(coded, tuple(notes))


def oddities(data: bytes) -> tuple[str, ...]:
    """See `transforms.codecs.oddities`."""
    layout = _layout(data)
    is_short = layout.masks is not None and layout.end > len(data)
    return (_NO_PADDING,) if is_short else ()


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    layout = _layout(data)
    at, profile = _profile(data, layout)
    end = _end(data, layout)
    before = data[_head(layout) + _MOST_PALETTE : layout.start]
    return [before, data[end:at], data[max(end, at + len(profile)) :]]


def _head(layout: _Layout) -> int:
    return _FILE_HEADER + layout.header


def _layout(data: bytes) -> _Layout:
    """Read where the pixels are.

    Raises:
        CodecError: damaged, or pixels are missing.
    """
    try:
        (start,) = struct.unpack_from("<I", data, 10)
        (header,) = struct.unpack_from("<I", data, _FILE_HEADER)
        compression = _RGB
        if header not in _HEADERS:
            raise CodecError(DAMAGED, f"a header of {header} bytes")
        if header == _CORE:
            width, height, _, bits = struct.unpack_from("<4H", data, _FILE_HEADER + 4)
        else:
            width, height, _, bits, compression = struct.unpack_from(
                "<iiHHI", data, _FILE_HEADER + 4
            )
        masks = _masks(data, header, bits, compression)
    except struct.error as error:
        raise CodecError(DAMAGED, error) from error
    fields = _FIELDS_BEHIND.get(compression, 0) if header == _V3 else 0
    least = _FILE_HEADER + header + fields
    layout = _Layout(header, start or least, width, abs(height), height < 0, bits, masks)
    missing = layout.end - len(data) if masks else 0
    if width <= 0 or height == 0 or missing > layout.padding or layout.start < least:
        raise CodecError(DAMAGED, "too few pixels")
    return layout


def _masks(
    data: bytes, header: int, bits: int, compression: int
) -> tuple[int, int, int, int] | None:
    if bits not in (16, 24, 32):
        return None
    if compression == _RGB:
        return (*(_FIFTEEN_BITS if bits == 16 else _BLUE_GREEN_RED), _NO_ALPHA)
    if compression not in (_BITFIELDS, _ALPHA_BITFIELDS) or bits == 24:
        return None
    red, green, blue, alpha = struct.unpack_from("<4I", data, _FILE_HEADER + _V3)
    if not red | green | blue:
        return (*(_FIFTEEN_BITS if bits == 16 else _BLUE_GREEN_RED), _NO_ALPHA)
    has_alpha = header in _MASKED and header >= _WITH_ALPHA_MASK
    has_alpha |= compression == _ALPHA_BITFIELDS
    masks = (red, green, blue, alpha if has_alpha else _NO_ALPHA)
    for mask in masks:
        ones = mask >> _shift(mask)
        if ones & (ones + 1) or mask >> bits or mask.bit_count() > _MOST_BITS:
            raise CodecError(DAMAGED, "a mask of scattered bits")
    if 0 in masks[:3] or red & green | green & blue | blue & red:
        raise CodecError(DAMAGED, "masks without a colour, or that overlap")
    return masks


def _shift(mask: int) -> int:
    return (mask & -mask).bit_length() - 1 if mask else 0


def _seen(data: bytes, layout: _Layout) -> np.ndarray:
    """Decode the pixels: uint8 (H, W, 3), or (H, W, 4) if there is a mask of alpha."""
    if layout.masks is None:
        image = open_image(data, _FORMATS, NO_LIMIT)
        return np.asarray(image.convert("RGB"))
    if layout.bits == 24:
        return np.ascontiguousarray(_rows(data, layout)[..., ::-1])
    pixels = _rows(data, layout)
    channels = []
    for mask in layout.masks if layout.masks[3] else layout.masks[:3]:
        most = mask >> _shift(mask)
        level = (pixels & mask) >> _shift(mask)
        channels.append((level.astype(np.uint32) * 255 // most).astype(np.uint8))
    return np.stack(channels, axis=2)


def _rows(data: bytes, layout: _Layout) -> np.ndarray:
    """Copy the pixels, first row on top.

    Returns:
        uint16 or uint32 (H, W); for 24 bits uint8 (H, W, 3).
    """
    block = data[layout.start : layout.end].ljust(layout.end - layout.start, b"\0")
    rows = np.frombuffer(block, np.uint8).reshape(layout.height, layout.stride)
    rows = (
        rows[:, : layout.width * layout.bits // 8]
        if layout.top_down
        else rows[::-1, : layout.width * layout.bits // 8]
    )
    pixels = np.ascontiguousarray(rows)
    if layout.bits == 24:
        return pixels.reshape(layout.height, layout.width, 3)
    return pixels.view("<u4" if layout.bits == 32 else "<u2")


def _in_place(data: bytes, layout: _Layout, change: PhotoChange) -> bytes:
    """Change the pixels.

    Returns:
        Their bytes, for the same place of the file.
    """
    assert layout.masks is not None
    pixels = _rows(data, layout)
    if layout.bits == 24:
        changed = with_change(pixels, change)
    else:
        changed = pixels
        alpha = layout.masks[3]
        hidden = changed & alpha == 0 if alpha else None
        for mask in layout.masks[:3]:
            level = (changed & mask) >> _shift(mask)
            new = with_change(level, change, 1, mask.bit_count(), hidden=hidden)
            changed = changed & ~np.uint32(mask) | new << _shift(mask)
    block = bytearray(data[layout.start : layout.end].ljust(layout.end - layout.start, b"\0"))
    rows = np.frombuffer(block, np.uint8).reshape(layout.height, layout.stride)
    wide = layout.width * layout.bits // 8
    new_rows = np.ascontiguousarray(changed).view(np.uint8).reshape(layout.height, wide)
    rows[:, :wide] = new_rows if layout.top_down else new_rows[::-1]
    return bytes(block)


def _around(data: bytes, layout: _Layout) -> tuple[bytes, bytes, list[str]]:
    """Blank the pictures around the pixels.

    Returns:
        The file before its pixels, the file from there to the end of the profile, and what was
        done.
    """
    head, end = _head(layout), _end(data, layout)
    before, found = carve.blanked(data[head : layout.start])
    notes = ["picture before the pixels removed"] if found else []
    if rests.may_show(before[_MOST_PALETTE:]):
        before = before[:_MOST_PALETTE].ljust(len(before), b"\0")
        notes.append("data before the pixels removed")
    at, profile = _profile(data, layout)
    between, found = carve.blanked(data[end:at])
    notes += ["picture behind the pixels removed"] if found else []
    if rests.may_show(between):
        between = bytes(len(between))
        notes.append("data behind the pixels removed")
    clean, found = icc.without_pictures(profile)
    notes += ["picture in the colour profile removed"] if found else []
    clean = clean.ljust(len(profile), b"\0")
    return data[:head] + before, between + clean[max(0, end - at) :], notes


def _widened(data: bytes, layout: _Layout, change: PhotoChange) -> bytes:
    """Write the file with 24 bits a pixel, 32 if it has alpha, and a header of the same kind."""
    pixels = _seen(data, layout)
    has_alpha = pixels.shape[2] == 4
    hidden = pixels[..., 3] == 0 if has_alpha else None
    pixels = with_change(pixels, change, hidden=hidden)
    bits = 32 if has_alpha else 24
    order = pixels[..., [2, 1, 0, 3] if has_alpha else [2, 1, 0]]
    rows = order.reshape(layout.height, -1)
    rows = np.pad(rows, [(0, 0), (0, -rows.shape[1] % 4)])
    body = (rows if layout.top_down else rows[::-1]).tobytes()
    size = layout.header
    header = bytearray(data[_FILE_HEADER : _FILE_HEADER + size])
    if size == _CORE:
        struct.pack_into("<H", header, 10, bits)
    else:
        if has_alpha and size < _WITH_ALPHA_MASK:  # whose masks stood behind it
            size = _WITH_ALPHA_MASK
            header = header.ljust(size, b"\0")
            struct.pack_into("<I", header, 0, size)
        compression = _BITFIELDS if has_alpha else _RGB
        struct.pack_into("<HII", header, 14, bits, compression, len(body))
        struct.pack_into("<II", header, 32, 0, 0)  # no palette
        if size in _MASKED:
            masks = (*_BLUE_GREEN_RED, _ALPHA) if has_alpha else (0, 0, 0, 0)
            header[_V3:_WITH_ALPHA_MASK] = struct.pack("<4I", *masks)[: size - _V3]
    _, profile = _profile(data, layout)
    if profile:
        struct.pack_into("<II", header, _PROFILE, size + len(body), len(profile))
    start = _FILE_HEADER + size
    whole = start + len(body) + len(profile)
    reserved = data[6:10]
    return (
        MAGIC
        + struct.pack("<I", whole)
        + reserved
        + struct.pack("<I", start)
        + bytes(header)
        + body
        + profile
    )


def _profile(data: bytes, layout: _Layout) -> tuple[int, bytes]:
    """Find the colour profile.

    Returns:
        Its offset in the file, and its bytes; 0 and nothing if there is none.
    """
    if layout.header < _V5:
        return 0, b""
    offset, size = struct.unpack_from("<II", data, _FILE_HEADER + _PROFILE)
    at = _FILE_HEADER + offset
    if not size or at + size > len(data) or offset < layout.header:
        return 0, b""
    return at, data[at : at + size]


def _end(data: bytes, layout: _Layout) -> int:
    """Return the offset of the end of the pixels; that of run lengths is only in the header."""
    if layout.masks is None and layout.header >= _V3:
        compression, told = struct.unpack_from("<II", data, _FILE_HEADER + 16)
        if compression != _RGB and told:
            return layout.start + told
    return layout.end
