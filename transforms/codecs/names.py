"""Who is in a photo, as XMP says it: face regions and names of people.

Metadata Working Group regions (`mwg-rs`, as Apple, Google, Picasa, Lightroom and digiKam write
them), Microsoft's people tags (`MP`, `MPRI`, `MPReg`), and IPTC's `PersonInImage` and image
regions; and the keywords that repeat a name, or lie below "People" as digiKam and Lightroom file
them. They are blanked where they lie, with as many spaces, so that no offset moves.
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
_NAME = re.compile(
    rb"(?:mwg-rs:Name|MPReg:PersonDisplayName)(?:\s*=\s*\"([^\"]+)\"|\s*=\s*'([^']+)'|>([^<]+)<)"
)
_KEYWORDS = re.compile(
    rb"<(dc:subject|digiKam:TagsList|lr:hierarchicalSubject|MicrosoftPhoto:LastKeywordXMP)\b[^>]*>"
    rb".*?</\1\s*>",
    re.DOTALL,
)
_KEYWORD = re.compile(rb"<rdf:li\b[^>]*>([^<]*)</rdf:li\s*>")
_LEVELS = re.compile(rb"[/|]")  # digiKam's and Lightroom's


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
        people = _names(match[0])

        def blank_keyword(match: re.Match[bytes]) -> bytes:
            levels = [level.strip() for level in _LEVELS.split(match[1])]
            below_people = len(levels) > 1 and levels[0].lower() == b"people"
            return blank(match) if below_people or levels[-1] in people else match[0]

        without = _LISTS.sub(blank, match[0])
        without = _KEYWORDS.sub(lambda words: _KEYWORD.sub(blank_keyword, words[0]), without)
        return _REGIONS.sub(lambda regions: _ITEM.sub(blank_person, regions[0]), without)

    return _PACKET.sub(in_packet, packet), count


def _names(packet: bytes) -> set[bytes]:
    """Of people, as the tags of a packet give them, still escaped."""
    found = {
        name.strip()
        for item in _REGIONS.finditer(packet)
        for region in _ITEM.finditer(item[0])
        if _PERSON.search(region[0])
        for groups in _NAME.findall(region[0])
        for name in groups
    }
    for people in _LISTS.finditer(packet):
        found |= {name.strip() for name in _KEYWORD.findall(people[0])}
    return found - {b""}


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
