"""The layout of a TIFF (TIFF 6.0, section 2; BigTIFF): find holes between its parts and close them.

A TIFF consists of directories that point to values, strips, tiles and further directories. A part
can move if everything that points to it is known. So holes are closed in a file in which every byte
is accounted for; any other file is left as it is.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import pairwise

import tifffile

from photoveil.transforms.codecs.errors import DAMAGE

# By the number of a type: the bytes of a value, and for what may be an offset, how it is packed.
_SIZES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
_OFFSETS = {3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_BYTES, _DIRECTORY = (1, 7), (13, 18)

_DIRECTORIES = {330, 34665, 34853, 40965}  # SubIFDs, Exif, GPS, Interoperability
_DATA = {273: 279, 324: 325}  # offsets of strips and of tiles, and the tags with their lengths
_PICTURES = {513: 514}  # offset and length of a JPEG
_OTHER_OFFSETS = {288, 400, 513, 519, 520, 521}  # unused space, global parameters, old JPEG
# Bytes with no offset from the start of the file in them, as a MakerNote may have: JPEG's tables,
# XMP, IPTC, Photoshop's resources and layers, ICC profile, EXIF's comment, Windows' texts.
_PLAIN_BYTES = {347, 700, 33723, 34377, 34675, 37510, 37724, *range(40091, 40096)}

_HOLE = 16  # bytes; less is padding


class _Unknown(Exception):
    """Something may point to an unknown place."""


@dataclass
class _Layout:
    """The parts of a file and what points to them.

    parts: from the offset of a part to its length.
    pointers: from the offset of a pointer to its `struct` format and the offset of its part.
    """

    parts: dict[int, int] = field(default_factory=dict)
    pointers: dict[int, tuple[str, int]] = field(default_factory=dict)

    def add(self, at: int, form: str, start: int, length: int) -> None:
        self.pointers[at] = (form, start)
        if self.parts.setdefault(start, length) != length:
            raise _Unknown


def unread(data: bytes) -> list[tuple[int, int]]:
    """Find what no directory of the file points to, as (start, end)."""
    found, position = [], 0
    for start, end in [*sorted(_known(data)), (len(data), len(data))]:
        if start > position:
            found.append((position, start))
        position = max(position, end)
    return found


def _known(data: bytes) -> list[tuple[int, int]]:
    """Return (start, end) of directories, values, strips and tiles, as far as they can be read."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tiff = file.tiff
    header = 2 * tiff.offsetsize
    known = [(0, header)]
    waiting, seen = [_number(data, header - tiff.offsetsize, tiff.offsetformat)], {0}
    while waiting:
        directory = waiting.pop()
        if directory in seen or directory + tiff.tagnosize > len(data):
            continue
        seen.add(directory)
        entries = directory + tiff.tagnosize
        count = _number(data, directory, tiff.tagnoformat)
        end = min(entries + count * tiff.tagsize, len(data))
        known.append((directory, end + tiff.offsetsize))
        if end + tiff.offsetsize <= len(data):
            waiting.append(_number(data, end, tiff.offsetformat))
        numbers = {}
        for entry in range(entries, end - tiff.tagsize + 1, tiff.tagsize):
            code, values, span = _value(data, entry, tiff)
            numbers[code] = values
            known.append(span)
        waiting += [one for code in _DIRECTORIES for one in numbers.get(code, ())]
        for code, lengths in (*_DATA.items(), *_PICTURES.items()):
            pairs = zip(numbers.get(code, ()), numbers.get(lengths, ()), strict=False)
            known += [(start, start + length) for start, length in pairs]
    return known


def _value(
    data: bytes, entry: int, tiff: tifffile.TiffFormat
) -> tuple[int, tuple[int, ...], tuple[int, int]]:
    """Read the entry at `entry`.

    Returns:
        Its code, its numbers if they may be offsets or lengths, and (start, end) of its value.
    """
    code, kind = struct.unpack_from(tiff.tagformat1, data, entry)
    at = entry + tiff.tagsize - tiff.offsetsize
    count = _number(data, at - tiff.offsetsize, tiff.offsetformat)
    size = _SIZES.get(kind, 1) * count
    if size > tiff.offsetsize:
        at = _number(data, at, tiff.offsetformat)
    if kind not in _OFFSETS or at + size > len(data):
        return code, (), (at, at + size)
    form = f"{tiff.byteorder}{count}{_OFFSETS[kind]}"
    return code, struct.unpack_from(form, data, at), (at, at + size)


