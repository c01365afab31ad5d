"""Names of people in a photo's metadata, with face regions.

These are Metadata Working Group regions (`mwg-rs`, as Apple, Google, Picasa, Lightroom and digiKam
write them), Microsoft's people tags (`MP`, `MPRI`, `MPReg`), IPTC's `PersonInImage` and image
regions, names of faces, babies and pets in Panasonic's MakerNotes, and the keywords of XMP,
IPTC-IIM (2:25) and EXIF (XPKeywords) that repeat a name, or are filed below "People" as by digiKam
and Lightroom. They are blanked in place, so that no offset moves.
"""

from __future__ import annotations

import html
import json
import re
import struct
from collections.abc import Collection, Iterator
from typing import Any

from photoveil.transforms.codecs import exif
from photoveil.transforms.codecs.errors import DAMAGE

_PACKET = re.compile(rb"<(x:xmpmeta|rdf:RDF)\b.*?</\1\s*>", re.DOTALL)
_REGIONS = re.compile(
    rb"<(mwg-rs:RegionList|MPRI:Regions|Iptc4xmpExt:ImageRegion)\b[^>]*>.*?</\1\s*>", re.DOTALL
)
_ITEM = re.compile(rb"<rdf:li\b[^>]*/>|<rdf:li\b[^>]*>(?:(?!<rdf:li\b).)*?</rdf:li\s*>", re.DOTALL)
_PERSON = re.compile(
    rb"mwg-rs:Type(?:=[\"']|>)\s*Face|MPReg:|Iptc4xmpExt:PersonInImage|regionType/(?:human|face)"
    rb"|imageRegion/rRole/(?:subjectArea)?face",
    re.IGNORECASE,
)
_LISTS = re.compile(
    rb"<(Iptc4xmpExt:PersonInImage(?:WDetails)?|mediapro:People|apple-fi:Regions)\b[^>]*"
    rb"(?:/>|>.*?</\1\s*>)",
    re.DOTALL,
)
_NAME = re.compile(
    rb"(?:mwg-rs:Name|MPReg:PersonDisplayName)(?:\s*=\s*\"([^\"]+)\"|\s*=\s*'([^']+)'|>([^<]+)<)"
)
_KEYWORDS = re.compile(
    rb"<(dc:subject|digiKam:TagsList|lr:hierarchicalSubject|MicrosoftPhoto:LastKeywordXMP)\b[^>]*>"
    rb".*?</\1\s*>",
    re.DOTALL,
)
_KEYWORD = re.compile(rb"<rdf:li\b[^>]*>([^<]*)</rdf:li\s*>")
_LEVELS = re.compile(r"[/|]")  # digiKam's and Lightroom's

_TIFF_HEADS = re.compile(rb"II\*\0|MM\0\*")
_XP_KEYWORDS, _EXIF_DIRECTORY, _MAKER_NOTE = 0x9C9E, 0x8769, 0x927C
_PANASONIC = b"Panasonic\0\0\0"
# As ExifTool knows them: a name of 64 bytes; three faces, each with a name of 20 bytes.
_BABY_NAME, _FACES, _FACE_NAMES = 0x66, 0x61, (4, 52, 100)
_IIM_KEYWORD = b"\x1c\2\x19"


def people(data: bytes) -> set[str]:
    """Return the names of people that the tags in some bytes give."""
    found = {name for packet in _PACKET.finditer(data) for name in _names(packet[0])}
    found |= {_maker_name(data[start:end]) for start, end in _maker_names(data)}
    return found - {""}


def without_names(data: bytes, known: Collection[str] = ()) -> tuple[bytes, int]:
    """Remove the people tags from bytes that hold whole packets and blocks of metadata.

    Args:
        data: the bytes.
        known: names of people that other parts of the file give.

    Returns:
        Bytes of the same length, and how many face regions, names and keywords there were.
    """
    known = {*known, *people(data)}
    count = 0

    def blank(match: re.Match[bytes]) -> bytes:
        nonlocal count
        count += 1
        return b" " * len(match[0])

    def blank_person(match: re.Match[bytes]) -> bytes:
        return blank(match) if _PERSON.search(match[0]) else match[0]

    def blank_keyword(match: re.Match[bytes]) -> bytes:
        return blank(match) if _names_somebody(_text(match[1]), known) else match[0]

    def in_packet(match: re.Match[bytes]) -> bytes:
        without = _LISTS.sub(blank, match[0])
        without = _KEYWORDS.sub(lambda words: _KEYWORD.sub(blank_keyword, words[0]), without)
        return _REGIONS.sub(lambda regions: _ITEM.sub(blank_person, regions[0]), without)

    without, in_iim = _without_iim(_PACKET.sub(in_packet, data), known)
    without, in_exif = _without_exif(without, known)
    return without, count + in_iim + in_exif


