"""Trailers that programs and phones write after the end marker of a JPEG.

Known trailers with metadata are kept byte for byte, without the pictures and videos in them; their
formats are those that ExifTool documents. Each is recognised by its last bytes and says where it
starts, so they are taken off one by one from the end. Anything else may contain pictures and is
removed.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from photoveil.transforms.codecs import carve, exif
from photoveil.transforms.codecs.errors import DAMAGE

_AFCP_PICTURES = {b"Nail", b"PrVw"}
_FOTOSTATION_PICTURES = {3, 4}
_MOST = 64  # trailers; no file has that many
_LARGEST_FIELD = 16384  # bytes of a phone's own field; in larger ones nobody knows what lies
_MIE_END = re.compile(
    rb"~\0\x04\0zmie~\0\0(?:\x06(.{4})([\x10\x18])\x04|\x0a(.{8})([\x10\x18])\x08)\Z", re.DOTALL
)
_VIVO_END = b"\xff\xff\xff\xff\x1b*9HWfu\x84\x93\xa2\xb1"
_NIKON_END = b"\0\0\0\0\0\0/NIKON APP"
_CANON = b"CANON OPTIONAL DATA\0"
_TIFF_HEADS = re.compile(rb"II\*\0|MM\0\*")


@dataclass(frozen=True)
class Trailer:
    """A trailer that stays.

    offsets: where in `data` there are numbers of 4 bytes that count from the start of the file;
        here they count from the start of `data`.
    order: their byte order, ">" or "<".
    """

    data: bytes
    offsets: tuple[int, ...] = ()
    order: str = ">"


@dataclass(frozen=True)
class Kept:
    """What stays of the bytes after an image.

    trailers: in the order of the file.
    rest: the bytes in front of them, of no known kind.
    notes: what was removed from them.
    """

    trailers: tuple[Trailer, ...]
    rest: bytes
    notes: tuple[str, ...]


def keep(behind: bytes, at: int) -> Kept:
    """Find the known trailers in the bytes after an image.

    Args:
        behind: these bytes.
        at: their offset in the file.
    """
    known: list[Trailer] = []
    notes: list[str] = []
    end = len(behind)
    for _ in range(_MOST):
        found = _last(behind[:end], at)
        if found is None and behind[:end].endswith(b"\0"):
            padding = end - len(behind[:end].rstrip(b"\0"))
            found = _last(behind[: end - padding], at)
        if found is None:
            break
        name, start, trailer, is_whole = found
        if trailer is not None:
            known.append(trailer)
        if not is_whole:
            notes.append(f"pictures or video in the {name} trailer removed")
        end = start
    return Kept(tuple(reversed(known)), behind[:end], tuple(notes))


def joined(trailers: Iterable[Trailer], at: int) -> bytes:
    """Return the bytes of trailers that begin at this offset of a file."""
    whole = b""
    for trailer in trailers:
        block = bytearray(trailer.data)
        for place in trailer.offsets:
            (value,) = struct.unpack_from(trailer.order + "I", block, place)
            struct.pack_into(trailer.order + "I", block, place, at + len(whole) + value)
        whole += bytes(block)
    return whole


_Found = tuple[str, int, Trailer | None, bool]
"""Name, start, what stays of it, whether that is all."""


def _last(data: bytes, at: int) -> _Found | None:
    try:
        if data[-12:-8] in (b"AXS!", b"AXS*"):
            return _afcp(data, at)
        if data.endswith(b"cbipcbbl"):
            return _in_place("PhotoMechanic", data, 12 + int.from_bytes(data[-12:-8], "big"))
        if data.endswith(b"\xa1\xb2\xc3\xd4"):
            return _fotostation(data)
        if data[-64:].startswith(_CANON):
            size = 0x5C + int.from_bytes(data[-44:-40], "big")
            return _in_place("Canon VRD", data, size, _CANON)
        if match := _MIE_END.search(data, len(data) - 40 if len(data) > 40 else 0):
            order = "<" if b"\x18" in (match[2], match[4]) else ">"
            size = struct.unpack(order + ("I" if match[1] else "Q"), match[1] or match[3])[0]
            found = _in_place("MIE", data, size)
            return found if found and data[found[1] + 4 : found[1] + 8] == b"0MIE" else None
        if data.endswith(b"SEFT"):
            return _samsung(data)
        if data[-8:-4] == b"jxrs":
            return _oneplus(data)
        if data.endswith(_VIVO_END):
            return _vivo(data)
        if data.endswith(_NIKON_END):
            start = max(0, data.rfind(b"NIKON APP", 0, len(data) - len(_NIKON_END)))
            return _in_place("NikonApp", data, len(data) - start)
    except DAMAGE:
        pass  # it is not what its last bytes say, and goes with what is unknown
    return None


def _in_place(name: str, data: bytes, size: int, head: bytes = b"") -> _Found | None:
    """Make a trailer of the last `size` bytes, with the pictures in it blanked."""
    start = len(data) - size
    if start < 0 or not data.startswith(head, start):
        return None
    block = data[start:]
    if carve.VIDEO.search(block):
        return name, start, None, False
    clean = _without_pictures(block)
    return name, start, Trailer(clean), clean == block


def _without_pictures(block: bytes) -> bytes:
    """Blank the pictures in a block; its length stays."""
    clean = bytearray(carve.blanked(block)[0])
    for match in _TIFF_HEADS.finditer(block):
        start = match.start()
        clean[start:] = exif.cloak_pictures(bytes(clean[start:]), None)[0]
    return bytes(clean)


def _afcp(data: bytes, at: int) -> _Found | None:
    """Find an AXS File Concatenation Protocol trailer: entries of a name, a size and an offset."""
    head = data[-12:-8]
    order = ">" if head.endswith(b"!") else "<"
    (claimed,) = struct.unpack_from(order + "I", data, len(data) - 8)
    start = claimed - at
    if not data.startswith(head, start) or not 0 <= start < len(data) - 12:
        start = data.find(head)  # another program changed the file's length
        if start >= len(data) - 12:
            return None
    count = struct.unpack_from(order + "H", data, start + 6)[0]
    entries, is_whole = [], True
    for number in range(count):
        name, size, offset = struct.unpack_from(f"{order}4sII", data, start + 12 + 12 * number)
        body = data[start + offset - claimed :][:size]
        if len(body) < size:
            return None
        clean = b"" if name in _AFCP_PICTURES else _without_pictures(body)
        is_whole = is_whole and clean == body
        if name not in _AFCP_PICTURES:
            entries.append((name, clean))
    offsets = [12 + 12 * number + 8 for number in range(len(entries))]
    if is_whole:
        block = bytearray(data[start:])
        for place in offsets:
            (offset,) = struct.unpack_from(order + "I", block, place)
            struct.pack_into(order + "I", block, place, offset - claimed)
        struct.pack_into(order + "I", block, len(block) - 8, 0)
        return "AFCP", start, Trailer(bytes(block), (*offsets, len(block) - 8), order), True
    block = bytearray(data[start : start + 6] + struct.pack(order + "HI", len(entries), 0))
    position = 12 + 12 * len(entries)
    for name, body in entries:
        block += struct.pack(f"{order}4sII", name, len(body), position)
        position += len(body)
    block += b"".join(body for _, body in entries) + head + bytes(8)
    trailer = Trailer(bytes(block), (*offsets, len(block) - 8), order)
    return "AFCP", start, trailer if entries else None, is_whole


def _fotostation(data: bytes) -> _Found | None:
    """Find one block of FotoStation; further ones are found in their turn."""
    tag, size = struct.unpack_from(">HI", data, len(data) - 10)
    found = _in_place("FotoStation", data, size)
    if found is None or size < 10:
        return None
    return (*found[:2], None, False) if tag in _FOTOSTATION_PICTURES else found


def _samsung(data: bytes) -> _Found | None:
    """Find Samsung's SEF: a directory with the distance of each field in front of it."""
    (size,) = struct.unpack_from("<I", data, len(data) - 8)
    directory = len(data) - 8 - size
    if directory < 0 or not data.startswith(b"SEFH", directory):
        return None
    count = struct.unpack_from("<I", data, directory + 8)[0]
    start, fields, is_whole = directory, [], True
    for number in range(count):
        kind, back, length = struct.unpack_from("<III", data, directory + 12 + 12 * number)
        field = data[directory - back :][:length]
        if back > directory or len(field) < length:
            return None
        start = min(start, directory - back)
        name = field[8 : 8 + int.from_bytes(field[4:8], "little")]
        if name.startswith(b"MotionPhoto") or _may_show(field):
            is_whole = False
        else:
            fields.append((kind, field))
    if is_whole:
        return "Samsung", start, Trailer(data[start:]), True
    if not fields:
        return "Samsung", start, None, False
    body, back = b"".join(field for _, field in fields), 0
    entries = b""
    for kind, field in reversed(fields):
        back += len(field)
        entries = struct.pack("<III", kind, back, len(field)) + entries
    head = data[directory : directory + 8] + struct.pack("<I", len(fields)) + entries
    return "Samsung", start, Trailer(body + head + struct.pack("<I", len(head)) + b"SEFT"), False


