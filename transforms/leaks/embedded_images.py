"""Find every other picture inside a photo's file, whatever the container says about its own parts.

Pictures are carved by their first bytes, at any offset, in text and in compressed data. TIFF
directories and HEIF items are read one by one. Bytes that no reader of the format reads are
reported unless they are such pictures. The leak scanner (`clean_faces`) searches the pictures for
faces.
"""

from __future__ import annotations

import hashlib
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import tifffile
from PIL import Image, ImageFile

from photoveil.transforms import codecs
from photoveil.transforms.codecs import bmff, carve, gif, packed, png, rests, segments
from photoveil.transforms.codecs import tiff as tiff_codec
from photoveil.transforms.codecs.errors import DAMAGE
from photoveil.transforms.codecs.orientation import in_exif
from photoveil.transforms.codecs.photo import opened
from photoveil.transforms.records import EmbeddedKind, EmbeddedPicture

SMALLEST_SIDE = 16  # pixels; in a smaller picture, and of a smaller face, nobody can be recognised
_DEPTH = 4  # to which pictures within pictures are followed
_MOST_PIXELS = 1 << 28  # of a picture, and of all together; what exceeds it is only reported

_TIFF_HEADS = re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+")
_HEX_PROFILE = re.compile(rb"\n\w+\n *\d+\n([0-9a-fA-F\n]{40,})")
_EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
_HEADS = {_EXTENDED_XMP: 75, b"Photoshop 3.0\0": 14, b"Exif\0\0": 6}
_PHOTOSHOP_LAYERS, _REDUCED_OR_MASK = 37724, 0b101


# Codings and constructions of HEIF; a JPEG as an item is carved by its first bytes.
_PICTURE_ITEMS = {
    *(b"hvc1", b"hvt1", b"lhv1", b"av01", b"avc1", b"vvc1", b"evc1", b"j2k1", b"unci"),
    *(b"grid", b"iden", b"iovl"),
}
_UNCOMPRESSED = 1


def hidden(data: bytes) -> list[EmbeddedPicture]:
    """Find every picture inside a file except its own, each once.

    Returns:
        `pixels` is None for what may be a picture and cannot be decoded, or is too large.
    """
    found: dict[bytes, EmbeddedPicture] = {}
    room = _MOST_PIXELS
    for one in _hidden(data):
        if one.pixels is not None and one.pixels.shape[0] * one.pixels.shape[1] > room:
            one = replace(one, pixels=None)
        key = one.where.encode() if one.pixels is None else _digest(one.pixels)
        if key not in found:
            found[key] = one
            room -= 0 if one.pixels is None else one.pixels.shape[0] * one.pixels.shape[1]
    return list(found.values())


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.sha256(pixels.tobytes()).digest() + str(pixels.shape).encode()


def _hidden(data: bytes) -> Iterator[EmbeddedPicture]:
    kind = codecs.sniff(data)
    # The file's own picture begins at its first byte. That of a TIFF is its strips or tiles.
    yield from _in_bytes(_without_own(data) if kind == "TIFF" else data, 1, "", 0)
    yield from _in_codings(_without_rows(data, kind), "", 0)
    yield from _unread(data)
    yield from _in_directories(data, "", kind == "TIFF")
    if kind == "JPEG":
        yield from _in_segments(data)
    elif kind == "PNG":
        yield from _in_chunks(data)
    elif kind == "GIF":
        yield from _in_extensions(data)
    elif kind in ("HEIC", "AVIF"):
        yield from _in_items(data)
    yield from _in_frames(data, kind)


def _without_own(data: bytes) -> bytes:
    """Clear the start markers of the JPEGs that are strips or tiles of a TIFF's pages."""
    block = bytearray(data)
    try:
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            for page in tiff_codec.directories(file):
                if page.compression == tiff_codec.JPEG and not page.subfiletype & _REDUCED_OR_MASK:
                    for start in page.dataoffsets:
                        block[start : start + 2] = bytes(len(block[start : start + 2]))
    except (*DAMAGE, RuntimeError):
        pass  # the markers found so far are cleared
    return bytes(block)


