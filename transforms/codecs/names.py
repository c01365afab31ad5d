"""Who is in a photo, as XMP says it: face regions and names of people.

Metadata Working Group regions (`mwg-rs`, as Apple, Google, Picasa, Lightroom and digiKam write
them), Microsoft's people tags (`MP`, `MPRI`, `MPReg`), and IPTC's `PersonInImage` and image
regions. They are blanked where they lie, with as many spaces, so that no offset moves.
"""

from __future__ import annotations

import json
import re
from typing import Any

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


def without_names(packet: bytes) -> tuple[bytes, int]:
    """A packet, or any bytes that hold packets whole, without its people tags.

    Returns:
        Bytes of the same length, and how many face regions and lists of names there were.
    """
    count = 0

    def blank(match: re.Match[bytes]) -> bytes:
        nonlocal count
        count += 1
        return b" " * len(match[0])

    def blank_person(match: re.Match[bytes]) -> bytes:
        return blank(match) if _PERSON.search(match[0]) else match[0]

    def in_packet(match: re.Match[bytes]) -> bytes:
        without = _LISTS.sub(blank, match[0])
        return _REGIONS.sub(lambda regions: _ITEM.sub(blank_person, regions[0]), without)

    return _PACKET.sub(in_packet, packet), count


def without_takeout_names(text: bytes) -> tuple[bytes, int]:
    """A Google Takeout sidecar without its `people`, and how many there were.

    Raises:
        ValueError: it is no JSON.
    """
    found: Any = json.loads(text)
    people = found.pop("people", []) if isinstance(found, dict) else []
    if not people:
        return text, 0
    return json.dumps(found, ensure_ascii=False, indent=2).encode(), len(people)