def _may_show(field: bytes) -> bool:
    if len(field) > _LARGEST_FIELD or carve.VIDEO.search(field):
        return True
    return _without_pictures(field) != field


def _oneplus(data: bytes) -> _Found | None:
    """Find OnePlus' trailer: a list in JSON with the distance of each field in front of it."""
    (size,) = struct.unpack_from("<I", data, len(data) - 4)
    directory = len(data) - size
    fields = json.loads(data[directory:-8].rstrip(b"\0"))
    start = directory - max(int(field["offset"]) for field in fields)
    if not 0 <= start <= directory:
        return None
    block = bytearray(data[start:])
    for field in fields:
        at = directory - int(field["offset"]) - start
        end = at + int(field["length"])
        if _may_show(bytes(block[at:end])):
            block[at:end] = bytes(end - at)
    clean = bytes(block)
    is_whole = clean == data[start:]
    stays = None if _may_show(clean[directory - start :]) else Trailer(clean)
    return "OnePlus", start, stays, is_whole


def _vivo(data: bytes) -> _Found | None:
    """Find vivo's trailer: a picture as a stream, then JSON."""
    text = data.rfind(b'vivo{"')
    if text < 0:
        return None
    stream = data.find(b"streamdata", 0, text)
    shows = _may_show(data[text:])
    is_whole = stream < 0 and not shows
    start = text if stream < 0 else stream
    return "Vivo", start, None if shows else Trailer(data[text:]), is_whole
