"""Files in which a second picture is compressed, written as text, cut off by a lowered size, or in
bytes that no reader looks at."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from photoveil.transforms.codecs import bmff, riff, segments
from photoveil.transforms.codecs.segments import APP1, APP2, COM, DQT, FRAMES, Segment

# From the photo and the picture to hide in it, to a file.
Builder = Callable[[Image.Image, Image.Image], bytes]

XMP = b"http://ns.adobe.com/xap/1.0/\0"
SMALL = (120, 150)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def saved_once(image: Image.Image, kind: str, **options: bytes | float) -> bytes:
    """As `saved`, from the pixels alone, for formats that take long to write: many carriers are
    made of one picture."""
    return _saved(image.mode, image.size, image.tobytes(), kind, tuple(options.items()))


@lru_cache(maxsize=64)
def _saved(
    mode: str,
    size: tuple[int, int],
    pixels: bytes,
    kind: str,
    options: tuple[tuple[str, bytes | float], ...],
) -> bytes:
    return saved(Image.frombytes(mode, size, pixels), kind, **dict(options))


def astronaut(demo_photo: Callable[[str], Path]) -> Image.Image:
    """A part of a public photo, of 320 x 240 pixels, with a face."""
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((96, 0, 416, 240))


def jpeg(image: Image.Image, **options: Any) -> bytes:
    return saved(image, "JPEG", **{"quality": 95, "subsampling": 0, **options})


def small_jpeg(image: Image.Image) -> bytes:
    return jpeg(image.resize(SMALL), quality=90)


def with_segments(data: bytes, *extra: Segment) -> bytes:
    original, _ = segments.split(data)
    return segments.join([original[0], *extra, *original[1:]])


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunk(data: bytes, name: bytes, body: bytes) -> bytes:
    return data[:33] + chunk(name, body) + data[33:]


def zipped(body: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("picture", body)
    return out.getvalue()


def pnm(image: Image.Image) -> bytes:
    return saved(image, "PPM")


def xmp(packet: bytes) -> Segment:
    return Segment(APP1, XMP + b"<x:xmpmeta>" + packet + b"</x:xmpmeta>")


def pieces(text: bytes, size: int) -> list[bytes]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def profile(tail: bytes) -> bytes:
    """A colour profile (ICC.1) with bytes behind the end that it tells."""
    head = struct.pack(">I4sI4s4s4s", 132, b"none", 0x2000000, b"mntr", b"RGB ", b"XYZ ")
    return head.ljust(128, b"\0") + bytes(4) + tail


def with_profile(data: bytes, body: bytes) -> bytes:
    return with_segments(data, Segment(APP2, b"ICC_PROFILE\0\1\1" + body))


def lower_jpeg(image: Image.Image, clean: Image.Image, **options: Any) -> bytes:
    """A JPEG of both, one above the other, whose header tells the height of the first."""
    parts, _ = segments.split(jpeg(_stacked(image, clean), **options))
    height = struct.pack(">H", image.height)
    lowered = [
        Segment(s.marker, s.payload[:1] + height + s.payload[3:], s.scan)
        if s.marker in FRAMES
        else s
        for s in parts
    ]
    return segments.join(lowered)


def behind_scan(image: Image.Image, clean: Image.Image) -> bytes:
    """The bytes of another scan behind the last row of the JPEG's own."""
    more = b"".join(s.scan for s in segments.split(small_jpeg(clean))[0])
    *parts, last = segments.split(jpeg(image))[0]
    return segments.join([*parts, Segment(last.marker, last.payload, last.scan + more)])


def between_segments(image: Image.Image, clean: Image.Image) -> bytes:
    parts, _ = segments.split(jpeg(image))
    at = next(n for n, part in enumerate(parts) if part.marker == DQT)
    stray = Segment(segments.STRAY, _scrambled(clean).replace(b"\xff", b"\xfe"))
    return segments.join([*parts[:at], stray, *parts[at:]])


def lower_png(image: Image.Image, clean: Image.Image, **options: Any) -> bytes:
    data = saved(_stacked(image, clean), "PNG", **options)
    header = data[16:20] + struct.pack(">I", image.height) + data[24:29]
    return data[:8] + chunk(b"IHDR", header) + data[33:]


def behind_stream(image: Image.Image, clean: Image.Image) -> bytes:
    """An IDAT chunk behind the one in which the compressed picture ends."""
    data = saved(image, "PNG")
    return data[:-12] + chunk(b"IDAT", _scrambled(clean)) + data[-12:]