def _in_bytes(data: bytes, start: int, inside: str, depth: int) -> Iterator[EmbeddedPicture]:
    """Yield pictures in plain bytes, at any offset from `start` on."""
    for match in carve.VIDEO.finditer(data, start):
        yield EmbeddedPicture(f"byte {match.start():,}{inside}", None, EmbeddedKind.VIDEO)
    for found in carve.pictures(data[start:]):
        kind = codecs.sniff(found.data) or "picture"
        where = f"{kind} at byte {found.start + start:,}{inside}"
        yield from _opened(found.data, where)
        # If the length is doubtful, what begins within is found by the loop itself.
        if depth < _DEPTH and found.is_sure:
            yield from _in_bytes(found.data, 1, f" of the {where}", depth + 1)
            yield from _in_directories(found.data, f" of the {where}", False)
            yield from _unread(found.data, f" of the {where}")


def _in_codings(data: bytes, inside: str, depth: int) -> Iterator[EmbeddedPicture]:
    """Yield pictures in text and in compressed streams."""
    if depth > _DEPTH:
        return
    for found in carve.coded_pictures(data):
        where = f"{found.coding} at byte {found.start:,}{inside}"
        if len(found.data) >= packed.MOST:
            yield EmbeddedPicture(where, None)
            continue
        yield from _in_all(found.data, f" of the {where}", depth + 1)


def _in_all(data: bytes, inside: str, depth: int) -> Iterator[EmbeddedPicture]:
    """Yield pictures in bytes that are not a file themselves."""
    yield from _in_bytes(data, 0, inside, depth)
    yield from _in_codings(data, inside, depth)
    yield from _in_directories(data, inside, False)


def _unread(data: bytes, inside: str = "") -> Iterator[EmbeddedPicture]:
    """Report what no program reads of a picture's file, unless it is only pictures and videos."""
    try:
        found = codecs.unread(data)
    except codecs.CodecError:
        return
    if any(rests.may_show(_without_known(one)) for one in found):
        yield EmbeddedPicture(f"bytes that no program reads{inside}", None, EmbeddedKind.DATA)


def _without_known(data: bytes) -> bytes:
    """Remove complete pictures, and everything from the first video on."""
    video = carve.VIDEO.search(data)
    rest = data[: video.start()] if video else data
    kept, position = [], 0
    for found in carve.pictures(rest):
        if found.is_sure and found.start >= position:
            kept.append(rest[position : found.start])
            position = found.end
    kept.append(_without_directories(rest[position:]))
    return b"".join(kept)


def _without_directories(data: bytes) -> bytes:
    """Remove what a reader reads of the first TIFF in some bytes."""
    match = _TIFF_HEADS.search(data)
    if match is None:
        return data
    return data[: match.start()] + b"".join(_rest_of_tiff(data[match.start() :]))


def _rest_of_tiff(data: bytes) -> list[bytes]:
    try:
        return codecs.unread(data)
    except codecs.CodecError:
        return [data]


def _without_rows(data: bytes, kind: str | None) -> bytes:
    """Remove a file's own pixels if they are a compressed stream, which need not be unpacked."""
    if kind == "PNG":
        return png.without_rows(data)
    return tiff_codec.without_rows(data) if kind == "TIFF" else data


