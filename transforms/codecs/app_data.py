"""Segments of a JPEG that hold data besides a picture: the picture is removed, the data are kept.

These are FLIR's thermal data, FlashPix streams, TIFF blocks of Kodak and others, JUMBF boxes, and
whatever else is in an APPn or COM segment that no other module handles.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from photoveil.transforms.codecs import carve, exif, segments
from photoveil.transforms.codecs.errors import DAMAGE, CodecError
from photoveil.transforms.codecs.photo import NO_CREDENTIALS
from photoveil.transforms.codecs.segments import APP0, APP1, APP2, COM, Segment

APP3, APP4, APP11 = 0xE3, 0xE4, 0xEB

_FLIR = b"FLIR\0"
_FLIR_HEAD = 8  # with the number of the segment and that of the last one
_FLIR_UNUSED = 0
_FLIR_PICTURES = {1: "thermal picture", 6: "thermal picture", 14: "picture"}
_FPXR, _FPXR_HEAD = b"FPXR\0", 13
_FPXR_STREAM = 2
_JUMBF = b"JP"
_C2PA = re.compile(rb"c2pa\0\x11\0\x10\x80\0\0\xaa\0\x38\x9b\x71")
_TIFF_HEADS = re.compile(rb"II\*\0|MM\0\*")
_LEAST = 32  # bytes left of a segment, below which it was there for its picture


@dataclass
class _Taken:
    """Segments in the order of the file, None for one that is removed; and what was done."""

    kept: list[Segment | None]
    notes: list[str]

    def places(self, is_one: Callable[[Segment], bool]) -> list[int]:
        return [at for at, one in enumerate(self.kept) if one is not None and is_one(one)]

    def remove(self, places: Iterable[int], note: str) -> None:
        for at in places:
            self.kept[at] = None
        self.notes.append(note)

    def payload(self, at: int) -> bytes:
        segment = self.kept[at]
        return segment.payload if segment is not None else b""

    def put(self, places: list[int], head: int, whole: bytes) -> None:
        """Replace what follows the first `head` bytes of these segments by `whole`."""
        position = 0
        for at in places:
            old = self.payload(at)
            room = len(old) - head
            segment = self.kept[at]
            assert segment is not None
            body = old[:head] + whole[position : position + room]
            self.kept[at] = Segment(segment.marker, body)
            position += room


def without_pictures(
    metadata: list[Segment], is_known: Callable[[Segment], bool]
) -> tuple[list[Segment], list[str]]:
    """Remove the pictures from the segments that no other module handles.

    Args:
        metadata: all segments of a photo, in the order of the file.
        is_known: returns True for the segments of another module.

    Returns:
        The segments to keep, and what was done.
    """
    taken = _Taken(list(metadata), [])

    def own(marker: int | None, head: bytes) -> list[int]:
        return taken.places(
            lambda s: not is_known(s) and marker in (None, s.marker) and s.payload.startswith(head)
        )

    _flir(taken, own(APP1, _FLIR))
    _thermal(taken, own)
    if places := own(APP11, b"HDR_RI"):
        taken.remove(places, "JPEG-HDR ratio picture removed")
    _jumbf(taken, own(APP11, _JUMBF))
    for marker in (APP2, APP4):
        _flashpix(taken, own(marker, _FPXR))
    named = {*own(APP1, _FLIR), *own(APP11, _JUMBF)}
    others = [at for at in own(None, b"") if at not in named]
    _tiff_blocks(taken, others)
    _any_other(taken, others)
    return [one for one in taken.kept if one is not None], taken.notes


def _flir(taken: _Taken, places: list[int]) -> None:
    """Remove the records of FLIR's FFF file that are pictures."""
    if not places:
        return
    whole = bytearray(b"".join(taken.payload(at)[_FLIR_HEAD:] for at in places))
    try:
        removed = _fff_without_pictures(whole)
    except DAMAGE:
        taken.remove(places, "FLIR data removed: they cannot be read")
        return
    clean, count = carve.blanked(bytes(whole))
    taken.put(places, _FLIR_HEAD, clean)
    removed += ["picture"] * count
    taken.notes += [f"{what} in the FLIR data removed" for what in removed]


def _fff_without_pictures(whole: bytearray) -> list[str]:
    """Blank the records that are pictures, in place.

    Returns:
        What they were.

    Raises:
        DAMAGE: not an FFF file.
    """
    if whole[:4] != b"FFF\0":
        raise ValueError("no FFF file")
    order = next(o for o in "><" if 100 <= struct.unpack_from(o + "I", whole, 20)[0] < 200)
    at, count = struct.unpack_from(order + "II", whole, 24)
    removed = []
    for number in range(count):
        entry = at + 32 * number
        (kind,) = struct.unpack_from(order + "H", whole, entry)
        start, size = struct.unpack_from(order + "II", whole, entry + 12)
        if kind in _FLIR_PICTURES:
            end = min(len(whole), start + size)
            whole[start:end] = bytes(max(0, end - start))
            struct.pack_into(order + "H", whole, entry, _FLIR_UNUSED)
            removed.append(_FLIR_PICTURES[kind])
    return removed


