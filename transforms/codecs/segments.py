"""The marker segments of a JPEG file (ITU-T T.81, annex B)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from transforms.codecs.errors import CodecError

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
MAGIC = SOI + b"\xff"
APP0, APP1, APP2, APP13, APP14, COM = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE
SOS, _EOI = 0xDA, 0xD9

# The end of entropy-coded data: a marker that is no stuffed zero, restart or fill byte.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


@dataclass(frozen=True)
class Segment:
    """One marker segment: the marker's second byte, its payload without the length field, and
    for a start of scan the entropy-coded data that follows it."""

    marker: int
    payload: bytes
    scan: bytes = b""

    @property
    def is_metadata(self) -> bool:
        """True for APPn and COM: what says something about the picture and is not it."""
        return 0xE0 <= self.marker <= 0xEF or self.marker == COM

    def to_bytes(self) -> bytes:
        length = (len(self.payload) + 2).to_bytes(2, "big")
        return bytes((0xFF, self.marker)) + length + self.payload + self.scan


def split(data: bytes, start: int = 0) -> tuple[list[Segment], int]:
    """The segments of the JPEG image at `start`, and the offset just after its end marker.

    Raises:
        CodecError: no JPEG starts there, or it breaks off.
    """
    if data[start : start + 2] != SOI:
        raise CodecError("no JPEG start marker")
    segments: list[Segment] = []
    position = start + 2
    while True:
        while data[position : position + 2] == b"\xff\xff":  # fill bytes are allowed
            position += 1
        if position + 4 > len(data) and data[position : position + 2] != EOI:
            raise CodecError("the JPEG breaks off")
        if data[position] != 0xFF:
            raise CodecError("the JPEG's segments are damaged")
        marker = data[position + 1]
        if marker == _EOI:
            return segments, position + 2
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        payload, scan = data[position + 4 : end], b""
        if marker == SOS:
            found = _NEXT_MARKER.search(data, end)
            if found is None:
                raise CodecError("the JPEG breaks off")
            scan, end = data[end : found.start()], found.start()
        segments.append(Segment(marker, payload, scan))
        position = end


def join(segments: list[Segment]) -> bytes:
    """A JPEG file of these segments."""
    return SOI + b"".join(segment.to_bytes() for segment in segments) + EOI
