"""WebP: the picture is re-encoded, lossless as lossless, and every other chunk is carried over."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from photoveil.transforms.codecs import carve, exif, icc, loss, orientation, rate, riff, xmp
from photoveil.transforms.codecs.change import PhotoChange
from photoveil.transforms.codecs.errors import DAMAGE, CodecError, UnsupportedFormat
from photoveil.transforms.codecs.orientation import Orientation
from photoveil.transforms.codecs.photo import (
    NO_CREDENTIALS,
    NO_LIMIT,
    DecodedPhoto,
    EncodedPhoto,
    decoded,
    open_image,
    with_change,
)
from photoveil.transforms.reasons import Reason

_FORMATS = ("WEBP",)
_PICTURE = {b"VP8 ", b"VP8L", b"ALPH"}
_CODED = {b"VP8 ", b"VP8L"}
_BEHIND = 128  # bytes behind the picture, in fewer of which nobody is to be seen
_HAS_ALPHA = 0x10  # flag in the extended header, VP8X


def is_webp(head: bytes) -> bool:
    """Return True if these first bytes begin a WebP."""
    return head.startswith(b"RIFF") and head[8:12] == b"WEBP"


def decode(data: bytes, max_pixels: int) -> DecodedPhoto:
    """See `transforms.codecs.decode`."""
    image = _opened(data, max_pixels)
    return decoded("WebP", np.asarray(image.convert("RGB")), _orientation(image))


def encode(
    data: bytes, change: PhotoChange | None, rebuild_thumbnails: bool = True
) -> EncodedPhoto:
    """See `transforms.codecs.encode` and `transforms.codecs.alone`.

    Lossy WebP predicts each block from those before it, so no block can be replaced alone. The
    picture is re-encoded in about as many bytes as it had, or in more if it would lose too much.
    """
    image = _opened(data, NO_LIMIT)
    chunks, end = riff.split(data)
    lossless = any(name == b"VP8L" for name, _ in chunks)
    cloaked, picture = image, _picture(data)
    notes = list(oddities(data))
    if _behind_rows(chunks):
        chunks = _with_own_rows(chunks)
        picture = [chunk for chunk in chunks if chunk[0] in _PICTURE]
        notes.append("data behind the last row removed")
    if change is not None:
        stored_change = change.stored(_orientation(image).shown)
        pixels = np.asarray(image)
        hidden = pixels[..., 3] == 0 if image.mode == "RGBA" else None
        cloaked = Image.fromarray(with_change(pixels, stored_change, hidden=hidden))
        if lossless:
            picture = _picture(_coded(cloaked, lossless=True, quality=80, exact=True))
        else:
            picture = _lossy(cloaked, _size(picture), stored_change.touched, notes)
    has_alpha = any(name == b"ALPH" for name, _ in picture)
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
            body = _with_alpha_flag(body, has_alpha)
        elif name == b"ICCP":
            body, found = icc.without_pictures(body)
            notes += ["picture in the colour profile removed"] if found else []
        else:
            body, pictures = carve.blanked(body)
            notes += [f"picture in {name.decode('latin-1')} removed"] if pictures else []
        kept.append((name, body))
    if data[end:].strip(b"\0"):
        notes.append("data after the end of the image removed")
    return EncodedPhoto(riff.join(kept), tuple(notes))


def oddities(data: bytes) -> tuple[str, ...]:
    """See `transforms.codecs.oddities`."""
    _, end = riff.split(data)
    return ("original tells a wrong size",) if _tells_wrong_size(data, end) else ()


def unread(data: bytes) -> list[bytes]:
    """See `transforms.codecs.unread`."""
    chunks, end = riff.split(data)
    return [data[end:], _behind_rows(chunks)]


def _behind_rows(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """Find coded data that the picture does not need: the last bytes of many, or none."""
    body = next(body for name, body in chunks if name in _CODED).rstrip(b"\0")
    if len(body) <= _BEHIND or not _shows_the_same(chunks, body[:-_BEHIND]):
        return b""
    return body[-_BEHIND:]


def _with_own_rows(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Cut the coded data to what the picture needs."""
    body = next(body for name, body in chunks if name in _CODED)
    least, enough = 0, len(body)
    while enough - least > 1:
        middle = (least + enough) // 2
        if _shows_the_same(chunks, body[:middle]):
            enough = middle
        else:
            least = middle
    return _with_coded(chunks, body[:enough])


def _shows_the_same(chunks: list[tuple[bytes, bytes]], body: bytes) -> bool:
    try:
        seen = _opened(riff.join(_with_coded(chunks, body)), NO_LIMIT)
    except CodecError:
        return False
    return np.array_equal(np.asarray(seen), np.asarray(_opened(riff.join(chunks), NO_LIMIT)))


def _with_coded(chunks: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[bytes, bytes]]:
    return [(name, body if name in _CODED else old) for name, old in chunks]


def _opened(data: bytes, max_pixels: int) -> Image.Image:
    image = open_image(_readable(data), _FORMATS, max_pixels)
    if getattr(image, "is_animated", False):
        raise UnsupportedFormat(Reason.ANIMATED.of(format="WebP"))
    return image


def _readable(data: bytes) -> bytes:
    """Make the file readable for libwebp, which requires a correct size."""
    chunks, end = riff.split(data)
    return riff.join(chunks) if _tells_wrong_size(data, end) else data


def _tells_wrong_size(data: bytes, end: int) -> bool:
    return 8 + int.from_bytes(data[4:8], "little") != end


def _orientation(image: Image.Image) -> Orientation:
    """Read the orientation.

    Browsers show a WebP as stored; programs for photos turn it by its metadata.
    """
    _, found = orientation.in_exif(image.info.get("exif", b""))
    return orientation.chosen(None, [found, orientation.in_xmp(image.info.get("xmp", b""))])


def _lossy(
    image: Image.Image, old_size: int, changed: np.ndarray, notes: list[str]
) -> list[tuple[bytes, bytes]]:
    """Encode a picture with loss.

    Args:
        image: the picture.
        old_size: bytes of the original picture.
        changed: bool (H, W), True under the cloak.
        notes: appended to if the picture lost or grew much.

    Returns:
        The chunks of the picture.
    """
    wanted = np.asarray(image)

    def error(data: bytes) -> float:
        found = _opened(data, NO_LIMIT).convert(image.mode)  # alpha that hides nothing is left out
        return loss.error(wanted, np.asarray(found), changed, 8)

    data, lost = rate.bounded(
        lambda quality: _coded(image, quality=quality),
        lambda data: _size(_picture(data)),
        old_size,
        error,
    )
    picture = _picture(data)
    if lost > 1:
        notes.append(loss.LOST)
    elif _size(picture) > loss.WORTH_A_NOTE * old_size:
        notes.append(loss.GREW)
    return picture


def _picture(data: bytes) -> list[tuple[bytes, bytes]]:
    return [chunk for chunk in riff.split(data)[0] if chunk[0] in _PICTURE]


def _size(chunks: list[tuple[bytes, bytes]]) -> int:
    return sum(len(body) for _, body in chunks)


def _coded(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    try:
        image.save(out, "WEBP", **options)
    except DAMAGE as error:
        raise CodecError(Reason.NOT_REWRITTEN, error) from error
    return out.getvalue()


def _with_alpha_flag(header: bytes, alpha: bool) -> bytes:
    return bytes([header[0] | _HAS_ALPHA if alpha else header[0] & ~_HAS_ALPHA]) + header[1:]
