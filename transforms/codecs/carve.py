"""Find pictures inside bytes that are not a picture file themselves, by their first bytes.

They are found as they are, in compressed streams, and coded as text. The codecs blank what they
find; the leak scanner (`transforms/leaks/embedded_images.py`) searches it for faces.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from photoveil.transforms.codecs import bmff, packed, segments, text_codings
from photoveil.transforms.codecs.errors import DAMAGE, CodecError

# A JPEG whatever its first byte: some cameras (Minolta, Konica) alter that of a preview. It is
# looked for by itself, because a search for what may begin with any byte is slow.
_BEHIND_FIRST_BYTE = rb"\xd8\xff[\xc0-\xc4\xdb\xdd\xe0-\xef\xfe]"
_JPEG = re.compile(_BEHIND_FIRST_BYTE)
_OTHERS = (
    rb"\x89PNG\r\n\x1a\n"
    rb"|RIFF[\x00-\xff]{4}WEBP"
    rb"|GIF8[79]a"
    rb"|BM[\x00-\xff]{4}\0{4}[\x00-\xff]{4}[\x28\x6c\x7c]\0\0\0"
    rb"|\0\0\0\x0cjP  \r\n\x87\n"
    rb"|\0\0\0[\x10-\xff]ftyp(?:hei[cxms]|mif1|avif)"
    rb"|P[1-6][ \t\r\n]{1,8}(?:#[^\n]{0,999}\n\s*)*\d{1,5}[ \t\r\n]"
)
_OTHER = re.compile(_OTHERS, re.DOTALL)
_BEGINNING = re.compile(rb"[\x00-\xff]" + _BEHIND_FIRST_BYTE + rb"|" + _OTHERS, re.DOTALL)
_TIFF = re.compile(rb"II\*\0|MM\0\*")
VIDEO = re.compile(
    rb"\0\0\0[\x08-\xff]ftyp(?!hei[cxms]|mif1|msf1|avif|avis|crx )[ -~]{4}"
    rb"|RIFF[\x00-\xff]{4}AVI |\x1aE\xdf\xa3[\x00-\xff]{1,12}B\x86",
    re.DOTALL,
)
PACKED = "compressed data"
"""`Found.coding` of a compressed stream."""

_DEPTH = 3  # text in a compressed stream in text

_BMP_ROWS = (0, 3, 6)  # codings that are none: the rows as they are, with masks or without
_PIXEL_CHUNKS = (b"VP8 ", b"VP8L", b"ANMF")
_PIXEL_BOXES = (b"mdat", b"jp2c")
_LEAST_PNM = 16  # pixels of a side; text that looks like the head of a smaller one is none
_PNM_BREAK = rb"(?:\s|#[^\n]{0,999}\n)+"
_PNM_BITS = re.compile(rb"P([14])%b(\d{1,5})%b(\d{1,5})()\s" % (_PNM_BREAK, _PNM_BREAK))
_PNM_LEVELS = re.compile(
    rb"P([2356])%b(\d{1,5})%b(\d{1,5})%b(\d{1,5})\s" % (_PNM_BREAK, _PNM_BREAK, _PNM_BREAK)
)
_PNM_NUMBERS = re.compile(rb"[\d\s]+")
_BOX_NAME = re.compile(rb"mdat|jp2c|meta|moov|idat|free|skip|uuid|jp2h")


@dataclass(frozen=True)
class Found:
    """A picture in some bytes.

    data: its own bytes, with an altered first byte repaired. For a coded picture, all that was
        decoded.
    is_sure: False if its end is uncertain, so that other pictures that begin in it are found as
        well.
    coding: how `data` was coded: "base64", "hex" or "compressed data"; empty if it was not.
    """

    start: int
    end: int
    data: bytes
    is_sure: bool = True
    coding: str = ""


def pictures(data: bytes) -> Iterator[Found]:
    """Find every picture that begins in `data` and has a readable header.

    The formats are JPEG, PNG, WebP, GIF, BMP, PNM, JPEG 2000, HEIC and AVIF. A picture inside a
    picture (a thumbnail in a preview's EXIF) is part of the outer one, unless the end of the outer
    one is uncertain: then that one is rather too long than too short, and whatever begins in it is
    found too.
    """
    position, jpeg, other = 0, -1, -1
    while True:
        # Where a picture may begin at the earliest: of a JPEG, and of any other.
        if jpeg < position:
            jpeg = _start(_JPEG.search(data, position + 1), data, 1)
        if other < position:
            other = _start(_OTHER.search(data, position), data, 0)
        start = min(jpeg, other)
        if start == len(data):
            return
        position = start + 1
        is_jpeg = start == jpeg
        if is_jpeg and not _goes_on(data, start + 2):
            continue
        picture = data[start:]
        if is_jpeg:
            picture = segments.MAGIC[:1] + picture[1:]
        length = _exact_length(picture)
        is_sure = length is not None
        if length is None and not is_jpeg and data[start : start + 1] == b"P":
            continue  # of two letters and two numbers in a text
        if length is None:
            length = _doubtful_length(picture)
        if _opens(picture[:length]):
            yield Found(start, start + length, picture[:length], is_sure)
            position = start + length if is_sure else position


def _start(found: re.Match[bytes] | None, data: bytes, before: int) -> int:
    """Return where a match or so many bytes before it begins; the end of the data without one."""
    return len(data) if found is None else found.start() - before


def blanked(data: bytes, keep: bytes | None = None) -> tuple[bytes, int]:
    """Blank every picture in some bytes.

    Pictures as they are and in compressed streams are replaced by zeros, those coded as text by
    spaces.

    Args:
        data: the bytes.
        keep: a picture that stays.

    Returns:
        Bytes of the same length, and the number of pictures.
    """
    block, count, blank_to = bytearray(data), 0, 0
    kept = []
    for found in pictures(data):
        if keep is not None and found.data == keep:
            kept.append(found)
        else:
            block[found.start : found.end] = bytes(found.end - found.start)
            count += found.start >= blank_to  # one in another of doubtful length counts as a part
            blank_to = max(blank_to, found.end)
    for found in kept:
        block[found.start : found.end] = data[found.start : found.end]
    for found in coded_pictures(bytes(block)):
        filler = b"\0" if found.coding == PACKED else b" "
        block[found.start : found.end] = filler * (found.end - found.start)
        count += 1
    return bytes(block), count


def holds_pictures(data: bytes) -> bool:
    """Return True if `blanked` would find a picture."""
    return any(pictures(data)) or any(coded_pictures(data))


def coded_pictures(data: bytes, depth: int = _DEPTH) -> Iterator[Found]:
    """Find every text and compressed stream that holds a picture.

    One that begins like a picture and is cut off is found as well. Of a text that is spread over
    several strings, each string with a part of the picture is found.
    """
    yield from text_pictures(data, depth)
    for stream in packed.streams(data):
        if not stream.is_all or _holds(stream.data, depth):
            yield Found(stream.start, stream.end, stream.data, stream.is_whole, PACKED)


def text_pictures(data: bytes, depth: int = _DEPTH) -> Iterator[Found]:
    """Do as `coded_pictures`, for text alone."""
    for text in text_codings.texts(data):
        coding = "base64" if text.per_digit == 6 else "hex"
        spans: dict[tuple[int, int], bytes] = {}
        done = 0
        for start in text.beginnings():
            if start < done:
                continue
            for decoded, is_all in text.decoded(start):
                first, end, is_sure = _extent(decoded, depth)
                if end == 0:
                    break
                if is_sure or is_all:
                    spans |= dict.fromkeys(text.of(start, first, end), decoded)
                    done = start + end * 8 // text.per_digit
                    break
        for (begin, last), decoded in sorted(spans.items()):
            yield Found(begin, last, decoded, True, coding)


def _extent(data: bytes, depth: int) -> tuple[int, int, bool]:
    """Find the extent of all pictures in decoded bytes.

    Returns:
        Start of the first, end of the last (0 if there is none), and whether they are certain.
    """
    if _TIFF.match(data) and _opens(data):
        return 0, len(data), False
    found = list(pictures(data))
    if depth:
        found += coded_pictures(data, depth - 1)
    if not found:
        return 0, len(data) if _BEGINNING.match(data) else 0, False
    ends = max(one.end for one in found)
    return min(one.start for one in found), ends, all(one.is_sure for one in found)


def _holds(data: bytes, depth: int) -> bool:
    return _extent(data, max(0, depth - 1))[1] > 0


def _goes_on(data: bytes, marker: int) -> bool:
    """Return False if no second marker follows the segment at `marker`.

    That is a chance match. A large file has many, and each would cost a copy of the file.
    """
    following = marker + 2 + int.from_bytes(data[marker + 2 : marker + 4], "big")
    return following >= len(data) or data[following] == 0xFF


def _exact_length(picture: bytes) -> int | None:
    """Compute the length of the picture at the start of some bytes; None if it cannot be read."""
    try:
        if picture.startswith(segments.MAGIC):
            return segments.strictly(picture)
        if picture.startswith(b"RIFF"):
            length = _riff_length(picture)
        elif picture.startswith(b"BM"):
            length = _bmp_length(picture)
        elif picture.startswith(b"\0\0\0"):
            length = _boxes_length(picture)
        elif picture.startswith(b"GIF8"):
            length = _gif_length(picture)
        elif picture.startswith(b"P"):
            length = _pnm_length(picture)
        else:
            length = _png_length(picture)
    except DAMAGE:
        return None
    return length if length is not None and length <= len(picture) else None


def _doubtful_length(picture: bytes) -> int:
    """Estimate the length of a picture with a damaged structure.

    It is to where decoders find the end, or else all bytes. A length that is too short would hide a
    part of the picture.
    """
    if picture.startswith(segments.MAGIC):
        try:
            _, end = segments.split(picture)
        except CodecError:
            return len(picture)
        if segments.is_ended(picture, end):
            return end
    return len(picture)


def _riff_length(picture: bytes) -> int | None:
    length, position, has_pixels = 8 + int.from_bytes(picture[4:8], "little"), 12, False
    while position < min(length, len(picture)):
        name, size = struct.unpack_from("<4sI", picture, position)
        position += 8 + size + size % 2
        has_pixels = has_pixels or name in _PIXEL_CHUNKS
    return length if has_pixels and position in (length, length + 1) else None


def _bmp_length(picture: bytes) -> int | None:
    told, start = struct.unpack_from("<I4xI", picture, 2)
    width, height, _, depth, coding, size = struct.unpack_from("<iiHHII", picture, 18)
    if coding in _BMP_ROWS:
        size = (abs(width) * depth + 31) // 32 * 4 * abs(height)
    return told if size and start + size <= told else None


def _boxes_length(picture: bytes) -> int | None:
    """Compute the length of a file of boxes; None without pixels, or if a box is cut off."""
    found = list(bmff.boxes(picture))
    end = max((end for _, _, end in found), default=0)
    breaks_off = _BOX_NAME.match(picture, end + 4)
    return end if any(kind in _PIXEL_BOXES for kind, _, _ in found) and not breaks_off else None


def _gif_length(picture: bytes) -> int | None:
    position, has_image = 13 + _table_size(picture[10]), False
    while picture[position] != 0x3B:  # the trailer
        if picture[position] == 0x2C:  # an image
            position += 11 + _table_size(picture[position + 9])
            has_image = True
        elif picture[position] == 0x21:  # an extension
            position += 2
        else:
            return None
        while picture[position]:
            position += 1 + picture[position]
        position += 1
    return position + 1 if has_image else None


def _table_size(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _pnm_length(picture: bytes) -> int | None:
    match = _PNM_BITS.match(picture) or _PNM_LEVELS.match(picture)
    if match is None:
        return None
    kind, width, height, most = (int(one or 1) for one in match.groups())
    if min(width, height) < _LEAST_PNM:
        return None
    if kind == 4:
        return match.end() + (width + 7) // 8 * height
    samples = width * height * (3 if kind in (3, 6) else 1)
    if kind > 4:
        return match.end() + samples * (1 + (most > 255))
    digits = _PNM_NUMBERS.match(picture, match.end())
    return digits.end() if digits and digits.end() - match.end() >= samples else None


def _png_length(picture: bytes) -> int | None:
    position, has_pixels = 8, False
    while True:
        size, name = struct.unpack_from(">I4s", picture, position)
        if not name.isalpha():
            return None
        position += 12 + size
        if name == b"IEND":
            return position if has_pixels and not size else None
        has_pixels = has_pixels or name == b"IDAT"


def _opens(picture: bytes) -> bool:
    try:
        if picture[4:8] == b"ftyp":
            return bool(bmff.parse(picture).items)
        with Image.open(io.BytesIO(picture)):
            return True
    except DAMAGE:
        return False
