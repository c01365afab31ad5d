"""Find pictures inside bytes that are not a picture file themselves, by their first bytes.

The codecs blank what they find; the leak scanner (`transforms/leaks/embedded_images.py`) searches
it for faces.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from photoveil.transforms.codecs import bmff, segments
from photoveil.transforms.codecs.errors import DAMAGE, CodecError

# A JPEG whatever its first byte: some cameras (Minolta, Konica) alter that of a preview.
_BEGINNINGS = re.compile(
    rb"[\x00-\xff]\xd8\xff[\xc0-\xc4\xdb\xdd\xe0-\xef\xfe]"
    rb"|\x89PNG\r\n\x1a\n"
    rb"|RIFF[\x00-\xff]{4}WEBP"
    rb"|GIF8[79]a"
    rb"|BM[\x00-\xff]{4}\0{4}[\x00-\xff]{4}[\x28\x6c\x7c]\0\0\0"
    rb"|\0\0\0\x0cjP  \r\n\x87\n"
    rb"|\0\0\0[\x10-\xff]ftyp(?:hei[cxms]|mif1|avif)",
    re.DOTALL,
)
VIDEO = re.compile(
    rb"\0\0\0[\x08-\xff]ftyp(?!hei[cxms]|mif1|msf1|avif|avis|crx )[ -~]{4}"
    rb"|RIFF[\x00-\xff]{4}AVI |\x1aE\xdf\xa3[\x00-\xff]{1,12}B\x86",
    re.DOTALL,
)
# Long enough for the smallest picture; line breaks may be XML's character references.
_BASE64 = re.compile(
    rb"[A-Za-z0-9+/](?:[A-Za-z0-9+/]|[ \t\r\n]|&#(?:x[AaDd9]|10|13|9);){20,}={0,2}\s*"
)
_BETWEEN_BASE64 = re.compile(rb"\s|&#\w+;")
# How JPEG, PNG, GIF and RIFF begin in base64: other text may lie right before it.
_BASE64_BEGINNINGS = re.compile(rb"/9j/|iVBORw0KGgo|R0lGOD|UklGR")


@dataclass(frozen=True)
class Found:
    """A picture in some bytes: where it is, and its own bytes, an altered first one repaired."""

    start: int
    end: int
    data: bytes


def pictures(data: bytes) -> Iterator[Found]:
    """Find every JPEG, PNG, WebP, GIF, BMP, JPEG 2000, HEIC and AVIF that begins in `data` and has
    a readable header.

    A picture inside a picture (a thumbnail in a preview's EXIF) is part of the outer one.
    """
    position = 0
    while match := _BEGINNINGS.search(data, position):
        start = match.start()
        position = start + 1
        is_jpeg = match[0][1:3] == segments.MAGIC[1:]
        if is_jpeg and not _goes_on(data, start + 2):
            continue
        picture = data[start:]
        if is_jpeg:
            picture = segments.MAGIC[:1] + picture[1:]
        length = _length(picture)
        if length and _opens(picture[:length]):
            yield Found(start, start + length, picture[:length])
            position = start + length


def blanked(data: bytes, keep: bytes | None = None) -> tuple[bytes, int]:
    """Replace every picture in `data` but `keep` by zeros, and those in base64 by spaces; also
    return how many there were.
    """
    block, count = bytearray(data), 0
    for found in pictures(data):
        if keep is None or found.data != keep:
            block[found.start : found.end] = bytes(found.end - found.start)
            count += 1
    for found in base64_pictures(bytes(block)):
        block[found.start : found.end] = b" " * (found.end - found.start)
        count += 1
    return bytes(block), count


def holds_pictures(data: bytes) -> bool:
    """True if `blanked` would find one."""
    return any(pictures(data)) or any(base64_pictures(data))


def base64_pictures(data: bytes) -> Iterator[Found]:
    """Every stretch of base64 text that holds a picture, or begins as one and is cut off;
    `Found.data` is the picture decoded."""
    for match in _BASE64.finditer(data):
        text = _BETWEEN_BASE64.sub(b"", match[0]).rstrip(b"=")
        for start in (0, *(head.start() for head in _BASE64_BEGINNINGS.finditer(text))):
            if picture := _in_base64(text[start:]):
                yield Found(match.start(), match.end(), picture)
                break


def _in_base64(text: bytes) -> bytes | None:
    try:
        decoded = base64.b64decode(text[: len(text) - (len(text) % 4 == 1)] + b"===")
    except binascii.Error:
        return None
    picture = next((found.data for found in pictures(decoded)), None)
    return decoded if picture is None and _BEGINNINGS.match(decoded) else picture


def _goes_on(data: bytes, marker: int) -> bool:
    """False where no second marker follows the segment at `marker`: a chance match, of which a
    large file has many, and each would cost a copy of it."""
    following = marker + 2 + int.from_bytes(data[marker + 2 : marker + 4], "big")
    return following >= len(data) or data[following] == 0xFF


def _length(picture: bytes) -> int:
    """Of the picture at the start of `picture`; to the end of the bytes where it is cut off."""
    if picture.startswith(segments.MAGIC):
        try:
            return segments.strictly(picture)
        except CodecError:
            return picture.find(segments.EOI) + 2 if segments.EOI in picture else len(picture)
    if picture.startswith(b"RIFF"):
        return min(len(picture), 8 + int.from_bytes(picture[4:8], "little"))
    if picture.startswith(b"BM"):
        return min(len(picture), int.from_bytes(picture[2:6], "little"))
    if picture.startswith(b"\0\0\0"):  # boxes
        return max((end for _, _, end in bmff.boxes(picture)), default=0)
    if picture.startswith(b"GIF8"):
        return picture.find(b"\0;") + 2 if b"\0;" in picture else len(picture)
    end = picture.find(b"IEND")
    return len(picture) if end < 0 else min(len(picture), end + 8)


def _opens(picture: bytes) -> bool:
    try:
        if picture[4:8] == b"ftyp":
            return bool(bmff.parse(picture).items)
        with Image.open(io.BytesIO(picture)):
            return True
    except DAMAGE:
        return False
