"""GIF: a still picture keeps its colour table; changed pixels take the nearest colours in it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from photoveil.transforms.codecs import carve, rests, xmp
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import DAMAGED, CodecError, UnsupportedFormat
from photoveil.transforms.codecs.orientation import Orientation
from photoveil.transforms.codecs.palette import dithered
from photoveil.transforms.codecs.photo import (
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    decoded,
    open_image,
    with_change,
)
from photoveil.transforms.reasons import Reason

MAGIC = b"GIF8"

_FORMATS = ("GIF",)
_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_INTERLACED = 0x40
_MOST_BITS, _MOST_CODES = 12, 4096
_GREYS = bytes(level for level in range(256) for _ in "RGB")
_XMP = b"XMP DataXMP"


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = _opened(data, max_pixels)
    rgb = np.asarray(image.convert("RGBA").convert("RGB"))
    return decoded("GIF", rgb, Orientation())


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`."""
    image = _opened(data, NO_LIMIT)
    blocks, end = _blocks(data)
    notes = list(oddities(data))
    if any(map(rests.may_show, _behind_rows(blocks))):
        blocks = _with_indices(image, blocks, np.asarray(image))
        notes.append("data behind the last row removed")
    if change is not None:
        blocks = _cloaked(image, blocks, change)
    kept: list[bytes] = []
    for block in blocks:
        found = False
        if block[0] == _EXTENSION:
            block, found = _without_pictures(block)
        if not _is_stray(block):
            kept.append(block)
        notes += ["picture in an extension removed"] if found else []
    if any(map(_is_stray, blocks)):  # they may be a picture together
        notes.append("bytes between the blocks removed")
    if blocks[-1][0] != _TRAILER:
        kept.append(bytes([_TRAILER]))
    if data[end:].strip(b"\0"):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(b"".join(kept), tuple(notes))


def _is_stray(block: bytes) -> bool:
    """Return True for a byte that readers skip in front of the picture."""
    return len(block) == 1 and block[0] != _TRAILER


def _cloaked(image: Image.Image, blocks: list[bytes], change: PhotoChange) -> list[bytes]:
    """Return the blocks of the file, with the change in its image."""
    palette = _palette(image)
    indices = np.asarray(image).copy()
    transparent = image.info.get("transparency")
    hidden = indices == transparent if isinstance(transparent, int) else None
    before = np.asarray(image.convert("RGB"))
    after = with_change(before, change, hidden=hidden)
    changed = (after != before).any(axis=2)
    if hidden is not None:
        changed &= ~hidden
    indices[changed] = _nearest(after, palette, transparent)[changed]
    return _with_indices(image, blocks, indices)


def _palette(image: Image.Image) -> bytes:
    return bytes(image.palette.palette) if image.mode == "P" and image.palette else _GREYS


def _with_indices(image: Image.Image, blocks: list[bytes], indices: np.ndarray) -> list[bytes]:
    """Return the blocks of the file, with these colour indices, uint8 (H, W), as its image."""
    palette = _palette(image)
    return [
        _image_block(block, indices, palette) if block[0] == _IMAGE else block for block in blocks
    ]


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    blocks, end = _blocks(data)
    stray = b"".join(block for block in blocks if _is_stray(block))
    return [data[end:], stray, *_behind_rows(blocks)]


def _behind_rows(blocks: list[bytes]) -> list[bytes]:
    """Find the coded data behind the last row of each image."""
    found = []
    for block in blocks:
        if block[0] == _IMAGE:
            width, height = (int.from_bytes(block[at : at + 2], "little") for at in (5, 7))
            at = 10 + _table_size(block[9])
            coded = _joined(block, at + 1)
            found.append(coded[_coded_length(coded, block[at], width * height) :])
    return found