def _thermal(taken: _Taken, own: Callable[[int | None, bytes], list[int]]) -> None:
    """Remove thermal pictures that have no header, recognised by the other segments of the file."""
    if places := own(APP1, b"PARROT\0"):
        taken.remove(places, "thermal picture in APP1 removed")
    infiray = any(taken.payload(at)[4:10] == b"IJPEG\0" for at in own(APP2, b""))
    if infiray or own(APP4, b"\xaa\x55\x12\x06"):  # DJI's parameters of such a picture
        named = (b"Meta\0", b"META\0", b"Exif\0", b"Stim\0", b"_JPSJPS_")
        if places := [at for at in own(APP3, b"") if not taken.payload(at).startswith(named)]:
            taken.remove(places, "thermal picture in APP3 removed")


def _jumbf(taken: _Taken, places: list[int]) -> None:
    """Boxes that go on over several segments (ISO/IEC 19566-5, and JPEG XT, 18477-3)."""
    boxes: dict[bytes, list[int]] = {}
    for at in places:  # a box by its number and its type
        payload = taken.payload(at)
        boxes.setdefault(payload[2:4] + payload[12:16], []).append(at)
    extensions = []
    for name, parts in boxes.items():
        whole = b"".join(taken.payload(at)[16:] for at in parts)
        if name.endswith(b"jumb") and _C2PA.search(whole[:64]):
            taken.remove(parts, NO_CREDENTIALS)
        elif name.endswith(b"jumb") and _shows(whole):
            taken.remove(parts, "picture in APP11 removed")
        elif not name.endswith(b"jumb"):
            extensions += parts
    # The boxes of an extension belong together: without the residual the others mean nothing.
    if _shows(b"".join(taken.payload(at)[4:] for at in extensions)):
        taken.remove(extensions, "picture in APP11 removed")


def _flashpix(taken: _Taken, places: list[int]) -> None:
    streams: dict[bytes, list[int]] = {}
    for at in places:
        payload = taken.payload(at)
        if payload[6:7] == bytes((_FPXR_STREAM,)):
            streams.setdefault(payload[7:9], []).append(at)
    for parts in streams.values():
        whole = b"".join(taken.payload(at)[_FPXR_HEAD:] for at in parts)
        clean, count = carve.blanked(whole)
        if count:
            taken.put(parts, _FPXR_HEAD, clean)
            taken.notes.append("picture in FlashPix data removed")


def _tiff_blocks(taken: _Taken, places: list[int]) -> None:
    """Remove the thumbnail of a TIFF block such as Kodak's ("Meta")."""
    for at in places:
        match = _TIFF_HEADS.search(taken.payload(at)[:16])
        segment = taken.kept[at]
        if match is None or segment is None:
            continue
        start = match.start()
        clean, done = exif.cloak_pictures(segment.payload[start:], None)
        if done:
            taken.kept[at] = Segment(segment.marker, segment.payload[:start] + clean)
            taken.notes.append(f"picture in {_name(segment.marker)} removed")


def _any_other(taken: _Taken, places: list[int]) -> None:
    """Remove any other picture.

    One within a segment is blanked. If one continues in the next segments, these and all others
    with their markers are removed, because the layout of their headers is not known.
    """
    places = [at for at in places if taken.kept[at] is not None]
    bounds = [0]
    for at in places:
        bounds.append(bounds[-1] + len(taken.payload(at)))
    whole = b"".join(taken.payload(at) for at in places)
    beyond: set[int] = set()
    for index, at in enumerate(places):
        segment = taken.kept[at]
        assert segment is not None
        found = list(carve.pictures(segment.payload))
        coded = list(carve.coded_pictures(segment.payload))
        cut = segment.payload.find(segments.MAGIC) >= 0 and not found
        if cut or any(not _is_complete(one, segment.payload) for one in coded):
            beyond.add(segment.marker)
            continue
        if any(not _is_complete(one, segment.payload) for one in found):
            start = bounds[index] + next(
                one.start for one in found if not _is_complete(one, segment.payload)
            )
            end = max((one.end for one in carve.pictures(whole[start:])), default=0)
            last = max((n for n in range(len(places)) if bounds[n] < start + end), default=index)
            reached = [taken.kept[places[n]] for n in range(index, last + 1)]
            beyond |= {one.marker for one in reached if one is not None}
        elif found or coded:
            clean, _ = carve.blanked(segment.payload)
            left = clean.translate(None, b"\0 ")
            taken.kept[at] = Segment(segment.marker, clean) if len(left) >= _LEAST else None
            taken.notes.append(f"picture in {_name(segment.marker)} removed")
    for marker in sorted(beyond):
        of_it = [at for at in places if (one := taken.kept[at]) and one.marker == marker]
        taken.remove(of_it, f"picture in {_name(marker)} removed")


def _is_complete(found: carve.Found, payload: bytes) -> bool:
    if found.data.startswith(segments.MAGIC):
        try:
            segments.strictly(found.data)
        except CodecError:
            return False
        return True
    if found.coding == carve.PACKED:
        return found.is_sure
    return found.end < len(payload)


def _shows(data: bytes) -> bool:
    return segments.MAGIC in data or carve.holds_pictures(data)


def _name(marker: int) -> str:
    return "a comment" if marker == COM else f"APP{marker - APP0}"
