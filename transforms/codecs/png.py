"""PNG: the pixels under the cloak change, every other chunk is kept (ISO/IEC 15948)."""

from __future__ import annotations

import io
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import imagecodecs
import numpy as np
from PIL import Image, PngImagePlugin

from photoveil.transforms.codecs import carve, exif, icc, names, orientation, rests, xmp
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import (
    DAMAGE,
    DAMAGED,
    CodecError,
    UnsupportedFormat,
    explained,
)
from photoveil.transforms.codecs.orientation import Orientation
from photoveil.transforms.codecs.photo import (
    NO_CREDENTIALS,
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    decoded,
    open_image,
    opened,
    with_change,
    with_key,
)
from photoveil.transforms.reasons import Reason

MAGIC = b"\x89PNG\r\n\x1a\n"

_FORMATS = ("PNG",)
_GREY, _TRUECOLOUR, _PALETTE = 0, 2, 3  # colour types
_COLOURS = {"L": 1, "LA": 1, "RGB": 3, "RGBA": 3, "I;16": 1}  # of the modes that are written
# Chunks that describe palette entries or the depth of each channel.
_BOUND_TO_MODE = {b"PLTE", b"tRNS", b"hIST", b"sBIT", b"bKGD"}
_LOST = {b"hIST": "histogram of the palette removed", b"sBIT": "significant bits (sBIT) removed"}
_STANDARD = _BOUND_TO_MODE | {
    b"IEND",
    b"cHRM",
    b"gAMA",
    b"sRGB",
    b"pHYs",
    b"tIME",
}
_CRITICAL = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
_MOST_TEXT = 1 << 26  # bytes of a text chunk, decompressed; Pillow's own limit refuses real XMP
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MOST_TEXT
_LONGEST_HEAD = 300  # bytes of a text chunk's keyword, flags, language and translated keyword
_RAW_PROFILE = b"raw profile type "
# Of Adam7: first column and row, and the steps to the next ones.
_PASSES = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_BLOCK = 1 << 20  # bytes that are inflated at once
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = _opened(data, max_pixels)
    rgb = np.asarray(_eight_bit(image).convert("RGBA").convert("RGB"))
    return decoded("PNG", rgb, _orientation(image, data))


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`.

    Palette and one-bit pictures become full colour or grey: a smooth change needs more levels.
    """
    image = _opened(data, NO_LIMIT)
    found, end = _chunks(data)
    notes = list(oddities(data))
    chunks = [(chunk.name, chunk.body) for chunk in found if chunk.is_read]
    if any(map(rests.may_show, _behind_rows(found))):
        chunks = _with_own_rows(chunks)
        notes.append("data behind the last row removed")
    new, cloaked, widened = chunks, image, False
    if change is not None:
        depth, colour_type = chunks[0][1][8], chunks[0][1][9]
        stored_change = change.stored(_orientation(image, data).shown)
        widened = image.mode not in _COLOURS or depth < 8
        if widened:
            image = _widened(image, depth)
            is_palette = colour_type == _PALETTE
            notes.append("palette widened to full colour" if is_palette else "widened to 8 bits")
        key = None if widened else _colour_key(chunks)
        pixels = np.asarray(image)
        # Where Pillow reads 8 of 16 bits, no more than a thumbnail is made of it.
        shallow = depth == 16 and colour_type != _GREY
        colours = _COLOURS[image.mode]
        hidden = _hidden(pixels, colours, None if shallow else key)
        changed = with_change(pixels, stored_change, colours, _depth(image), hidden=hidden)
        cloaked = Image.fromarray(with_key(pixels, changed, None if shallow else key))
        if shallow:
            coded = _deep(chunks, stored_change, key)
        else:
            out = io.BytesIO()
            cloaked.save(out, "PNG")
            coded = out.getvalue()
        new = [(chunk.name, chunk.body) for chunk in _chunks(coded)[0]]
    shown = _eight_bit(cloaked).convert("RGB") if rebuild_thumbnails else None
    picture = [chunk for chunk in new if chunk[0] == b"IDAT"]

    kept: list[tuple[bytes, bytes]] = []
    for name, body in chunks:
        if name == b"IHDR":
            kept.append(new[0])
        elif name == b"IDAT":
            kept += picture
            picture = []
        elif name in _BOUND_TO_MODE and widened:
            still = _still_true(name, body, chunks, image.mode)
            if still is not None:
                kept.append((name, still))
            elif name in _LOST:
                notes.append(_LOST[name])
        elif name in _STANDARD:
            kept.append((name, body))
        else:
            without, done = _without_pictures(name, body, shown)
            notes += done
            if without is not None:
                kept.append((name, without))
    if data[end:].strip(b"\0"):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(MAGIC + b"".join(_packed(*chunk) for chunk in kept), tuple(notes))


def oddities(data: bytes) -> tuple[str, ...]:
    """See `transforms.codecs.oddities`."""
    chunks, _ = _chunks(data)
    notes = [] if chunks[-1].is_sound else ["original has no end chunk"]
    damaged = dict.fromkeys(c.name.decode("ascii") for c in chunks if not c.is_read)
    return (*notes, *(f"original has a damaged chunk ({name})" for name in damaged))


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    chunks, end = _chunks(data)
    return [data[end:], *_behind_rows(chunks)]


def without_rows(data: bytes) -> bytes:
    """Replace the picture of a file by zeros; a damaged file stays as it is."""
    block, position = bytearray(data), len(MAGIC)
    with suppress(CodecError):
        for chunk in _chunks(data)[0]:
            if chunk.name == b"IDAT":
                block[position + 8 : position + 8 + len(chunk.body)] = bytes(len(chunk.body))
            position += 12 + len(chunk.body)
    return bytes(block)


def without_names(data: bytes) -> tuple[bytes, int]:
    """See `transforms.codecs.without_names`."""
    chunks, end = _chunks(data)
    kept, count = [], 0
    for name, body, is_sound in chunks:
        if not is_sound:
            kept.append(_packed(name, body, is_sound))
            continue
        if name == b"iTXt" and body.startswith(_XMP_KEYWORD):
            with suppress(*DAMAGE):
                head, packet, compressed = _packet(body)
                packet, found = names.without_names(packet)
                if found:
                    body = head + (zlib.compress(packet) if compressed else packet)
                    count += found
        kept.append(_packed(name, body))
    if not count:
        return data, 0
    return MAGIC + b"".join(kept) + data[end:], count


def _behind_rows(chunks: list[_Chunk]) -> list[bytes]:
    """Find what the compressed data hold behind the last row of the picture, and what follows them.

    The former ends with the first block that may show something.
    """
    room, found, behind = _size_of_rows(chunks[0].body), b"", b""
    inflater = zlib.decompressobj()
    for body in (chunk.body for chunk in chunks if chunk.name == b"IDAT"):
        if inflater.eof:
            behind += body
            continue
        waiting = body
        while waiting and not inflater.eof and not rests.may_show(found):
            try:
                block = inflater.decompress(waiting, _BLOCK)
            except zlib.error:  # where the picture itself is damaged, it is not decoded
                return [found, b""]
            found = (found + block[max(room, 0) :])[-_BLOCK:]
            room -= len(block)
            waiting = inflater.unconsumed_tail
        behind += inflater.unused_data
    return [found, behind]


def _with_own_rows(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Compress the picture anew with no more rows than its header says."""
    inflater = zlib.decompressobj()
    coded = b"".join(body for name, body in chunks if name == b"IDAT")
    rows = inflater.decompress(coded, _size_of_rows(chunks[0][1]))
    at = next(index for index, (name, _) in enumerate(chunks) if name == b"IDAT")
    others = [chunk for chunk in chunks[at:] if chunk[0] != b"IDAT"]
    return [*chunks[:at], (b"IDAT", zlib.compress(rows, 9)), *others]


def _size_of_rows(header: bytes) -> int:
    """Count the bytes of the picture before compression, with filter types (ISO/IEC 15948, 7.2)."""
    width, height, depth, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    bits = depth * _CHANNELS.get(colour_type, 4)
    return sum(
        (1 + (-(-(width - left) // across) * bits + 7) // 8) * -(-(height - top) // down)
        for left, top, across, down in (_PASSES if interlaced else ((0, 0, 1, 1),))
        if width > left and height > top
    )


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    image = open_image(_readable(data), _FORMATS, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedFormat(Reason.ANIMATED.of(format="PNG"))
    return image


def _orientation(image: Image.Image, data: bytes) -> Orientation:
    """Read the orientation.

    Browsers use an eXIf chunk in front of the pixels. Many other programs do not, and some use a
    chunk behind the pixels, EXIF in a text chunk, or XMP.
    """
    with opened(_readable(data), _FORMATS) as head:  # nothing behind the pixels yet
        shown, _ = orientation.in_exif(head.info.get("exif", b""))
    blocks = [image.info.get("exif", b""), _raw_exif(image)]
    others = [orientation.in_exif(block)[1] for block in blocks]
    packet = image.info.get("XML:com.adobe.xmp", "")
    others.append(orientation.in_xmp(packet.encode(errors="ignore")))
    return orientation.chosen(shown, [1, *others])


def _raw_exif(image: Image.Image) -> bytes:
    """Read EXIF in hexadecimal digits, as ImageMagick wrote it before there was a chunk for it."""
    text = image.info.get("Raw profile type exif", "")
    try:
        return bytes.fromhex("".join(text.split("\n")[3:]))
    except ValueError:
        return b""


def _readable(data: bytes) -> bytes:
    """Make the file readable for Pillow: without what libpng skips."""
    chunks, end = _chunks(data)
    if end == len(data) and not oddities(data):
        return data
    return MAGIC + b"".join(_packed(c.name, c.body) for c in chunks if c.is_read)


def _eight_bit(image: Image.Image) -> Image.Image:
    if not image.mode.startswith("I"):
        return image
    eight = Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8))
    eight.info = image.info
    return eight


def _widened(image: Image.Image, depth: int) -> Image.Image:
    key = image.info.get("transparency")
    if image.mode == "P":
        return image.convert("RGB" if key is None else "RGBA")
    image.info.pop("transparency", None)
    grey = image.convert("L")
    if key is None:
        return grey
    # Pillow leaves the transparent level as the file has it, in `depth` bits.
    opaque = np.asarray(grey) != int(key) * 255 // ((1 << depth) - 1)
    grey.putalpha(Image.fromarray(opaque.astype(np.uint8) * 255))
    return grey


def _still_true(
    name: bytes, body: bytes, chunks: list[tuple[bytes, bytes]], mode: str
) -> bytes | None:
    """Translate a chunk for the picture widened to `mode`; None if it has no place there."""
    header = chunks[0][1]
    depth, colour_type = header[8], header[9]
    if name == b"sBIT":
        # Changed pixels take all 8 bits.
        alpha = b"\x08" if mode in ("LA", "RGBA") else b""
        return body + alpha if body and set(body) == {8} else None
    if name != b"bKGD":
        return None
    if colour_type == _PALETTE:
        palette = next((body for name, body in chunks if name == b"PLTE"), b"")
        colour = palette[3 * body[0] : 3 * body[0] + 3] if body else b""
        return b"".join(bytes((0, level)) for level in colour) if len(colour) == 3 else None
    level = int.from_bytes(body[:2], "big") * 255 // ((1 << depth) - 1)
    return level.to_bytes(2, "big") if len(body) == 2 and level < 256 else None


def _colour_key(chunks: list[tuple[bytes, bytes]]) -> tuple[int, ...] | None:
    """Return the grey or colour whose pixels are transparent; None without one."""
    header = chunks[0][1]
    body = next((body for name, body in chunks if name == b"tRNS"), b"")
    if len(body) != {_GREY: 2, _TRUECOLOUR: 6}.get(header[9]):
        return None
    most = (1 << header[8]) - 1
    return tuple(int.from_bytes(body[at : at + 2], "big") & most for at in range(0, len(body), 2))


def _hidden(pixels: np.ndarray, colours: int, key: tuple[int, ...] | None) -> np.ndarray | None:
    """Find the pixels that are fully transparent, bool (H, W), by alpha or by their colour."""
    if key is not None:
        return (np.atleast_3d(pixels) == np.array(key, pixels.dtype)).all(axis=2)
    has_alpha = pixels.ndim == 3 and pixels.shape[2] > colours
    return pixels[..., colours] == 0 if has_alpha else None


def _depth(image: Image.Image) -> int:
    return 16 if image.mode == "I;16" else 8


def _deep(
    chunks: list[tuple[bytes, bytes]], change: PhotoChange, key: tuple[int, ...] | None
) -> bytes:
    """Add a change to a PNG of 16 bits a colour, which Pillow would reduce to 8."""
    with explained(Reason.DAMAGED):
        # A transparent colour would come back as an alpha channel; the chunk itself is kept.
        opaque = [chunk for chunk in chunks if chunk[0] != b"tRNS"]
        pixels = imagecodecs.png_decode(MAGIC + b"".join(_packed(*chunk) for chunk in opaque))
    colours = pixels.shape[2] - (pixels.shape[2] in (2, 4))
    changed = with_change(pixels, change, colours, 16, hidden=_hidden(pixels, colours, key))
    return bytes(imagecodecs.png_encode(with_key(pixels, changed, key)))


def _without_pictures(
    name: bytes, body: bytes, shown: Image.Image | None
) -> tuple[bytes | None, list[str]]:
    """Remove pictures of the uncloaked photo from a chunk's body; None to remove the chunk."""
    if name == b"eXIf":
        return exif.cloak_pictures(body, shown)
    if name == b"caBX":
        return None, [NO_CREDENTIALS]
    try:
        if name == b"iCCP":
            return _cleaned_profile(body)
        if name in (b"tEXt", b"zTXt") and body.lower().startswith(_RAW_PROFILE):
            return _cloaked_profile(name, body, shown)
        if name == b"iTXt" and body.startswith(_XMP_KEYWORD):
            return _cloaked_xmp(body)
        if name in (b"zTXt", b"iTXt") and any(map(carve.holds_pictures, _texts(body))):
            return None, [f"picture in {name.decode()} removed"]
    except DAMAGE:
        return None, ["damaged metadata text removed"]
    if carve.holds_pictures(body):
        return None, [f"picture in {name.decode('latin-1')} removed"]
    return body, []


def _texts(body: bytes) -> Iterator[bytes]:
    """Yield the text of a text chunk, inflated from each place where it may be compressed."""
    for match in re.finditer(rb"\0", body[:_LONGEST_HEAD]):
        with suppress(zlib.error):
            yield _inflated(body[match.end() :])


def _cloaked_profile(
    name: bytes, body: bytes, shown: Image.Image | None
) -> tuple[bytes | None, list[str]]:
    """Clean a metadata block of ImageMagick: its type, its length, and its bytes in hex."""
    keyword, _, text = body.partition(b"\0")
    if name == b"zTXt":
        text = _inflated(text[1:])
    _, kind, _, digits = text.split(b"\n", 3)
    block = bytes.fromhex(digits.decode("ascii"))
    if block.startswith(exif.HEADER):
        tiff, notes = exif.cloak_pictures(block[len(exif.HEADER) :], shown)
        new = exif.HEADER + tiff
    elif carve.holds_pictures(block) or xmp.without_pictures(block)[1]:
        return None, ["raw profile text removed"]
    else:
        return body, []
    if new == block:
        return body, notes
    lines = [new.hex()[start : start + 72] for start in range(0, 2 * len(new), 72)]
    text = b"\n%b\n%8d\n%b\n" % (kind, len(new), "\n".join(lines).encode())
    return keyword + b"\0" + (b"\0" + zlib.compress(text) if name == b"zTXt" else text), notes


def _cleaned_profile(body: bytes) -> tuple[bytes, list[str]]:
    keyword, _, packed = body.partition(b"\0")
    clean, found = icc.without_pictures(_inflated(packed[1:]))
    if not found:
        return body, []
    return keyword + b"\0\0" + zlib.compress(clean), ["picture in the colour profile removed"]


def _cloaked_xmp(body: bytes) -> tuple[bytes, list[str]]:
    head, packet, compressed = _packet(body)
    without, found = xmp.without_pictures(packet)
    if not found:
        return body, []
    return head + (zlib.compress(without) if compressed else without), ["XMP thumbnail removed"]


def _packet(body: bytes) -> tuple[bytes, bytes, bool]:
    """Return the header of an XMP text chunk, its packet, and whether that was compressed."""
    start = len(_XMP_KEYWORD) + 2
    language_end = body.index(b"\0", start) + 1
    at = body.index(b"\0", language_end) + 1
    compressed = body[start - 2] == 1
    return body[:at], _inflated(body[at:]) if compressed else body[at:], compressed


def _inflated(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    text = inflater.decompress(data, _MOST_TEXT)
    if inflater.unconsumed_tail:
        raise ValueError("a text chunk is a decompression bomb")
    return text


class _Chunk(NamedTuple):
    """A chunk.

    name: its type.
    is_sound: True if it is complete and its checksum fits.
    """

    name: bytes
    body: bytes
    is_sound: bool = True

    @property
    def is_read(self) -> bool:
        """False if readers skip the chunk, because it is damaged and the picture can do without."""
        return self.is_sound or self.name in _CRITICAL


def _chunks(data: bytes) -> tuple[list[_Chunk], int]:
    """Split a file into its chunks up to IEND.

    Readers stop at the first thing behind the picture that is not a chunk. There, or at the end of
    the file, an IEND that is not sound stands for the missing one.

    Returns:
        The chunks, and the offset after IEND.

    Raises:
        CodecError: it is cut off before the picture.
    """
    chunks: list[_Chunk] = []
    position = len(MAGIC)
    while True:
        length = int.from_bytes(data[position : position + 4], "big")
        name, end = data[position + 4 : position + 8], position + 12 + length
        body = data[position + 8 : end - 4]
        is_cut = position + 8 > len(data) or end > len(data)
        if is_cut or not (name.isalpha() and name.isascii()):
            if name == b"IDAT" and is_cut:
                chunks.append(_Chunk(name, body, False))
                position = len(data)
            if not any(chunk.name == b"IDAT" for chunk in chunks):
                raise CodecError(DAMAGED, "no picture chunk")
            return [*chunks, _Chunk(b"IEND", b"", False)], position
        is_sound = data[end - 4 : end] == _checksum(name, body)
        position = end
        if name == b"IEND":
            return [*chunks, _Chunk(name, body)], position
        chunks.append(_Chunk(name, body, is_sound))


def _packed(name: bytes, body: bytes, is_sound: bool = True) -> bytes:
    """Pack a chunk; the checksum of one that is not sound does not fit."""
    checksum = _checksum(name, body)
    if not is_sound:
        checksum = bytes(byte ^ 0xFF for byte in checksum)
    return len(body).to_bytes(4, "big") + name + body + checksum


def _checksum(name: bytes, body: bytes) -> bytes:
    return zlib.crc32(body, zlib.crc32(name)).to_bytes(4, "big")
