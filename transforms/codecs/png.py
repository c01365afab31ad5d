"""PNG: the pixels under the cloak change, every other chunk stays (ISO/IEC 15948)."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image

from transforms.codecs import exif
from transforms.codecs.errors import CodecError, UnsupportedFormat
from transforms.codecs.orientation import as_stored, read_orientation
from transforms.codecs.photo import DecodedPhoto, EncodedPhoto, decoded, open_image

MAGIC = b"\x89PNG\r\n\x1a\n"

_FORMATS = ("PNG",)
_NO_LIMIT = 1 << 62  # `decode` has checked the size already
_WRITABLE = ("L", "LA", "RGB", "RGBA", "I;16")
# Chunks that describe palette entries or the depth of each channel.
_BOUND_TO_MODE = {b"PLTE", b"tRNS", b"hIST", b"sBIT", b"bKGD"}


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = open_image(data, _FORMATS, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedFormat("animated PNG")
    if image.mode.startswith("I"):
        grey = (np.asarray(image).astype(np.uint32) >> 8).astype(np.uint8)
        return decoded(image, "PNG", np.repeat(grey[..., np.newaxis], 3, axis=2))
    return decoded(image, "PNG", np.asarray(image.convert("RGBA").convert("RGB")))


def encode(data: bytes, change: np.ndarray) -> EncodedPhoto:
    """See `transforms.codecs.encode`.

    Palette and one-bit pictures become full colour or grey: a smooth change needs more levels.
    """
    chunks = list(_chunks(data))
    depth, colour_type = chunks[0][1][8], chunks[0][1][9]
    if depth == 16 and colour_type != 0:
        raise UnsupportedFormat("16-bit colour PNG: this version would lose its depth")
    notes: list[str] = []
    image = open_image(data, _FORMATS, _NO_LIMIT)
    stored_change = as_stored(change, read_orientation(image))
    mode = image.mode
    if mode not in _WRITABLE:
        image = image.convert(_widened(image))
        notes.append("palette widened to full colour")
    cloaked = _changed(image, stored_change)
    out = io.BytesIO()
    cloaked.save(out, "PNG")
    new = list(_chunks(out.getvalue()))
    picture = [chunk for chunk in new if chunk[0] == b"IDAT"]

    kept: list[tuple[bytes, bytes]] = []
    for name, body in chunks:
        if name == b"IHDR":
            kept.append(new[0])
        elif name == b"IDAT":
            kept += picture
            picture = []
        elif name == b"eXIf":
            tiff, done = exif.cloak_pictures(body, cloaked)
            notes += done
            kept.append((name, tiff))
        elif name in (b"tEXt", b"zTXt") and body.lower().startswith(b"raw profile type"):
            notes.append("raw profile text removed")  # may hold an EXIF block with its thumbnail
        elif not (image.mode != mode and name in _BOUND_TO_MODE):
            kept.append((name, body))
    return EncodedPhoto(MAGIC + b"".join(_packed(*chunk) for chunk in kept), tuple(notes))


def _widened(image: Image.Image) -> str:
    if image.mode == "1":
        return "L"
    return "RGBA" if "transparency" in image.info else "RGB"


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


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(type, body) of each chunk up to IEND; bytes after it are no part of the picture."""
    position = len(MAGIC)
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        yield name, data[position + 8 : position + 8 + length]
        if name == b"IEND":
            return
        position += 12 + length
    raise CodecError("damaged or cut off (no end chunk)")


def _packed(name: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + name + body + zlib.crc32(name + body).to_bytes(4, "big")