def _names(packet: bytes) -> set[str]:
    """Return the names of people that the tags of an XMP packet give."""
    found = {
        name
        for item in _REGIONS.finditer(packet)
        for region in _ITEM.finditer(item[0])
        if _PERSON.search(region[0])
        for groups in _NAME.findall(region[0])
        for name in groups
    }
    for listed in _LISTS.finditer(packet):
        found |= set(_KEYWORD.findall(listed[0]))
    return {_text(name) for name in found} - {""}


def _text(escaped: bytes) -> str:
    return html.unescape(escaped.decode("utf-8", "replace")).strip()


def _names_somebody(keyword: str, known: Collection[str]) -> bool:
    levels = [level.strip() for level in _LEVELS.split(keyword)]
    below_people = len(levels) > 1 and levels[0].lower() == "people"
    return below_people or levels[-1] in known


def _without_iim(data: bytes, known: Collection[str]) -> tuple[bytes, int]:
    """Remove the keywords of people from IPTC-IIM blocks; what follows them moves up."""
    block, count, position = bytearray(data), 0, 0
    while (start := data.find(_IIM_KEYWORD, position)) >= 0:
        kept, end, gone = [], start, 0
        while data[end : end + 1] == b"\x1c" and end + 5 <= len(data) and 1 <= data[end + 1] <= 9:
            size = int.from_bytes(data[end + 3 : end + 5], "big")
            value = data[end + 5 : end + 5 + size]
            if size > 0x7FFF or len(value) < size:
                break
            is_keyword = data.startswith(_IIM_KEYWORD, end)
            if is_keyword and any(_names_somebody(text, known) for text in _iim_texts(value)):
                gone += 1
            else:
                kept.append(data[end : end + 5 + size])
            end += 5 + size
        if gone:
            block[start:end] = b"".join(kept).ljust(end - start, b"\0")
            count += gone
        position = max(end, start + 1)
    return bytes(block), count


def _iim_texts(value: bytes) -> set[str]:
    """Decode a value in each coding that it may have.

    Few files name the coding, and some name a wrong one.
    """
    return {value.decode(coding, "replace").strip() for coding in ("utf-8", "latin-1")}


def _without_exif(data: bytes, known: Collection[str]) -> tuple[bytes, int]:
    block, count = bytearray(data), 0
    for start, end in _maker_names(data):
        if _maker_name(data[start:end]):
            block[start:end] = bytes(end - start)
            count += 1
    for start, end in _tags(data, _XP_KEYWORDS):
        words = data[start:end].decode("utf-16-le", "replace").rstrip("\0").split(";")
        kept = [word for word in words if not _names_somebody(word.strip(), known)]
        if len(kept) < len(words):
            size = end - start
            block[start:end] = ";".join(kept).encode("utf-16-le")[:size].ljust(size, b"\0")
            count += len(words) - len(kept)
    return bytes(block), count


def _tags(data: bytes, tag: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of the values of a tag, of more than 4 bytes, in TIFF blocks."""
    for _, _, directory, start in _blocks(data):
        kind, size, at = directory.entries.get(tag, (0, 0, 0, 0))[1:]
        if kind in (1, 7) and size > 4 and start + at + size <= len(data):
            yield start + at, start + at + size


def _maker_names(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of the room that a Panasonic MakerNote has for a name."""
    for order, view, directory, start in _blocks(data):
        try:
            inner = exif.directory(view, directory.entries[_EXIF_DIRECTORY][3], order)
            at = inner.entries[_MAKER_NOTE][3]
            if bytes(view[at : at + len(_PANASONIC)]) != _PANASONIC:
                continue
            entries = exif.directory(view, at + len(_PANASONIC), order).entries
        except DAMAGE:
            continue
        _, _, size, at = entries.get(_BABY_NAME, (0, 0, 0, 0))
        fields = [(at, size)] if size > 4 else []
        _, _, size, at = entries.get(_FACES, (0, 0, 0, 0))
        fields += [(at + name, 20) for name in _FACE_NAMES if name + 20 <= size]
        yield from ((start + p, start + p + n) for p, n in fields if start + p + n <= len(data))


def _maker_name(field: bytes) -> str:
    text = field.split(b"\0")[0].decode("utf-8", "replace").strip()
    return text.strip("-")  # what some cameras write for none


def _blocks(data: bytes) -> Iterator[tuple[str, memoryview, exif.Directory, int]]:
    """Yield byte order, bytes from the header on, first directory and start of every TIFF block."""
    for match in _TIFF_HEADS.finditer(data):
        view, order = memoryview(data)[match.start() :], "<" if match[0][:1] == b"I" else ">"
        try:
            offset = struct.unpack_from(order + "I", view, 4)[0]
            yield order, view, exif.directory(view, offset, order), match.start()
        except DAMAGE:
            continue


def without_takeout_names(text: bytes) -> tuple[bytes, int]:
    """Remove `people` from a Google Takeout sidecar.

    Returns:
        The sidecar, and how many people there were.

    Raises:
        ValueError: it is not JSON.
    """
    found: Any = json.loads(text)
    people = found.pop("people", []) if isinstance(found, dict) else []
    if not people:
        return text, 0
    return json.dumps(found, ensure_ascii=False, indent=2).encode(), len(people)
