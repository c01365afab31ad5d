"""WebP: the picture is encoded anew, lossless as lossless, every other chunk is carried over."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from transforms.codecs import carve, exif, rate, riff, xmp
from transforms.codecs.errors import DAMAGE, CodecError, UnsupportedFormat
from transforms.codecs.orientation import as_stored, read_orientation
from transforms.codecs.photo import (
    NO_CREDENTIALS,
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    decoded,
    open_image,
    with_change,
)

_FORMATS = ("WEBP",)
_PICTURE = {b"VP8 ", b"VP8L", b"ALPH"}
_HAS_ALPHA = 0x10  # flag in the extended header, VP8X


def is_webp(head: bytes) -> bool:
    """True where these first bytes begin a WebP."""
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = _opened(data, max_pixels)
    return decoded(image, "WebP", np.asarray(image.convert("RGB")))


def encode(data: bytes, change: np.ndarray, rebuild_thumbnails: bool = True) -> EncodedPhoto:
    """See `transforms.codecs.encode`.

    Lossy WebP predicts each block from those before it, so no block can be replaced alone: the
    picture is encoded anew in about as many bytes as it had.
    """
    image = _opened(data, NO_LIMIT)
    chunks, end = riff.split(data)
    pixels = with_change(np.asarray(image), as_stored(change, read_orientation(image)))
    cloaked = Image.fromarray(pixels)
    lossless = any(name == b"VP8L" for name, _ in chunks)
    old_size = sum(len(body) for name, body in chunks if name in _PICTURE)
    picture = _lossless(cloaked) if lossless else _lossy(cloaked, old_size)
    notes: list[str] = []
    kept: list[tuple[bytes, bytes]] = []
    for name, body in chunks:
        if name in _PICTURE:
            kept += picture
            picture = []
            continue
        if name == b"C2PA":
            notes.append(NO_CREDENTIALS)
            continue
        if name == b"EXIF":
            headed = body.startswith(exif.HEADER)  # some writers keep JPEG's header
            tiff, done = exif.cloak_pictures(
                body[len(exif.HEADER) :] if headed else body,
                cloaked if rebuild_thumbnails else None,
            )
            body = exif.HEADER + tiff if headed else tiff
            notes += done
        elif name == b"XMP ":
            body, found = xmp.without_pictures(body)
            notes += ["XMP thumbnail removed"] if found else []
        elif name == b"VP8X" and not lossless and image.mode == "RGBA":
            body = _with_alpha_flag(body, any(n == b"ALPH" for n, _ in picture))
        elif name != b"ICCP":
            body, pictures = carve.blanked(body)
            notes += [f"picture in {name.decode('latin-1')} removed"] if pictures else []
        kept.append((name, body))
    if data[end:].strip(b"\0"):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(riff.join(kept), tuple(notes))


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    image = open_image(data, _FORMATS, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedFormat("animated WebP")
    return image


def _lossless(image: Image.Image) -> list[tuple[bytes, bytes]]:
    return _coded(image, lossless=True, quality=80, exact=True)


def _lossy(image: Image.Image, old_size: int) -> list[tuple[bytes, bytes]]:
    return rate.matched(
        lambda quality: _coded(image, quality=quality),
        lambda picture: sum(len(body) for _, body in picture),
        old_size,
    )


def _coded(image: Image.Image, **options: Any) -> list[tuple[bytes, bytes]]:
    out = io.BytesIO()
    try:
        image.save(out, "WEBP", **options)
    except DAMAGE as error:
        raise CodecError(f"the WebP cannot be rewritten ({error})") from error
    return [chunk for chunk in riff.split(out.getvalue())[0] if chunk[0] in _PICTURE]


def _with_alpha_flag(header: bytes, alpha: bool) -> bytes:
    return bytes([header[0] | _HAS_ALPHA if alpha else header[0] & ~_HAS_ALPHA]) + header[1:]
