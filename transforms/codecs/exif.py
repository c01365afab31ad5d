"""Pictures inside EXIF: the thumbnail is rebuilt from the cloaked photo, previews are blanked.

The pictures are overwritten in place and no other byte moves. Rewriting a block would lose tags
that the library does not support, and the offsets inside a MakerNote would become wrong.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image, ImageOps

from photoveil.transforms.codecs import carve, segments
from photoveil.transforms.codecs.errors import DAMAGE

HEADER = b"Exif\0\0"

_STRIP_OFFSETS, _STRIP_LENGTHS = 0x0111, 0x0117
_JPEG_OFFSET, _JPEG_LENGTH = 0x0201, 0x0202
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_QUALITIES = (90, 80, 65, 50, 35, 20)
_LETTERBOX = 0.05


def cloak_pictures(tiff: bytes, cloaked: Image.Image | None) -> tuple[bytes, list[str]]:
    """Remove every picture of the uncloaked photo from EXIF data.

    Args:
        tiff: the EXIF block from its byte order mark on (no "Exif" header).
        cloaked: the cloaked photo in stored orientation; None to remove the thumbnail too.

    Returns:
        The new block and what was done, in short plain words.
    """
    notes = []
    result, thumbnail, found = _patched(tiff, cloaked)
    if found:
        notes.append(f"EXIF thumbnail {'removed' if thumbnail is None else 'rebuilt'}")
    result, previews = carve.blanked(result, thumbnail)
    if previews:
        notes.append("EXIF preview pictures removed")
    return result, notes


@dataclass(frozen=True)
class Directory:
    """An image file directory.

    entries: by tag, (offset of the entry, type, count, value).
    next_at: offset of the link to the next directory.
    """

    entries: dict[int, tuple[int, int, int, int]]
    next_at: int


def _patched(tiff: bytes, cloaked: Image.Image | None) -> tuple[bytes, bytes | None, bool]:
    """Overwrite IFD1's picture.

    Returns:
        The block, the new thumbnail (None if it was removed), and whether there was one.
    """
    block = bytearray(tiff)
    try:
        order = {b"II": "<", b"MM": ">"}[tiff[:2]]
        first = directory(tiff, struct.unpack_from(order + "I", tiff, 4)[0], order)
        second_at = struct.unpack_from(order + "I", tiff, first.next_at)[0]
        if not second_at:
            return tiff, None, False
        second = directory(tiff, second_at, order)
    except DAMAGE:
        return tiff, None, False  # no thumbnail that a reader could find
    entries = second.entries
    if _JPEG_OFFSET in entries and _JPEG_LENGTH in entries:
        start, room = entries[_JPEG_OFFSET][3], entries[_JPEG_LENGTH][3]
        new = cloaked and fitting_thumbnail(tiff[start : start + room], cloaked, room)
        if new and start + room <= len(tiff):
            block[start : start + room] = new.ljust(room, b"\0")
            entry, kind = entries[_JPEG_LENGTH][:2]
            struct.pack_into(order + ("H" if kind == 3 else "I"), block, entry + 8, len(new))
            return bytes(block), new, True
        if tiff.startswith(segments.SOI, start):  # otherwise the offset is wrong
            _blank(block, start, room)
    elif _STRIP_OFFSETS in entries and _STRIP_LENGTHS in entries:
        starts = _values(tiff, entries[_STRIP_OFFSETS], order)
        lengths = _values(tiff, entries[_STRIP_LENGTHS], order)
        for start, length in zip(starts, lengths, strict=False):
            _blank(block, start, length)
    else:
        return tiff, None, False
    struct.pack_into(order + "I", block, first.next_at, 0)
    return bytes(block), None, True


def directory(tiff: bytes | memoryview, offset: int, order: str) -> Directory:
    """Read the directory at `offset` of a TIFF block.

    Args:
        tiff: the block, from its byte order mark on.
        offset: of the directory.
        order: "<" or ">".

    Raises:
        struct.error: it is cut off.
    """
    (count,) = struct.unpack_from(order + "H", tiff, offset)
    entries = {}
    for index in range(count):
        at = offset + 2 + 12 * index
        tag, kind, number, value = struct.unpack_from(order + "HHII", tiff, at)
        if kind == 3 and number == 1:  # a short lies in the first half of the value field
            (value,) = struct.unpack_from(order + "H", tiff, at + 8)
        entries[tag] = (at, kind, number, value)
    return Directory(entries, offset + 2 + 12 * count)


def _values(tiff: bytes, entry: tuple[int, int, int, int], order: str) -> list[int]:
    at, kind, number, value = entry
    size = _TYPE_SIZES.get(kind, 4)
    where = at + 8 if size * number <= 4 else value
    letter = "H" if size == 2 else "I"
    try:
        return list(struct.unpack_from(f"{order}{min(number, 4096)}{letter}", tiff, where))
    except struct.error:
        return []


def fitting_thumbnail(old: bytes, cloaked: Image.Image, room: int) -> bytes | None:
    """Make a thumbnail of the old one's pixel size in at most `room` bytes; None if that fails."""
    try:
        with Image.open(io.BytesIO(old)) as thumbnail:
            size = thumbnail.size
    except DAMAGE:
        return None
    picture = _scaled(cloaked, size)
    for quality in _QUALITIES:
        out = io.BytesIO()
        picture.save(out, "JPEG", quality=quality, optimize=True)
        if out.tell() <= room:
            return out.getvalue()
    return None


def _scaled(cloaked: Image.Image, size: tuple[int, int]) -> Image.Image:
    picture = cloaked if cloaked.mode in ("L", "RGB") else cloaked.convert("RGB")
    stretch = picture.width * size[1] / (picture.height * size[0])
    if abs(stretch - 1) > _LETTERBOX:  # some cameras fill a 4:3 thumbnail up with black bars
        return ImageOps.pad(picture, size, Image.Resampling.LANCZOS)
    return picture.resize(size, Image.Resampling.LANCZOS, None, 3.0)


def _blank(block: bytearray, start: int, length: int) -> None:
    stop = min(len(block), start + length)
    block[start:stop] = bytes(max(0, stop - start))