def _number(data: bytes, at: int, form: str) -> int:
    return int(struct.unpack_from(form, data, at)[0])


def without_holes(data: bytes) -> bytes:
    """Close the holes of zeros between the parts of a file, whose order stays.

    The file is returned as it is if some of its bytes are not understood.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            return _closed(data, _read(data, file.tiff))
    except (_Unknown, *DAMAGE):
        return data


def _read(data: bytes, tiff: tifffile.TiffFormat) -> _Layout:
    layout = _Layout()
    header = 2 * tiff.offsetsize  # 8 bytes, 16 in BigTIFF; its end points to the first directory
    layout.parts[0] = header
    waiting = [(header - tiff.offsetsize, tiff.offsetformat)]
    while waiting:
        at, form = waiting.pop()
        (directory,) = struct.unpack_from(form, data, at)
        if not directory:
            continue
        if directory in layout.parts:
            raise _Unknown
        (count,) = struct.unpack_from(tiff.tagnoformat, data, directory)
        entries = directory + tiff.tagnosize
        end = entries + count * tiff.tagsize
        layout.add(at, form, directory, end + tiff.offsetsize - directory)
        waiting.append((end, tiff.offsetformat))
        numbers = {}
        for entry in range(entries, end, tiff.tagsize):
            code, found = _entry(data, entry, tiff, layout)
            numbers[code] = found
        waiting += [(at, form) for code in _DIRECTORIES for at, form, _ in numbers.get(code, ())]
        for code, lengths in _DATA.items():
            pairs = zip(numbers.get(code, ()), numbers.get(lengths, ()), strict=True)
            for (at, form, start), (_, _, length) in pairs:
                layout.add(at, form, start, length)
    return layout


def _entry(
    data: bytes, entry: int, tiff: tifffile.TiffFormat, layout: _Layout
) -> tuple[int, list[tuple[int, str, int]]]:
    """Read the entry at `entry`, and add its value to the layout.

    Returns:
        Its code, and for offsets and lengths: where each is, its `struct` format, and the number.
    """
    code, kind = struct.unpack_from(tiff.tagformat1, data, entry)
    inline = entry + tiff.tagsize - tiff.offsetsize
    (count,) = struct.unpack_from(tiff.offsetformat, data, inline - tiff.offsetsize)
    at, size = inline, _SIZES[kind]
    if count * size > tiff.offsetsize:
        (at,) = struct.unpack_from(tiff.offsetformat, data, inline)
        layout.add(inline, tiff.offsetformat, at, count * size)
    if (
        code in _OTHER_OFFSETS
        or (kind in _DIRECTORY and code not in _DIRECTORIES)
        or (kind in _BYTES and at != inline and code not in _PLAIN_BYTES)
    ):
        raise _Unknown
    if code not in {*_DIRECTORIES, *_DATA, *_DATA.values()}:
        return code, []
    packed = struct.unpack_from(f"{tiff.byteorder}{count}{_OFFSETS[kind]}", data, at)
    form = tiff.byteorder + _OFFSETS[kind]
    return code, [(at + n * size, form, number) for n, number in enumerate(packed)]


def _closed(data: bytes, layout: _Layout) -> bytes:
    spans = sorted((start, start + length) for start, length in layout.parts.items() if length)
    for (_, end), (start, _) in pairwise(spans):
        # The last byte may be padding, of which some programs do not care what is in it.
        if start < end or data[end : start - 1].strip(b"\0"):
            raise _Unknown
    if data[spans[-1][1] :].strip(b"\0"):
        raise _Unknown
    moved: dict[int, int] = {}
    out = bytearray()
    last = 0
    for start, end in spans:
        gap = start - last if start - last < _HOLE else 0
        out += bytes(gap + (len(out) + gap - start) % 2)  # what lies at an even place stays at one
        moved[start] = len(out)
        out += data[start:end]
        last = end
    starts = sorted(moved)
    for at, (form, target) in layout.pointers.items():
        if target in moved:  # and not an empty strip
            part = starts[bisect_right(starts, at) - 1]
            struct.pack_into(form, out, moved[part] + at - part, moved[target])
    return bytes(out)