def _coded_length(coded: bytes, first_bits: int, pixels: int) -> int:
    """Compute how many bytes the LZW codes (GIF89a, appendix F) of so many pixels take.

    A code stands for one pixel more than the one that was coded before it, or for as many as it did
    when it was added.
    """
    clear, end = 1 << first_bits, (1 << first_bits) + 1
    lengths: list[int] = []
    bits, room, position, last = first_bits + 1, 0, 0, 0
    waiting = 0
    while pixels > 0:
        while room < bits:
            if position >= len(coded):
                return len(coded)
            waiting |= coded[position] << room
            room += 8
            position += 1
        code = waiting & ((1 << bits) - 1)
        waiting >>= bits
        room -= bits
        if code == end:
            break
        if code == clear:
            lengths, bits, last = [], first_bits + 1, 0
            continue
        if code < clear:
            length = 1
        elif code - end - 1 < len(lengths):
            length = lengths[code - end - 1]
        else:
            length = last + 1
        if last and len(lengths) + end + 1 < _MOST_CODES:
            lengths.append(last + 1)
            if len(lengths) + end + 1 == 1 << bits and bits < _MOST_BITS:
                bits += 1
        last = length
        pixels -= length
    return position


def oddities(data: bytes) -> tuple[str, ...]:
    """See `transforms.codecs.oddities`."""
    blocks, _ = _blocks(data)
    return () if blocks[-1][0] == _TRAILER else ("original has no trailer",)


def extensions(data: bytes) -> list[bytes]:
    """Return the contents of each extension, its sub-blocks joined.

    Raises:
        CodecError: damaged or cut off.
    """
    return [_joined(block, 2) for block in _blocks(data)[0] if block[0] == _EXTENSION]


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    image = open_image(data, _FORMATS, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedFormat(Reason.ANIMATED.of(format="GIF"))
    return image


def _nearest(wanted: np.ndarray, palette: bytes, transparent: object) -> np.ndarray:
    table = np.frombuffer(palette, np.uint8).reshape(-1, 3)
    usable = np.array([index for index in range(len(table)) if index != transparent])
    return usable[dithered(wanted, table[usable])].astype(np.uint8)


def _image_block(block: bytes, indices: np.ndarray, palette: bytes) -> bytes:
    """Replace the pixels of an image block, and keep its descriptor and colour table."""
    left, top, width, height = (int.from_bytes(block[at : at + 2], "little") for at in (1, 3, 5, 7))
    picture = Image.fromarray(
        np.ascontiguousarray(indices[top : top + height, left : left + width])
    )
    picture.putpalette(palette)
    out = io.BytesIO()
    interlaced = bool(block[9] & _INTERLACED)
    picture.save(out, "GIF", optimize=False, interlace=interlaced)
    coded = next(b for b in _blocks(out.getvalue())[0] if b[0] == _IMAGE)
    return block[: 10 + _table_size(block[9])] + coded[10 + _table_size(coded[9]) :]


def _without_pictures(block: bytes) -> tuple[bytes, bool]:
    emptied = False
    if block[3:14] == _XMP:  # the packet should lie there in the clear, with no sub-blocks
        block, emptied = xmp.blank_pictures(block)
    body = _joined(block, 2)
    blanked, found = carve.blanked(body)
    if not found:
        return block, emptied
    parts = [blanked[at : at + 255] for at in range(0, len(blanked), 255)]
    return block[:2] + b"".join(bytes([len(p)]) + p for p in parts) + b"\0", True


def _blocks(data: bytes) -> tuple[list[bytes], int]:
    """Split a file into header with colour table, extensions, images and trailer.

    Readers stop behind the picture at the first byte that begins no block.

    Returns:
        The blocks, and the offset after the trailer or where it should be.

    Raises:
        CodecError: it is cut off before the picture.
    """
    position = 13 + (_table_size(data[10]) if len(data) > 10 else 0)
    blocks = [data[:position]]
    while position < len(data):
        start, kind = position, data[position]
        if kind == _TRAILER:
            return [*blocks, data[start : start + 1]], start + 1
        if kind == _EXTENSION:
            position += 2
        elif kind == _IMAGE and position + 10 <= len(data):
            position += 10 + _table_size(data[position + 9]) + 1
        else:
            if any(block[0] == _IMAGE for block in blocks[1:]):
                break
            blocks.append(data[position : position + 1])
            position += 1
            continue
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
        if kind == _EXTENSION and position > len(data):
            position = start
            break
        blocks.append(data[start:position])
    if not any(block[0] == _IMAGE for block in blocks[1:]):
        raise CodecError(DAMAGED, "no picture")
    return blocks, min(position, len(data))


def _joined(block: bytes, position: int) -> bytes:
    parts = []
    while position < len(block) and block[position]:
        parts.append(block[position + 1 : position + 1 + block[position]])
        position += 1 + block[position]
    return b"".join(parts)


def _table_size(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