def _in_directories(data: bytes, inside: str, is_tiff: bool) -> Iterator[EmbeddedPicture]:
    """Yield the pictures of TIFF directories, EXIF's among them, at any offset."""
    for match in _TIFF_HEADS.finditer(data):
        own = is_tiff and match.start() == 0
        try:
            with tifffile.TiffFile(io.BytesIO(data[match.start() :])) as file:
                for number, page in enumerate(tiff_codec.directories(file)):
                    where = f"TIFF directory {number} at byte {match.start():,}{inside}"
                    if not own or page.subfiletype & _REDUCED_OR_MASK:
                        yield from _in_page(page, where, own)
                    if _PHOTOSHOP_LAYERS in page.tags:
                        yield EmbeddedPicture(where, None, EmbeddedKind.LAYERS)
                    for sub in page.pages if page.subifds else ():
                        yield from _in_page(sub, f"sub-image of {where}", own)
        except (*DAMAGE, RuntimeError):
            continue


def _in_page(page: tifffile.TiffPage, where: str, own: bool) -> Iterator[EmbeddedPicture]:
    """Yield the picture of a TIFF directory.

    Args:
        page: the directory.
        where: for the report.
        own: True if the file itself is a TIFF, not only some bytes that begin like one.
    """
    try:
        if not page.dataoffsets:
            return
        if page.imagewidth * page.imagelength > _MOST_PIXELS:
            yield EmbeddedPicture(where, None)
            return
        pixels = tiff_codec.upright_rgb(page)
    except (*DAMAGE, RuntimeError):
        if own or _holds_samples(page):
            yield EmbeddedPicture(where, None)
        return
    yield from _large_enough(pixels, where)


def _holds_samples(page: tifffile.TiffPage) -> bool:
    """Return True for an uncompressed picture that is not a chance match.

    Of the compressed ones, JPEGs are carved by their first bytes.
    """
    spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    return (
        page.compression == _UNCOMPRESSED
        and min(page.imagewidth, page.imagelength) >= SMALLEST_SIDE
        and sum(length for _, length in spans) >= page.imagewidth * page.imagelength
        and all(start + length <= page.parent.filehandle.size for start, length in spans)
    )


def _in_segments(data: bytes) -> Iterator[EmbeddedPicture]:
    """Yield pictures that span several segments of a JPEG, and JFIF's uncompressed thumbnails."""
    try:
        parts, _ = segments.split(data)
    except codecs.CodecError:
        return
    joined: dict[tuple[int, bytes], list[bytes]] = {}
    for part in parts:
        if not part.is_metadata:
            continue
        head = next((h for h in _HEADS if part.payload.startswith(h)), b"")
        joined.setdefault((part.marker, head), []).append(part.payload[_HEADS.get(head, 0) :])
        if part.payload.startswith(b"JFIF\0"):
            yield from _uncompressed(part.payload[12:14], part.payload[14:], "JFIF thumbnail")
        elif part.payload.startswith(b"JFXX\0\x13"):
            yield from _uncompressed(part.payload[6:8], part.payload[8:], "JFXX thumbnail")
        elif part.payload.startswith(b"JFXX\0\x11"):
            table = np.frombuffer(part.payload[8 : 8 + 768], np.uint8).reshape(-1, 3)
            if len(table) == 256:
                indices = np.frombuffer(part.payload[776:], np.uint8)
                body = table[indices].tobytes()
                yield from _uncompressed(part.payload[6:8], body, "JFXX thumbnail")
    for (marker, _), payloads in joined.items():
        if len(payloads) > 1:
            where = f" of the joined APP{marker - 0xE0} segments"
            yield from _in_all(b"".join(payloads), where, 1)


def _uncompressed(size: bytes, body: bytes, where: str) -> Iterator[EmbeddedPicture]:
    width, height = size
    if len(body) >= width * height * 3 > 0:
        pixels = np.frombuffer(body[: width * height * 3], np.uint8).reshape(height, width, 3)
        yield from _large_enough(pixels, where)