def lower_bmp(image: Image.Image, clean: Image.Image) -> bytes:
    data = saved(_stacked(clean, image), "BMP")  # whose last rows come first
    return data[:22] + struct.pack("<i", image.height) + data[26:]


def lower_gif(image: Image.Image, clean: Image.Image) -> bytes:
    # Interlaced, the rows that are seen would be of both pictures.
    data = bytearray(saved(_stacked(image, clean).quantize(256), "GIF", interlace=0))
    at = 13 + 3 * 256
    while data[at] != 0x2C:
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    struct.pack_into("<H", data, 8, image.height)
    struct.pack_into("<H", data, at + 7, image.height)
    return bytes(data)


def lower_webp(image: Image.Image, clean: Image.Image) -> bytes:
    ((name, body),), _ = riff.split(saved(_stacked(image, clean), "WEBP", quality=90))
    return riff.join([(name, body[:8] + struct.pack("<H", image.height) + body[10:])])


def lower_tiff(image: Image.Image, clean: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, np.asarray(_stacked(image, clean)), photometric="rgb", **options)
    out.seek(0)
    with tifffile.TiffFile(out, mode="r+b") as file:
        file.pages.first.tags["ImageLength"].overwrite(image.height)
    return out.getvalue()


def in_free_box(data: bytes, body: bytes) -> bytes:
    return data + struct.pack(">I4s", len(body) + 8, b"free") + body


def in_media_box(data: bytes, body: bytes) -> bytes:
    """Behind the last item, in the box of the pixels."""
    kind, start, end = next(one for one in bmff.boxes(data) if one[0] == b"mdat")
    size = struct.pack(">I", end - start + 8 + len(body))
    assert end == len(data)
    return data[: start - 8] + size + kind + data[start:] + body


def _stacked(one: Image.Image, other: Image.Image) -> Image.Image:
    """One above the other, `one` in whole blocks."""
    both = Image.new("RGB", (one.width, one.height + other.height))
    both.paste(one, (0, 0))
    both.paste(other, (0, one.height))
    return both


def _scrambled(clean: Image.Image) -> bytes:
    """Bytes of a picture in a coding of the writer's own."""
    rows = np.asarray(clean.resize(SMALL))
    return bytes(zlib.compress((rows ^ 0x5A).tobytes()))[2:]


def _raw(clean: Image.Image) -> bytes:
    return np.asarray(clean.resize(SMALL)).tobytes()


def builders(heif: Callable[[Image.Image, str], bytes]) -> dict[str, Builder]:
    """By what they are. heif: from a photo and "HEIF" or "AVIF" to a file."""
    return {**_seen(), **_unseen(heif)}


def _seen() -> dict[str, Builder]:
    """Where the second picture itself is found."""
    return {
        "gzip in a comment": lambda i, c: with_segments(
            jpeg(i), Segment(COM, b"x" + gzip.compress(small_jpeg(c)) + b"y")
        ),
        "zlib in an unknown segment": lambda i, c: with_segments(
            jpeg(i), Segment(0xEB, b"own\0" + zlib.compress(small_jpeg(c)))
        ),
        "bzip2 in a PNG chunk": lambda i, c: with_chunk(
            saved(i, "PNG"), b"prVt", bz2.compress(small_jpeg(c))
        ),
        "xz in a WebP chunk": lambda i, c: riff.join(
            [
                *riff.split(saved_once(i, "WEBP", lossless=True))[0],
                (b"prev", lzma.compress(small_jpeg(c))),
            ]
        ),
        "ZIP in a PNG chunk": lambda i, c: with_chunk(
            saved(i, "PNG"), b"prVt", zipped(small_jpeg(c))
        ),
        "gzip in base64 in XMP": lambda i, c: with_segments(
            jpeg(i), xmp(b"<a>%b</a>" % base64.b64encode(gzip.compress(small_jpeg(c))))
        ),
        "PPM in a PNG chunk": lambda i, c: with_chunk(
            saved(i, "PNG"), b"prVt", b"own\0" + pnm(c.resize(SMALL))
        ),
        "compressed PPM in a PNG chunk": lambda i, c: with_chunk(
            saved(i, "PNG"), b"prVt", gzip.compress(pnm(c.resize(SMALL)))
        ),
        "PPM behind the end of a JPEG": lambda i, c: jpeg(i) + b"own\0" + pnm(c.resize(SMALL)),
        "hex in XMP": lambda i, c: with_segments(
            jpeg(i), xmp(b"<a>%b</a>" % small_jpeg(c).hex().encode())
        ),
        "hex with separators in XMP": lambda i, c: with_segments(
            jpeg(i), xmp(b'<a b="%b"/>' % small_jpeg(c).hex(":").encode())
        ),
        "hex in PNG text": lambda i, c: with_chunk(
            saved(i, "PNG"), b"tEXt", b"thumb\0" + small_jpeg(c).hex().upper().encode()
        ),
        "base64url in XMP": lambda i, c: with_segments(
            jpeg(i), xmp(b"<a>%b</a>" % base64.urlsafe_b64encode(small_jpeg(c)).rstrip(b"="))
        ),
        "base64 in several strings of XMP": lambda i, c: with_segments(
            jpeg(i),
            xmp(
                b"<rdf:Seq>%b</rdf:Seq>"
                % b"\n".join(
                    b"<rdf:li>%b</rdf:li>" % one
                    for one in pieces(base64.b64encode(small_jpeg(c)), 500)
                )
            ),
        ),
        "profile of a JPEG": lambda i, c: with_profile(jpeg(i), profile(small_jpeg(c))),
        "profile of a PNG": lambda i, c: with_chunk(
            saved(i, "PNG"), b"iCCP", b"own\0\0" + zlib.compress(profile(small_jpeg(c)))
        ),
        "profile of a WebP": lambda i, c: saved_once(
            i, "WEBP", lossless=True, icc_profile=profile(small_jpeg(c))
        ),
        "suggested palette of a PNG": lambda i, c: with_chunk(
            saved(i, "PNG"), b"sPLT", b"own\0\10" + small_jpeg(c)
        ),
    }


