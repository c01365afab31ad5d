"""JPEGs that viewers show completely although they lack something, or that hold hidden rows.

Pillow and libjpeg do not find the end marker or the height of the former. A file without an end
marker may be complete or cut off. The decoder shows which: the pixels of a complete picture do not
depend on what would come next. Nor do they depend on what is behind the last row of a picture whose
header says a lower height.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace

import numpy as np

from photoveil.transforms.codecs import segments
from photoveil.transforms.codecs.errors import DAMAGED, CodecError, explained
from photoveil.transforms.codecs.photo import NO_LIMIT, open_image, opened
from photoveil.transforms.codecs.segments import APP14, DNL, FRAMES, SOS, STRAY, Segment

_FORMATS = ("JPEG", "MPO")
_FILLER = b"\0\xff"
_ARITHMETIC = FRAMES & {*range(0xC9, 0xD0)}
_BEHIND = 128  # bytes behind the picture, in fewer of which nobody is to be seen
_MOST_MCU, _MOST_HEIGHT = 32, 65500  # rows; libjpeg decodes no more
_NO_END = "original has no end marker"
_STRAY = "original has stray bytes between its segments"
_LATE_HEIGHT = "original tells its height behind the picture"
_TAIL = 64  # bytes of coded data: more than what is left of a block
_RESTARTS = range(0xD0, 0xD8)


def readable(data: bytes) -> bytes:
    """Make the file readable for Pillow: the same file, unless `mended` finds something wrong.

    Raises:
        CodecError: it is cut off before its last pixel.
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
    """Move the height of a JPEG into its frame header, and find what else is unusual.

    Returns:
        The segments, and the defects.
    """
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


def behind_rows(parts: list[Segment]) -> bytes:
    """Find the bytes of the scans that have no part in the picture: the last ones of many, or none.

    Args:
        parts: all segments of the image, as `mended` returns them.
    """
    parts = [part for part in parts if not part.is_metadata or part.marker == APP14]
    scans = [index for index, part in enumerate(parts) if part.marker == SOS]
    is_small = len(scans) == 1  # of several scans, a reduced picture may need only the first
    last = parts[scans[-1]].scan.rstrip(_FILLER)
    # Arithmetic decoders find rows in no data at all.
    is_plain = is_small or any(part.marker in _ARITHMETIC for part in parts)
    with suppress(CodecError):  # of a file that is damaged once it is changed
        if len(last) > _BEHIND and _is_idle(parts, scans[-1], last, is_small):
            return last[-_BEHIND:]
        return b"" if is_plain else _lower_rows(parts)
    return b""


def _is_idle(parts: list[Segment], at: int, scan: bytes, is_small: bool) -> bool:
    """Return True if the last bytes of a scan, the segment `at`, change nothing in the picture."""
    seen = _shown(parts, is_small)
    for tail in _tails():
        other = replace(parts[at], scan=scan[:-_BEHIND] + tail)
        if not np.array_equal(seen, _shown([*parts[:at], other, *parts[at + 1 :]], is_small)):
            return False
    return True


def _lower_rows(parts: list[Segment]) -> bytes:
    """Return the last bytes of the first scan, if it continues below the picture."""
    at = next(index for index, part in enumerate(parts) if part.marker in FRAMES)
    height = int.from_bytes(parts[at].payload[1:3], "big")
    more = min(2 * height + 2 * _MOST_MCU, _MOST_HEIGHT)
    payload = parts[at].payload[:1] + more.to_bytes(2, "big") + parts[at].payload[3:]
    seen = _shown([*parts[:at], replace(parts[at], payload=payload), *parts[at + 1 :]], True)
    below = seen[-(-(height + 2 * _MOST_MCU) * len(seen) // more) :]
    if below.size == 0 or (below.max(axis=(0, 1)) == below.min(axis=(0, 1))).all():
        return b""
    return next(part.scan for part in parts if part.marker == SOS)[-_BEHIND:]


def _shown(parts: list[Segment], is_small: bool) -> np.ndarray:
    """Decode the stored pixels, (H, W[, channels]).

    Args:
        parts: all segments of the image.
        is_small: True to reduce them as far as that costs nothing.
    """
    with explained(DAMAGED), opened(segments.join(parts), _FORMATS) as image:
        if is_small:
            image.draft(None, (1, 1))
        return np.asarray(image)


def _lacks_height(segment: Segment) -> bool:
    return segment.marker in FRAMES and segment.payload[1:3] == b"\0\0"


def _check(parts: list[Segment]) -> None:
    """Refuse a JPEG whose last scan is cut off.

    Raises:
        CodecError: bytes are missing at its end.
    """
    at = max(index for index, part in enumerate(parts) if part.marker == SOS)
    seen = []
    for tail in (b"", *_tails()):
        scan = parts[at].scan.rstrip(b"\xff") + tail
        file = segments.join([*parts[:at], replace(parts[at], scan=scan)])
        seen.append(np.asarray(open_image(file, _FORMATS, NO_LIMIT)))
    if any(not np.array_equal(one, seen[0]) for one in seen[1:]):
        raise CodecError(DAMAGED, "the last scan breaks off")


def _tails() -> list[bytes]:
    """Make coded data to append: unlike each other, and unlike the zeros that a decoder assumes.

    Each comes with every restart marker that may follow.
    """
    numbers = random.Random(0)
    coded = [
        bytes([first, *(numbers.randrange(1, 255) for _ in range(_TAIL))]) for first in (90, 165)
    ]
    return [one + b"".join(bytes((0xFF, rst)) + one for rst in _RESTARTS) for one in coded]
