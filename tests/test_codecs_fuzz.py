"""Damaged files: every parser of ours gives a result or a reason, and never anything else."""

from __future__ import annotations

import contextlib
import io
import zlib
from functools import cache
from typing import Any

import numpy as np
import piexif
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import segments
from photoveil.transforms.codecs.segments import APP1, APP13, Segment
from photoveil.transforms.leaks.embedded_images import hidden
from tests.test_codecs_mpf import VGA, with_pictures
from tests.test_sidecars import exif_with_names

MOST_PIXELS = 1_000_000
XMP = (
    b'<x:xmpmeta><rdf:RDF><a xmpGImg:image="/9j/4AAQSkZJRgAB"/><MPRI:Regions><rdf:Bag><rdf:li '
    b'MPReg:PersonDisplayName="A"/></rdf:Bag></MPRI:Regions></rdf:RDF></x:xmpmeta>'
)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@cache
def sound(kind: str) -> bytes:
    """A small file of that kind with all that we parse in it."""
    levels = np.add.outer(np.arange(24), np.arange(32))[..., None] * np.array([2, 3, 1])
    image = Image.fromarray(levels.astype(np.uint8))
    thumbnail = saved(image.resize((16, 12)), "JPEG")
    exif = piexif.dump(
        {"0th": {271: b"M"}, "Exif": {37500: b"N" + thumbnail}, "1st": {259: 6}}
        | {"thumbnail": thumbnail}
    )
    if kind == "JPEG":
        parts = segments.split(saved(image, "JPEG", exif=exif))[0]
        resource = b"8BIM\4\x0c\0\0" + len(thumbnail).to_bytes(4, "big") + thumbnail
        extra = [
            Segment(APP1, b"http://ns.adobe.com/xap/1.0/\0" + XMP),
            Segment(APP1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + XMP),
            Segment(APP13, b"Photoshop 3.0\0" + resource),
            Segment(APP13, b"\x1c\2\x19\0\1A\x1c\2\x19\0\1B"),
            Segment(APP1, b"Exif\0\0" + exif_with_names()),
        ]
        movie = b"\0\0\0\x18ftypmp42" + bytes(30)
        still = segments.join([*parts[:1], *extra, *parts[1:]])
        return with_pictures(still, [(VGA, thumbnail)]) + movie
    if kind == "progressive JPEG":
        return saved(image, "JPEG", progressive=True, restart_marker_rows=1)
    if kind == "JPEG in TIFF":
        return saved(image.convert("YCbCr"), "TIFF", compression="jpeg", strip_size=1024)
    if kind == "PNG":
        data = saved(image, "PNG", exif=exif)
        body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(XMP)
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        return data[:33] + chunk + data[33:]
    if kind == "TIFF":
        out = io.BytesIO()
        with tifffile.TiffWriter(out) as writer:
            size = (28 + len(thumbnail)).to_bytes(4, "big")
            photoshop = b"8BIM\4\x0c\0\0" + size + bytes(28) + thumbnail
            tags: list[Any] = [(700, 1, len(XMP), XMP, True), (37724, 7, 4, b"abcd", True)]
            tags.append((34377, 1, len(photoshop), photoshop, True))
            writer.write(levels.astype(np.uint8), compression="lzw", subifds=1, extratags=tags)
            writer.write(levels[::2, ::2].astype(np.uint8), subfiletype=1)
        return out.getvalue()
    if kind == "GIF":
        return saved(image.quantize(32), "GIF", comment=b"c")
    if kind == "BMP":
        return saved(image, "BMP")
    if kind == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif")
        out = io.BytesIO()
        pillow_heif.from_pillow(image).save(out, exif=exif, xmp=XMP, thumbnails=[16])
        return out.getvalue()
    return saved(image, kind, exif=exif, xmp=XMP)


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """`data` with some bytes changed, and perhaps a piece missing, doubled or cut off."""
    block = bytearray(data)
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(block) - 1))
        block[at] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)) | st.integers(0, 255))
    start = draw(st.integers(0, len(block)))
    end = draw(st.integers(start, min(len(block), start + 64)))
    how = draw(st.sampled_from(("whole", "whole", "cut off", "missing", "doubled")))
    if how == "cut off":
        return bytes(block[:start])
    if how == "missing":
        return bytes(block[:start] + block[end:])
    if how == "doubled":
        return bytes(block[:end] + block[start:])
    return bytes(block)


KINDS = ("JPEG", "progressive JPEG", "PNG", "WEBP", "TIFF", "JPEG in TIFF", "BMP", "GIF", "AVIF")


@pytest.mark.parametrize("kind", [*KINDS, "HEIC"])
@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(choice=st.data())
def test_damage_gives_a_result_or_a_reason(kind: str, choice: st.DataObject) -> None:
    data = choice.draw(damaged(sound(kind)))
    for look in (codecs.without_names, codecs.without_video, hidden):
        with contextlib.suppress(codecs.CodecError):
            look(data)
    try:
        photo = codecs.decode(data, MOST_PIXELS)
        change = np.zeros(photo.pixels.shape[:2], np.float32)
        change[2:12, 2:20] = 9
        with contextlib.suppress(codecs.CodecError):
            codecs.alone(data)
        codecs.encode(data, codecs.PhotoChange.of_levels(change))
    except codecs.CodecError as error:
        assert str(error)
