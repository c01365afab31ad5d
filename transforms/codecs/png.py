"""PNG: the pixels under the cloak change, every other chunk stays (ISO/IEC 15948)."""

from __future__ import annotations

import io
import zlib

import numpy as np
from PIL import Image

from transforms.codecs import exif, xmp
from transforms.codecs.errors import DAMAGE, CodecError, UnsupportedFormat
from transforms.codecs.orientation import as_stored, read_orientation
from transforms.codecs.photo import DecodedPhoto, EncodedPhoto, decoded, open_image

MAGIC = b"\x89PNG\r\n\x1a\n"

_FORMATS = ("PNG",)
_NO_LIMIT = 1 << 62  # `decode` has checked the size already
_WRITABLE = ("L", "LA", "RGB", "RGBA", "I;16")
# Chunks that describe palette entries or the depth of each channel.
_BOUND_TO_MODE = {b"PLTE", b"tRNS", b"hIST", b"sBIT", b"bKGD"}
_STANDARD = _BOUND_TO_MODE | {
    b"IEND",
    b"cHRM",
    b"gAMA",
    b"iCCP",
    b"sRGB",
    b"pHYs",
    b"sPLT",
    b"tIME",
}
_JPEG_START = b"\xff\xd8\xff"
_RAW_PROFILE = b"raw profile type "
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = _opened(data, max_pixels)
    return decoded(image, "PNG", np.asarray(_eight_bit(image).convert("RGBA").convert("RGB")))


def encode(data: bytes, change: np.ndarray) -> EncodedPhoto:
    """See `transforms.codecs.encode`.

    Palette and one-bit pictures become full colour or grey: a smooth change needs more levels.
    """
    image = _opened(data, _NO_LIMIT)
    chunks, end = _chunks(data)
    depth, colour_type = chunks[0][1][8], chunks[0][1][9]
    if depth == 16 and colour_type != 0:
        raise UnsupportedFormat("16-bit colour PNG: this version would lose its depth")
    notes: list[str] = []
    stored_change = as_stored(change, read_orientation(image))
    widened = image.mode not in _WRITABLE or depth < 8
    if widened:
        image = _widened(image, depth)
        notes.append("palette widened to full colour" if colour_type == 3 else "widened to 8 bits")
    cloaked = _changed(image, stored_change)
    out = io.BytesIO()
    cloaked.save(out, "PNG")
    new, _ = _chunks(out.getvalue())
    picture = [chunk for chunk in new if chunk[0] == b"IDAT"]

    kept: list[tuple[bytes, bytes]] = []
    for name, body in chunks:
        if name == b"IHDR":
            kept.append(new[0])
        elif name == b"IDAT":
            kept += picture
            picture = []
        elif name in _BOUND_TO_MODE and widened:
            continue
        elif name in _STANDARD:
            kept.append((name, body))
        else:
            without, done = _without_pictures(name, body, cloaked)
            notes += done
            if without is not None:
                kept.append((name, without))
    if end < len(data):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(MAGIC + b"".join(_packed(*chunk) for chunk in kept), tuple(notes))


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    image = open_image(data, _FORMATS, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedFormat("animated PNG")
    return image


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


def _changed(image: Image.Image, change: np.ndarray) -> Image.Image:
    pixels = np.asarray(image)
    if image.mode == "I;16":
        changed = np.clip(np.rint(pixels + change * 257.0), 0, 65535).astype(np.uint16)
        return Image.fromarray(changed)
    changed = pixels.astype(np.float32)
    if changed.ndim == 2:
        changed += change
    else:
        colours = changed.shape[2] - (image.mode in ("LA", "RGBA"))
        changed[..., :colours] += change[..., np.newaxis]
    return Image.fromarray(np.clip(np.rint(changed), 0, 255).astype(np.uint8), image.mode)


def _without_pictures(
    name: bytes, body: bytes, cloaked: Image.Image
) -> tuple[bytes | None, list[str]]:
    """The chunk's body without any picture of the uncloaked photo; None where it has to go."""
    if name == b"eXIf":
        return exif.cloak_pictures(body, _eight_bit(cloaked))
    try:
        if name in (b"tEXt", b"zTXt") and body.lower().startswith(_RAW_PROFILE):
            return _cloaked_profile(name, body, cloaked)
        if name == b"iTXt" and body.startswith(_XMP_KEYWORD):
            return _cloaked_xmp(body)
    except DAMAGE:
        return None, ["damaged metadata text removed"]
    if _JPEG_START in body or MAGIC in body:
        return None, [f"picture in {name.decode('latin-1')} removed"]
    return body, []


def _cloaked_profile(
    name: bytes, body: bytes, cloaked: Image.Image
) -> tuple[bytes | None, list[str]]:
    """ImageMagick's way to keep a metadata block: its type, its length, and its bytes in hex."""
    keyword, _, text = body.partition(b"\0")
    if name == b"zTXt":
        text = zlib.decompress(text[1:])
    _, kind, _, digits = text.split(b"\n", 3)
    block = bytes.fromhex(digits.decode("ascii"))
    if block.startswith(exif.HEADER):
        tiff, notes = exif.cloak_pictures(block[len(exif.HEADER) :], _eight_bit(cloaked))
        new = exif.HEADER + tiff
    elif _JPEG_START in block or xmp.holds_picture(block):
        return None, ["raw profile text removed"]
    else:
        return body, []
    if new == block:
        return body, notes
    lines = [new.hex()[start : start + 72] for start in range(0, 2 * len(new), 72)]
    text = b"\n%b\n%8d\n%b\n" % (kind, len(new), "\n".join(lines).encode())
    return keyword + b"\0" + (b"\0" + zlib.compress(text) if name == b"zTXt" else text), notes


def _cloaked_xmp(body: bytes) -> tuple[bytes, list[str]]:
    head = body[: len(_XMP_KEYWORD) + 2]
    compressed = head[-2] == 1
    language, translated, packet = body[len(head) :].split(b"\0", 2)
    without, found = xmp.without_pictures(zlib.decompress(packet) if compressed else packet)
    if not found:
        return body, []
    new = zlib.compress(without) if compressed else without
    return head + b"\0".join((language, translated, new)), ["XMP thumbnail removed"]


def _chunks(data: bytes) -> tuple[list[tuple[bytes, bytes]], int]:
    """(type, body) of each chunk up to IEND, and the offset after that one."""
    chunks, position = [], len(MAGIC)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        chunks.append((name, data[position + 8 : position + 8 + length]))
        position += 12 + length
        if name == b"IEND":
            return chunks, position
    raise CodecError("damaged or cut off (no end chunk)")


def _packed(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