def _unseen(heif: Callable[[Image.Image, str], bytes]) -> dict[str, Builder]:
    """Where it is only known that nobody knows what is there."""
    packed = {
        f"gzip behind the end of a {kind}": _packed_behind(kind, gzip.compress)
        for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
    }
    packed["ZIP behind the end of a JPEG"] = _packed_behind("JPEG", zipped)
    return {
        **packed,
        "gzip behind the end of a HEIC": lambda i, c: (
            heif(i, "HEIF") + gzip.compress(small_jpeg(c))
        ),
        "raw rows behind the end of a JPEG": lambda i, c: jpeg(i) + _raw(c),
        "raw rows behind the end of a PNG": lambda i, c: saved(i, "PNG") + _raw(c),
        "raw rows behind the end of a TIFF": lambda i, c: saved(i, "TIFF") + _raw(c),
        "own coding behind the end of a JPEG": lambda i, c: jpeg(i) + _scrambled(c),
        "free box of a HEIC": lambda i, c: in_free_box(heif(i, "HEIF"), _raw(c)),
        "free box of an AVIF": lambda i, c: in_free_box(heif(i, "AVIF"), _raw(c)),
        "media box of an AVIF": lambda i, c: in_media_box(heif(i, "AVIF"), _raw(c)),
        "between the segments": between_segments,
        "behind the last row of a scan": behind_scan,
        "behind the compressed rows of a PNG": behind_stream,
        "rows beyond the height of a JPEG": lower_jpeg,
        "rows beyond the height of a progressive JPEG": lambda i, c: lower_jpeg(
            i, c, progressive=True
        ),
        "rows beyond the height of a JPEG with restarts": lambda i, c: lower_jpeg(
            i, c, restart_marker_rows=1
        ),
        "rows beyond the height of a PNG": lower_png,
        "rows beyond the height of a BMP": lower_bmp,
        "rows beyond the height of a GIF": lower_gif,
        "rows beyond the height of a WebP": lower_webp,
        "rows beyond the height of a TIFF": lambda i, c: lower_tiff(i, c, rowsperstrip=50),
        "rows beyond the height of a TIFF of one strip": lower_tiff,
        "rows beyond the height of an LZW TIFF": lambda i, c: lower_tiff(i, c, compression="lzw"),
    }


def _packed_behind(kind: str, pack: Callable[[bytes], bytes]) -> Builder:
    def build(image: Image.Image, clean: Image.Image) -> bytes:
        shown = image.quantize(256) if kind == "GIF" else image
        return saved(shown, kind, **_lossless(kind)) + pack(small_jpeg(clean))

    return build


def _lossless(kind: str) -> dict[str, Any]:
    options: dict[str, dict[str, Any]] = {
        "WEBP": {"lossless": True},
        "JPEG": {"quality": 95, "subsampling": 0},
    }
    return options.get(kind, {})


UNSEEN = frozenset(_unseen(lambda image, kind: b""))
"""Kinds whose carrier is reported, whatever the second picture shows."""
