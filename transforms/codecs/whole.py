"""JPEGs that viewers show completely although their end marker or their height is not where Pillow
and libjpeg look for it.

A file without an end marker may be complete or cut off. The decoder shows which: the pixels of a
complete picture do not depend on what would have come next.
"""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from photoveil.transforms.codecs import segments
from photoveil.transforms.codecs.errors import DAMAGED, CodecError
from photoveil.transforms.codecs.photo import NO_LIMIT, open_image
from photoveil.transforms.codecs.segments import DNL, FRAMES, SOS, STRAY, Segment

_NO_END = "original has no end marker"
_STRAY = "original has stray bytes between its segments"
_LATE_HEIGHT = "original tells its height behind the picture"
_TAIL = 64  # bytes of coded data: more than what is left of a block
_RESTARTS = range(0xD0, 0xD8)


def readable(data: bytes) -> bytes:
    """The file as Pillow can read it: itself, unless something is odd about it, as `mended` says.

    Raises:
        CodecError: it breaks off before its last pixel.
    """
    found, end = segments.split(data)
    is_ended = segments.is_ended(data, end)
    parts, notes = mended(found, is_ended)
    if not notes:
        return data
    if not is_ended:
        _check(parts)
    # libjpeg passes over all stray bytes, and Pillow over most of them.
    return segments.join([part for part in parts if part.marker != STRAY])


def mended(parts: list[Segment], is_ended: bool) -> tuple[list[Segment], list[str]]:
    """The segments of a JPEG with its height in the frame header; and what was wrong with it."""
    notes = [] if is_ended else [_NO_END]
    # Fill bytes may stand before every marker (T.81 B.1.1.2).
    if any(part.marker == STRAY and part.payload.strip(b"\xff") for part in parts):
        notes.append(_STRAY)
    late = next((s.payload for s in parts if s.marker == DNL and len(s.payload) == 2), None)
    if late is None or not any(_lacks_height(s) for s in parts):
        return parts, notes
    # T.81 B.2.5: the number of lines is in a segment of its own, after the first scan.
    told = [
        replace(s, payload=s.payload[:1] + late + s.payload[3:]) if _lacks_height(s) else s
        for s in parts
        if s.marker != DNL
    ]
    return told, [*notes, _LATE_HEIGHT]


def _lacks_height(segment: Segment) -> bool:
    return segment.marker in FRAMES and segment.payload[1:3] == b"\0\0"


def _check(parts: list[Segment]) -> None:
    """Raises:
    CodecError: bytes are missing at the end of the last scan.
    """
    formats = ("JPEG", "MPO")
    at = max(index for index, part in enumerate(parts) if part.marker == SOS)
    seen = []
    for tail in (b"", *_tails()):
        scan = parts[at].scan.rstrip(b"\xff") + tail
        file = segments.join([*parts[:at], replace(parts[at], scan=scan)])
        seen.append(np.asarray(open_image(file, formats, NO_LIMIT)))
    if any(not np.array_equal(one, seen[0]) for one in seen[1:]):
        raise CodecError(DAMAGED, "the last scan breaks off")


def _tails() -> list[bytes]:
    """Coded data that looks unlike each other and unlike the zeros that a decoder goes on with,
    with every restart marker that may come next."""
    numbers = random.Random(0)
    coded = [
        bytes([first, *(numbers.randrange(1, 255) for _ in range(_TAIL))]) for first in (90, 165)
    ]
    return [one + b"".join(bytes((0xFF, rst)) + one for rst in _RESTARTS) for one in coded]
