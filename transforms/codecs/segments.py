"""The marker segments of a JPEG file (ITU-T T.81, annex B), read as decoders read them.

Decoders follow libjpeg: bytes between two segments are skipped up to the next marker, a wrong
length affects that segment alone, and a picture is complete with its last scan, whatever follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from photoveil.transforms.codecs.errors import DAMAGED, CodecError

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
MAGIC = SOI + b"\xff"
APP0, APP1, APP2, APP13, APP14, COM = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
DHT, DAC, SOS, DQT, DNL, DRI = 0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD
FRAMES = {*range(0xC0, 0xD0)} - {DHT, 0xC8, DAC}
STRAY = 0  # no marker: bytes that belong to no segment

_SOI, _EOI = 0xD8, 0xD9
_ALONE = {0x01, *range(0xD0, 0xD8)}  # markers without a length: TEM and RSTn
_PROGRESSIVE = {0xC2, 0xC6, 0xCA, 0xCE}
_BETWEEN_SCANS = {DHT, DAC, DQT, DNL, DRI, SOS}
_BANDS = 64

# The end of entropy-coded data: a marker that is no stuffed zero, restart or fill byte.
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
# With restart markers, a decoder looks for the next of them where it meets a reserved marker.
_AFTER_RESTARTS = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
_MARKER = re.compile(rb"\xff[^\x00\xff]")


@dataclass(frozen=True)
class Segment:
    """One marker segment, or stray bytes as they are (marker `STRAY`).

    marker: its second byte.
    payload: without the length field.
    scan: the entropy-coded data that follows a start of scan.
    """

    marker: int
    payload: bytes
    scan: bytes = b""

    @property
    def is_metadata(self) -> bool:
        """True for APPn and COM, which describe the picture and are not part of it."""
        return 0xE0 <= self.marker <= 0xEF or self.marker == COM

    def to_bytes(self) -> bytes:
        """Return the segment as it is in a file."""
        if self.marker == STRAY:
            return self.payload
        length = (len(self.payload) + 2).to_bytes(2, "big")
        return bytes((0xFF, self.marker)) + length + self.payload + self.scan


def split(data: bytes, start: int = 0) -> tuple[list[Segment], int]:
    """Split the JPEG image at `start` into its segments, as a decoder reads them.

    Returns:
        The segments, and the offset just after its end marker, or after its last scan without one.

    Raises:
        CodecError: no JPEG starts there, or it is cut off before its last scan.
    """
    if data[start : start + 2] != SOI:
        raise CodecError(DAMAGED)
    segments: list[Segment] = []
    seen = _Seen()
    # Once every scan is there: how many segments that are, and where the last one ends.
    complete: tuple[int, int] | None = None
    position = start + 2
    while True:
        found = _MARKER.search(data, position)
        at = found.start() if found else len(data)
        marker = data[at + 1] if found else STRAY
        if marker == _EOI and (at == position or not complete):
            return [*segments, *_stray(data[position:at])], at + 2
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        fits = at + 4 <= end <= len(data)
        if complete and not (at == position and fits and _may_follow_a_scan(marker)):
            return segments[: complete[0]], complete[1]
        if marker in (STRAY, _SOI) or (end > len(data) and marker not in _ALONE):
            raise CodecError(DAMAGED)
        if marker in _ALONE or not fits:
            after = at + (2 if marker in _ALONE else 4)
            segments += _stray(data[position:after])
            position = after
            continue
        segments += _stray(data[position:at])
        payload, scan = data[at + 4 : end], b""
        if marker == SOS:
            following = seen.after_scan.search(data, end)
            stop = following.start() if following else len(data)
            scan, end = data[end:stop], stop
        segments.append(Segment(marker, payload, scan))
        position = end
        seen.note(segments[-1])
        if seen.is_complete and marker in (SOS, DNL):
            complete = len(segments), position


def strictly(data: bytes) -> int:
    """Measure the JPEG image at the start of `data`, in which nothing may be skipped.

    Raises:
        CodecError: anything but an unbroken row of segments up to the end marker.
    """
    parts, end = split(data)
    if not is_ended(data, end) or any(
        part.marker == STRAY and part.payload.strip(b"\xff") for part in parts
    ):
        raise CodecError(DAMAGED)
    return end


def join(segments: list[Segment]) -> bytes:
    """Build a JPEG file of these segments."""
    return SOI + b"".join(segment.to_bytes() for segment in segments) + EOI


def rejoined(segments: list[Segment], data: bytes, end: int) -> bytes:
    """Replace the segments of the file `data`, whose image ends at `end`.

    Everything that follows the last segment stays as it is; so does a missing end marker.
    """
    rest = data[end - len(EOI) :] if is_ended(data, end) else data[end:]
    return join(segments)[: -len(EOI)] + rest


def is_ended(data: bytes, end: int) -> bool:
    """Return True if the image that ends at `end` has its end marker."""
    return data[end - len(EOI) : end] == EOI


def _stray(some: bytes) -> list[Segment]:
    return [Segment(STRAY, some)] if some else []


def _may_follow_a_scan(marker: int) -> bool:
    return marker in _BETWEEN_SCANS or Segment(marker, b"").is_metadata


@dataclass
class _Seen:
    """What the segments up to here say about the scans."""

    restarts: bool = False
    progressive: bool = False
    # By component, the bits of each coefficient that are still to come; none before the frame.
    missing: dict[int, list[int]] = field(default_factory=dict)

    @property
    def after_scan(self) -> re.Pattern[bytes]:
        return _AFTER_RESTARTS if self.restarts else _AFTER_SCAN

    @property
    def is_complete(self) -> bool:
        return bool(self.missing) and not any(map(any, self.missing.values()))

    def note(self, segment: Segment) -> None:
        payload = segment.payload
        if segment.marker == DRI:
            self.restarts = any(payload)
        elif segment.marker in FRAMES and not self.missing:
            self.progressive = segment.marker in _PROGRESSIVE
            self.missing = {name: [1] * _BANDS for name in payload[6::3]}
        elif segment.marker == SOS and payload:
            count = 1 + 2 * payload[0]
            first, last, bits = payload[count : count + 3].ljust(3, b"\0")
            if not self.progressive:
                first, last, bits = 0, _BANDS - 1, 0
            for name in payload[1:count:2]:
                for band in range(first, min(last, _BANDS - 1) + 1):
                    self.missing.get(name, [0] * _BANDS)[band] = bits & 0xF