def _in_chunks(data: bytes) -> Iterator[EmbeddedPicture]:
    """Yield pictures that a PNG holds compressed (text, colour profile) or in hex."""
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += 12 + length
        if name not in (b"tEXt", b"zTXt", b"iTXt", b"iCCP"):
            continue
        where = f" of the {name.decode()} chunk"
        for start in [0, *(match.end() for match in re.finditer(rb"\0", body[:300]))]:
            try:
                text = zlib.decompressobj().decompress(body[start:], _MOST_PIXELS)
            except zlib.error:
                text = body if start == 0 else b""
            yield from _in_bytes(text, 0, where, 1)
            yield from _in_codings(text, where, 1)
            for match in _HEX_PROFILE.finditer(text):
                digits = match[1].replace(b"\n", b"")
                block = bytes.fromhex(digits[: len(digits) // 2 * 2].decode())
                yield from _in_bytes(block, 0, where, 1)
                yield from _in_directories(block, where, False)


def _in_extensions(data: bytes) -> Iterator[EmbeddedPicture]:
    """Yield pictures that span several sub-blocks of a GIF."""
    try:
        bodies = gif.extensions(data)
    except (IndexError, codecs.CodecError):
        return
    for body in bodies:
        yield from _in_all(body, " of an extension", 1)


def _in_items(data: bytes) -> Iterator[EmbeddedPicture]:
    """Yield every other picture item of a HEIF file, each decoded from a file of its own."""
    try:
        file = bmff.parse(data)
    except codecs.CodecError:
        return
    for number in sorted(file.items.keys() - file.derived_from(file.primary)):
        where, is_picture = f"HEIF item {number}", file.items[number].kind in _PICTURE_ITEMS
        try:
            alone = bmff.build(bmff.alone(file, number))
            pixels = codecs.decode(alone, _MOST_PIXELS).pixels
        except (*DAMAGE, codecs.CodecError):
            if is_picture:
                yield EmbeddedPicture(where, None)
            continue
        yield from _large_enough(pixels, where)


def _in_frames(data: bytes, kind: str | None) -> Iterator[EmbeddedPicture]:
    """Yield the further frames of a GIF, a WebP or a PNG."""
    if kind not in ("GIF", "WebP", "PNG"):
        return
    try:
        with Image.open(io.BytesIO(data)) as image:
            for number in range(1, getattr(image, "n_frames", 1)):
                image.seek(number)
                yield EmbeddedPicture(f"frame {number + 1}", np.asarray(image.convert("RGB")))
    except DAMAGE:
        return


def _opened(picture: bytes, where: str) -> Iterator[EmbeddedPicture]:
    """Yield a carved picture, decoded as far as it goes.

    It has no pixels if it cannot be decoded. Nothing is yielded if it ends before its size is read.
    """
    side, orientation = 0, 1
    try:
        if codecs.sniff(picture) in ("HEIC", "AVIF"):
            side = SMALLEST_SIDE
            pixels = codecs.decode(picture, _MOST_PIXELS).pixels
        else:
            with opened(picture) as image:
                side = min(image.size)
                if image.width * image.height > _MOST_PIXELS:
                    yield EmbeddedPicture(where, None)
                    return
                orientation = in_exif(image.info.get("exif", b""))[1] or 1
                tolerant, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
                try:
                    pixels = np.asarray(image.convert("RGB"))
                finally:
                    ImageFile.LOAD_TRUNCATED_IMAGES = tolerant
            if pixels.min() == pixels.max() and side >= SMALLEST_SIDE:
                _load(picture)  # a coding that is not known is read as one flat colour
    except (*DAMAGE, codecs.CodecError):
        if side >= SMALLEST_SIDE:
            yield EmbeddedPicture(where, None)
        return
    yield from _large_enough(pixels, where, orientation)


def _load(picture: bytes) -> None:
    """Decode a picture strictly.

    Raises:
        DAMAGE: it is cut off, or cannot be decoded.
    """
    with opened(picture) as image:
        image.load()


def _large_enough(
    pixels: np.ndarray, where: str, orientation: int = 1
) -> Iterator[EmbeddedPicture]:
    if min(pixels.shape[:2]) >= SMALLEST_SIDE:
        yield EmbeddedPicture(where, pixels, orientation=orientation)
