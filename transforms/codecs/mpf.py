"""The previews after a JPEG that its APP2 segment lists (Multi-Picture Format, CIPA DC-007).

A large thumbnail shows the photo itself and is rebuilt from the cloaked one; a gain map is smoothed
under the cloaks (`gainmap`). Any other picture of the list shows something else (the other eye's
view, a part of a panorama) or reveals about the face what the cloak hides (a depth map); it cannot
be made from the photo.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image

from photoveil.transforms.codecs import exif
from photoveil.transforms.codecs.errors import DAMAGE

HEAD = b"MPF\0"

_COUNT, _ENTRIES = 0xB001, 0xB002
_ENTRY = 16  # attributes, size, offset, two dependent pictures
_TYPE, _LARGE_THUMBNAIL = 0xFF0000, 0x010000


@dataclass(frozen=True)
class Preview:
    """A large thumbnail.

    number: of its entry.
    start, end: offsets in the file.
    size: width and height in pixels.
    """

    number: int
    start: int
    end: int
    size: tuple[int, int]


def previews(payload: bytes, data: bytes) -> list[Preview]:
    """Find the large thumbnails of a file that the segment with this payload lists."""
    base = data.find(payload) + len(HEAD)
    found = []
    try:
        _, _, entries = _index(payload)
        for number, (attributes, size, offset, _, _) in enumerate(entries):
            start, end = base + offset, base + offset + size
            if number and attributes & _TYPE == _LARGE_THUMBNAIL and end <= len(data):
                with Image.open(io.BytesIO(data[start:end]), formats=("JPEG",)) as picture:
                    found.append(Preview(number, start, end, picture.size))
    except DAMAGE:
        return []
    return found


def listed(payload: bytes, data: bytes) -> list[tuple[int, int, int]]:
    """List every picture of the list but the photo itself.

    Returns:
        (number, offset in the file, size in bytes) of each; nothing if the list is damaged.
    """
    base = data.find(payload) + len(HEAD)
    try:
        entries = _index(payload)[2] if payload else []
    except DAMAGE:
        return []
    return [
        (number, base + offset, size)
        for number, (_, size, offset, _, _) in enumerate(entries)
        if number and base + offset + size <= len(data)
    ]


def with_previews(
    photo: bytes, payload: bytes, made: Mapping[int, bytes], unlisted: bytes = b""
) -> bytes:
    """Append pictures to a photo, and update their list.

    Args:
        photo: a JPEG with a segment of this payload, up to its end marker.
        payload: of the MPF segment of the original file.
        made: JPEG files by the number of their entries there, in the order of the result.
        unlisted: bytes to put between the photo and the pictures.
    """
    order, places, entries = _index(payload)
    at = photo.index(payload)
    offset = len(photo) + len(unlisted)
    starts = {}
    for number, one in made.items():
        starts[number] = offset
        offset += len(one)
    kept = [0, *sorted(made)]
    new = []
    for number in kept:
        attributes, _, _, *dependents = entries[number]
        size, start = (len(made[number]), starts[number]) if number else (len(photo), 0)
        # By their place in the list, from 1 on.
        left = [kept.index(one - 1) + 1 for one in dependents if one - 1 in kept[1:]]
        first, second = (*left, 0, 0)[:2]
        relative = start - at - len(HEAD) if number else 0
        new.append(struct.pack(f"{order}IIIHH", attributes, size, relative, first, second))
    block = bytearray(payload)
    table = b"".join(new).ljust(_ENTRY * len(entries), b"\0")
    block[places.table : places.table + len(table)] = table
    struct.pack_into(f"{order}I", block, places.table_size, _ENTRY * len(kept))
    struct.pack_into(f"{order}I", block, places.count, len(kept))
    whole = photo[:at] + bytes(block) + photo[at + len(payload) :]
    return whole + unlisted + b"".join(made.values())


@dataclass(frozen=True)
class _Places:
    """Offsets in the payload: of the number of pictures, and of their table's size and start."""

    count: int
    table_size: int
    table: int


def _index(payload: bytes) -> tuple[str, _Places, list[tuple[int, int, int, int, int]]]:
    """Read the list.

    Returns:
        Byte order, offsets, and the entries.

    Raises:
        DAMAGE: it is incomplete.
    """
    block = payload[len(HEAD) :]
    order = {b"II": "<", b"MM": ">"}[block[:2]]
    directory = exif.directory(block, struct.unpack_from(order + "I", block, 4)[0], order)
    count_at = directory.entries[_COUNT][0]
    table_at, _, size, start = directory.entries[_ENTRIES]
    entries = list(struct.iter_unpack(f"{order}IIIHH", block[start : start + size]))
    if not entries or len(entries) * _ENTRY != size:
        raise ValueError("the list of pictures breaks off")
    shift = len(HEAD)
    return order, _Places(count_at + 8 + shift, table_at + 4 + shift, start + shift), entries
