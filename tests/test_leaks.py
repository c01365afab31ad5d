"""The leak scanner finds each kind of hidden clean face, and none in what the codecs write."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import piexif
import pytest
import tifffile
from PIL import Image

from photoveil.pipeline.cli.verify_leaks import load_judges
from photoveil.transforms import codecs
from photoveil.transforms.codecs import bmff, riff, segments
from photoveil.transforms.codecs.segments import APP0, APP1, APP2, APP13, COM, Segment
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.leaks.clean_faces import leaks
from photoveil.transforms.leaks.embedded_images import hidden
from photoveil.transforms.records import EmbeddedKind, Face, Leak
from tests.commands import invoked
from tests.support import carriers
from tests.support.carriers import (
    XMP,
    Builder,
    jpeg,
    saved,
    saved_once,
    small_jpeg,
    with_chunk,
    with_segments,
)
from tests.test_codecs_mpf import STEREO, VGA, with_pictures

EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"
PHOTOSHOP = b"Photoshop 3.0\0"
SMALL = (120, 150)


def resource(number: int, body: bytes) -> bytes:
    head = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(4, "big")
    return head + body + b"\0" * (len(body) % 2)


def exif_block(thumbnail: bytes | None = None, maker_note: bytes = b"") -> bytes:
    tags: dict[str, Any] = {"0th": {271: b"Maker"}, "Exif": {}}
    if maker_note:
        tags["Exif"][piexif.ExifIFD.MakerNote] = maker_note
    if thumbnail:
        tags |= {"thumbnail": thumbnail, "1st": {259: 6}}
    return piexif.dump(tags)


def extended_xmp(data: bytes, packet: bytes) -> bytes:
    guid = hashlib.md5(packet).hexdigest().upper().encode()
    size = 9_000
    parts = [
        Segment(
            APP1,
            EXTENDED_XMP + guid + struct.pack(">II", len(packet), at) + packet[at : at + size],
        )
        for at in range(0, len(packet), size)
    ]
    main = Segment(APP1, XMP + b'<a xmpNote:HasExtendedXMP="' + guid + b'"/>')
    return with_segments(data, main, *parts)


def png_profile(image: Image.Image, clean: Image.Image) -> bytes:
    block = exif_block(small_jpeg(clean))
    text = b"\nexif\n%8d\n%b\n" % (len(block), block.hex().encode())
    body = b"Raw profile type exif\0\0" + zlib.compress(text)
    return with_chunk(saved(image, "PNG"), b"zTXt", body)


def png_xmp(image: Image.Image, clean: Image.Image) -> bytes:
    packet = b'<a xmpGImg:image="%b"/>' % base64.b64encode(small_jpeg(clean))
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)
    return with_chunk(saved(image, "PNG"), b"iTXt", body)


def tiff_sub_image(image: Image.Image, clean: Image.Image) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(np.asarray(image), photometric="rgb", subifds=1, compression="lzw")
        writer.write(np.asarray(clean.resize(SMALL)), photometric="rgb", subfiletype=1)
    return out.getvalue()


def tiff_page(image: Image.Image, clean: Image.Image) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(np.asarray(image), photometric="rgb")
        writer.write(np.asarray(clean.resize(SMALL)), photometric="rgb", subfiletype=1)
    return out.getvalue()


def jfxx(image: Image.Image, clean: Image.Image) -> bytes:
    small = clean.resize((60, 75))
    body = b"JFXX\0\x13" + bytes(small.size) + small.tobytes()
    return with_segments(jpeg(image), Segment(APP0, body))


def tiff(image: Image.Image, code: int, value: bytes) -> bytes:
    """A TIFF with a tag of undefined bytes."""
    out = io.BytesIO()
    tag = (code, 7, len(value), value, True)
    tifffile.imwrite(out, np.asarray(image), photometric="rgb", extratags=[tag])
    return out.getvalue()


def uncompressed(clean: Image.Image) -> bytes:
    """An EXIF block whose second directory holds a thumbnail in strips."""
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(np.zeros((1, 1, 3), np.uint8), photometric="rgb")
        writer.write(np.asarray(clean.resize((60, 75))), photometric="rgb")
    return b"Exif\0\0" + out.getvalue()


def jfif(image: Image.Image, clean: Image.Image) -> bytes:
    small = clean.resize((60, 75))
    head, *rest = segments.split(jpeg(image))[0]
    body = head.payload[:12] + bytes(small.size) + small.tobytes()
    return segments.join([Segment(APP0, body), *rest])


def ultra_hdr(image: Image.Image, clean: Image.Image) -> bytes:
    """As Android writes it (Ultra HDR Image Format 1.0): a gain map behind the photo, listed in
    XMP and by MPF. What it brightens shows the face."""
    gain_map = jpeg(clean.convert("L").resize((180, 225)))
    packet = (
        b'<x:xmpmeta><rdf:RDF><rdf:Description hdrgm:Version="1.0"><Container:Directory><rdf:Seq>'
        b'<rdf:li><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" Item:Length="%d"/>'
        b"</rdf:li></rdf:Seq></Container:Directory></rdf:Description></rdf:RDF></x:xmpmeta>"
    ) % len(gain_map)
    return with_pictures(with_segments(jpeg(image), Segment(APP1, XMP + packet)), [(0, gain_map)])


def swapped(clean: Image.Image) -> bytes:
    """As Photoshop 4 kept thumbnails: blue where red is due."""
    return small_jpeg(Image.merge("RGB", clean.split()[::-1]))


def gif_extension(image: Image.Image, clean: Image.Image) -> bytes:
    data, picture = saved(image.quantize(256), "GIF"), small_jpeg(clean)
    blocks = [picture[at : at + 255] for at in range(0, len(picture), 255)]
    body = b"".join(bytes([len(block)]) + block for block in blocks)
    end = 13 + 3 * 256
    return data[:end] + b"!\xff\x0bXMP DataXMP" + body + b"\0" + data[end:]


def in_base64(clean: Image.Image) -> bytes:
    """Behind other text, as base64 may lie in any field."""
    return b"x" + base64.b64encode(small_jpeg(clean))


GAIN_MAP = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"


def heic(
    image: Image.Image,
    clean: Image.Image,
    role: bytes,
    kind: str = "HEIF",
    aux: bytes = b"urn:mpeg:hevc:2015:auxid:2\0",  # what a depth map says of itself
) -> bytes:
    """A HEIC with a second picture in it: a thumbnail ("thmb") or an auxiliary one ("auxl")."""
    files = [bmff.parse(heif(one, kind)) for one in (image, clean.resize(SMALL))]
    main, other = files
    number = max(main.items) + 1
    item = other.items[other.primary]
    body = bytes(4) + aux
    box = (8 + len(body)).to_bytes(4, "big") + b"auxC" + body
    if role == b"auxl":
        item = replace(item, properties=(*item.properties, bmff.Property(box, False)))
    return bmff.build(
        bmff.HeifFile(
            main.ftyp,
            main.primary,
            {**main.items, number: item},
            (*main.references, bmff.Reference(role, number, (main.primary,))),
            main.handler,
        )
    )


def jpeg_item(image: Image.Image, clean: Image.Image) -> bytes:
    """A HEIC with a JPEG that nothing refers to."""
    main = bmff.parse(heif(image))
    item = bmff.Item(b"jpeg", data=small_jpeg(clean), hidden=True)
    return bmff.build(replace(main, items={**main.items, max(main.items) + 1: item}))


def heif(image: Image.Image, kind: str = "HEIF", **options: Any) -> bytes:
    if kind == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        pillow_heif.register_heif_opener()
    return saved_once(image, kind, quality=90, **options)


def _cut(clean: Image.Image) -> Image.Image:
    """Another framing, as an earlier version of the photo may have had."""
    width, height = clean.size
    return clean.crop((width // 8, 0, width - width // 8, height * 3 // 4))


BUILDERS: dict[str, Builder] = {
    "EXIF thumbnail": lambda i, c: jpeg(i, exif=exif_block(small_jpeg(c))),
    "uncompressed EXIF thumbnail": lambda i, c: jpeg(i, exif=uncompressed(c)),
    "MakerNote preview": lambda i, c: jpeg(i, exif=exif_block(None, b"M\0" + small_jpeg(c))),
    "MakerNote preview, first byte altered": lambda i, c: jpeg(
        i, exif=exif_block(None, b"M\0\2" + small_jpeg(c)[1:] + b"more")
    ),
    "MPF preview": lambda i, c: saved(i, "MPO", save_all=True, append_images=[c], quality=95),
    "MPF large thumbnail": lambda i, c: with_pictures(jpeg(i), [(VGA, small_jpeg(c))]),
    "MPF stereo pair": lambda i, c: with_pictures(jpeg(i), [(STEREO, jpeg(c))]),
    "Ultra-HDR gain map": ultra_hdr,
    "Photoshop thumbnail": lambda i, c: with_segments(
        jpeg(i), Segment(APP13, PHOTOSHOP + resource(0x040C, bytes(28) + small_jpeg(c)))
    ),
    "Photoshop 4 thumbnail": lambda i, c: with_segments(
        jpeg(i), Segment(APP13, PHOTOSHOP + resource(0x0409, bytes(28) + swapped(c)))
    ),
    "Photoshop thumbnail of a TIFF": lambda i, c: tiff(
        i, 34377, resource(0x040C, bytes(28) + small_jpeg(c))
    ),
    "Photoshop layers of a TIFF": lambda i, c: tiff(
        i, 37724, b"Adobe Photoshop Document Data Block\0" + c.resize(SMALL).tobytes()
    ),
    "XMP in a Photoshop resource": lambda i, c: with_segments(
        jpeg(i),
        Segment(
            APP13,
            PHOTOSHOP
            + resource(0x0424, b'<a photo="%b"/>' % base64.b64encode(small_jpeg(c)))
            + resource(0x0404, b"caption"),
        ),
    ),
    "IPTC preview": lambda i, c: with_segments(
        jpeg(i),
        Segment(APP13, PHOTOSHOP + resource(0x0404, b"\x1c\2\xca\x80\4" + small_jpeg(c))),
    ),
    "XMP thumbnail": lambda i, c: with_segments(
        jpeg(i),
        Segment(
            APP1,
            XMP + b"<xmpGImg:image>%b</xmpGImg:image>" % base64.encodebytes(small_jpeg(c)),
        ),
    ),
    "original in extended XMP": lambda i, c: extended_xmp(
        jpeg(i), b'<a GImage:Data="%b"/>' % base64.b64encode(jpeg(_cut(c)))
    ),
    "depth in extended XMP": lambda i, c: extended_xmp(
        jpeg(i), b'<a GDepth:Data="%b"/>' % base64.b64encode(saved(c.convert("L"), "PNG"))
    ),
    "original of a depth photo in extended XMP": lambda i, c: extended_xmp(
        jpeg(i), b"<GDepth:Image>%b</GDepth:Image>" % base64.b64encode(jpeg(c))
    ),
    "XMP thumbnail of a TIFF": lambda i, c: tiff(
        i, 700, b'<a xmpGImg:image="%b"/>' % base64.b64encode(small_jpeg(c))
    ),
    "JFIF thumbnail": jfif,
    "JFXX thumbnail": jfxx,
    "unknown segment": lambda i, c: with_segments(
        jpeg(i), Segment(0xEB, b"JP\0\1" + small_jpeg(c))
    ),
    "comment": lambda i, c: with_segments(jpeg(i), Segment(COM, small_jpeg(c))),
    "ICC-like segment": lambda i, c: with_segments(
        jpeg(i), Segment(APP2, b"own\0" + small_jpeg(c))
    ),
    "after the end of a JPEG": lambda i, c: jpeg(i) + b"PK" + saved(_cut(c), "PNG"),
    "WebP after the end": lambda i, c: jpeg(i) + saved(c, "WEBP", quality=90),
    "HEIC after the end": lambda i, c: jpeg(i) + heic(c, c, b"thmb"),
    "TIFF after the end": lambda i, c: jpeg(i) + saved(c, "TIFF"),
    "video": lambda i, c: jpeg(i) + b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99),
    "video of a HEIC": lambda i, c: heif(i) + b"\0\0\0\x33mpvd\0\0\0\x18ftypmp42" + bytes(31),
    "PNG private chunk": lambda i, c: with_chunk(saved(i, "PNG"), b"caBX", small_jpeg(c)),
    "PNG EXIF": lambda i, c: with_chunk(
        saved(i, "PNG"), b"eXIf", exif_block(small_jpeg(c))[len(b"Exif\0\0") :]
    ),
    "PNG profile in hex": png_profile,
    "PNG compressed XMP": png_xmp,
    "after the end of a PNG": lambda i, c: saved(i, "PNG") + saved(_cut(c), "PNG"),
    "TIFF sub-image": tiff_sub_image,
    "TIFF reduced page": tiff_page,
    "WebP EXIF": lambda i, c: saved_once(
        i, "WEBP", lossless=True, exif=exif_block(small_jpeg(c))[len(b"Exif\0\0") :]
    ),
    "WebP left-over chunk": lambda i, c: riff.join(
        [*riff.split(saved_once(i, "WEBP", lossless=True))[0], (b"prev", small_jpeg(c))]
    ),
    "WebP XMP": lambda i, c: saved_once(
        i, "WEBP", lossless=True, xmp=b'<a xmpGImg:image="%b"/>' % base64.b64encode(small_jpeg(c))
    ),
    "after the end of a WebP": lambda i, c: saved_once(i, "WEBP", lossless=True) + small_jpeg(c),
    "after the end of a BMP": lambda i, c: saved(i, "BMP") + small_jpeg(c),
    "after the end of a GIF": lambda i, c: saved(i.quantize(256), "GIF") + small_jpeg(c),
    "after the end of a TIFF": lambda i, c: saved(i, "TIFF") + small_jpeg(c),
    "after the end of a HEIC": lambda i, c: heif(i) + small_jpeg(c),
    "after the end of an AVIF": lambda i, c: heif(i, "AVIF") + small_jpeg(c),
    "GIF extension": gif_extension,
    "HEIC thumbnail": lambda i, c: heic(i, c, b"thmb"),
    "HEIC auxiliary picture": lambda i, c: heic(i, c, b"auxl"),
    "HEIC gain map": lambda i, c: heic(i, c.convert("L"), b"auxl", aux=GAIN_MAP),
    "HEIC EXIF thumbnail": lambda i, c: heif(i, exif=exif_block(small_jpeg(c))),
    "HEIC XMP": lambda i, c: heif(
        i, xmp=b'<a xmpGImg:image="%b"/>' % base64.b64encode(small_jpeg(c))
    ),
    "JPEG in a HEIC": jpeg_item,
    "AVIF thumbnail": lambda i, c: heic(i, c, b"thmb", "AVIF"),
    "AVIF auxiliary picture": lambda i, c: heic(i, c, b"auxl", "AVIF"),
    "AVIF EXIF thumbnail": lambda i, c: heif(i, "AVIF", exif=exif_block(small_jpeg(c))),
    "base64 in a comment": lambda i, c: with_segments(jpeg(i), Segment(COM, in_base64(c))),
    "base64 in an unknown segment": lambda i, c: with_segments(
        jpeg(i), Segment(0xEB, b"own\0" + in_base64(c))
    ),
    "base64 in a Photoshop resource": lambda i, c: with_segments(
        jpeg(i), Segment(APP13, PHOTOSHOP + resource(0x0404, in_base64(c)))
    ),
    "base64 in EXIF": lambda i, c: jpeg(
        i, exif=piexif.dump({"Exif": {piexif.ExifIFD.UserComment: b"ASCII\0\0\0" + in_base64(c)}})
    ),
    "base64 in PNG text": lambda i, c: with_chunk(
        saved(i, "PNG"), b"tEXt", b"thumb\0" + in_base64(c)
    ),
    "base64 in compressed PNG text": lambda i, c: with_chunk(
        saved(i, "PNG"), b"zTXt", b"thumb\0\0" + zlib.compress(in_base64(c))
    ),
    "base64 in international PNG text": lambda i, c: with_chunk(
        saved(i, "PNG"), b"iTXt", b"thumb\0\1\0\0\0" + zlib.compress(in_base64(c))
    ),
    "base64 in a PNG chunk": lambda i, c: with_chunk(saved(i, "PNG"), b"prVt", in_base64(c)),
    "base64 in a WebP chunk": lambda i, c: riff.join(
        [*riff.split(saved_once(i, "WEBP", lossless=True))[0], (b"prev", in_base64(c))]
    ),
    "base64 in a TIFF tag": lambda i, c: tiff(i, 65000, in_base64(c)),
    "base64 in a GIF comment": lambda i, c: saved(i.quantize(256), "GIF", comment=in_base64(c)),
    **carriers.builders(heif),
}

REBUILT = {
    *("EXIF thumbnail", "MPF large thumbnail", "Photoshop thumbnail", "PNG EXIF", "WebP EXIF"),
    *("Photoshop thumbnail of a TIFF", "PNG profile in hex", "HEIC thumbnail", "AVIF thumbnail"),
    *("HEIC EXIF thumbnail", "AVIF EXIF thumbnail", "Ultra-HDR gain map"),
    "HEIC gain map",
}
"""Those made anew from the cloaked photo, unless that is not wanted; all others are removed."""

UNSEEN = {
    "video": EmbeddedKind.VIDEO,
    "video of a HEIC": EmbeddedKind.VIDEO,
    "Photoshop layers of a TIFF": EmbeddedKind.LAYERS,
    **dict.fromkeys(carriers.UNSEEN, EmbeddedKind.DATA),
}
"""What the scanner names and cannot look into, or not into all of it."""


def every_other(
    kinds: Iterable[str], first: int, without: Collection[str] = frozenset()
) -> list[Any]:
    """Parameters of a test: every other kind, and the rest of them in the slow lane.

    The default suite hides each kind in a photo once: here, or for a whole run in
    test_hidden_faces.py.
    """
    return [
        kind if place % 2 == first else pytest.param(kind, marks=pytest.mark.slow)
        for place, kind in enumerate(kinds)
        if kind not in without
    ]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory, demo_photo: Callable[[str], Path]) -> Path:
    """A folder with a portrait in `in`, and in `out` what the command made of it."""
    base = tmp_path_factory.mktemp("leaks")
    (base / "in").mkdir()
    with Image.open(demo_photo("obama.jpg")) as image:
        image.resize((288, 360)).save(base / "in" / "portrait.png")
    config = base / "quick.yaml"
    config.write_text("cloak: {steps: 30, batch_size: 1, surrogates: [mobilefacenet]}\n")
    options = ["--state", base / "state", "--config", config]
    assert invoked("run", base / "in", base / "out", *options)[0] == 0
    return base


@pytest.fixture(scope="module")
def photos(library: Path) -> tuple[Image.Image, Image.Image]:
    """The portrait before and after."""
    pair = [
        Image.open(library / folder / "portrait.png").convert("RGB") for folder in ("in", "out")
    ]
    return pair[0], pair[1]


@cache
def faces_in(picture: bytes, size: tuple[int, int]) -> list[Face]:
    return load_judges()[0](np.asarray(Image.frombytes("RGB", size, picture)))


def scan(data: bytes, clean: Image.Image, orientation: int = 1) -> list[Leak]:
    """What the scanner says of a file whose original is `clean`, as seen."""
    original = codecs.DecodedPhoto("PNG", np.asarray(clean), orientation)
    faces = faces_in(clean.tobytes(), clean.size)
    written = codecs.decode(data, 10**9).pixels
    return leaks(hidden(data), original, written, faces, *load_judges())


@pytest.mark.parametrize("kind", every_other(BUILDERS, 0))
def test_leak_is_found_and_the_codec_leaves_none(
    kind: str, photos: tuple[Image.Image, Image.Image]
) -> None:
    clean, cloaked = photos
    build = BUILDERS[kind]
    careless = build(cloaked, clean)  # what a program writes that knows of the main picture alone
    found = scan(careless, clean)
    what = {leak.what for leak in found}
    clean_face = {EmbeddedKind.CLEAN_FACE}
    assert what - clean_face == {UNSEEN[kind]} if kind in UNSEEN else what == clean_face
    change = (np.asarray(cloaked).astype(np.float32) - np.asarray(clean)).mean(axis=2)
    data = build(clean, clean)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert any("rebuilt" in note for note in coded.notes) == (kind in REBUILT)
    assert scan(coded.data, clean) == []
    assert bool(hidden(coded.data)) == (kind in REBUILT)
    if kind in REBUILT:
        coded = codecs.encode(data, codecs.PhotoChange.of_levels(change), rebuild_thumbnails=False)
        assert hidden(coded.data) == []
    assert any("removed" in note for note in coded.notes)


def hdr(image: Image.Image) -> bytes:
    """An Ultra HDR photo, as libultrahdr makes it of light that reaches thrice paper white."""
    seen = np.asarray(image, np.float32) / 255
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    light = linear.mean(axis=2, keepdims=True)
    pixels = np.concatenate([linear * (1 + 2 * light), np.ones_like(light)], axis=2)
    kinds = imagecodecs.ULTRAHDR
    return bytes(
        imagecodecs.ultrahdr_encode(
            pixels.astype(np.float16), 95, transfer=kinds.CT.LINEAR, gamut=kinds.CG.BT_709
        )
    )


def shown(data: bytes) -> np.ndarray:
    """The HDR rendition as uint8 (H, W, 3), its brightest light white."""
    linear = imagecodecs.ultrahdr_decode(data)[..., :3].astype(np.float32).clip(0)
    linear /= linear.max()
    return (255 * linear ** (1 / 2.2)).round().astype(np.uint8)


def _pixels(data: bytes) -> list[np.ndarray]:
    return [one.pixels for one in hidden(data) if one.pixels is not None]


def test_neither_the_gain_map_nor_the_hdr_rendition_shows_the_clean_face(
    photos: tuple[Image.Image, Image.Image],
) -> None:
    clean, cloaked = photos
    detect, embed = load_judges()
    change = (np.asarray(cloaked).astype(np.float32) - np.asarray(clean)).mean(axis=2)
    data = hdr(clean)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert coded.notes == ("gain map rebuilt",)
    maps = [max(_pixels(one), key=len) for one in (data, coded.data)]
    assert detect(maps[0]) and not detect(maps[1])
    assert scan(coded.data, clean) == []
    # On a bright screen the face is as far from the clean one as on another.
    (face,) = faces_in(clean.tobytes(), clean.size)
    matrix = face_to_crop(face.landmarks)
    base = [codecs.decode(one, 10**9).pixels for one in (data, coded.data)]
    careless = coded.data[: segments.split(coded.data)[1]] + data[segments.split(data)[1] :]
    bright = [shown(one) for one in (data, coded.data, careless)]
    found = embed(np.stack([crop_face(one, matrix) for one in (*base, *bright)]))
    plain, plain_cloaked, light, light_cloaked, light_careless = found
    assert light @ light_cloaked < plain @ plain_cloaked + 0.1
    # The clean map itself shows who it is, and lets some of it through.
    assert light @ light_careless > light @ light_cloaked + 0.2
    assert [leak.what for leak in scan(careless, clean)] == [EmbeddedKind.CLEAN_FACE]


def test_stranger_in_a_hidden_picture_is_told(
    photos: tuple[Image.Image, Image.Image], demo_photo: Callable[[str], Path]
) -> None:
    clean, cloaked = photos
    with Image.open(demo_photo("biden.jpg")) as image:
        other = image.convert("RGB").resize((300, 375))
    (found,) = scan(jpeg(cloaked) + jpeg(other), clean)
    assert found.what == EmbeddedKind.OTHER_FACE


def test_turned_thumbnail_is_seen(photos: tuple[Image.Image, Image.Image]) -> None:
    clean, cloaked = photos
    tags = {"0th": {274: 6}, "1st": {259: 6}}
    stored = [one.rotate(90, expand=True) for one in photos]
    small = jpeg(stored[0].resize((150, 120)))
    block = piexif.dump({**tags, "thumbnail": small})
    careless = jpeg(stored[1], exif=block)
    assert [leak.what for leak in scan(careless, clean, 6)] == [EmbeddedKind.CLEAN_FACE]
    change = np.asarray(cloaked).astype(np.float32) - np.asarray(clean)
    written = codecs.encode(
        jpeg(stored[0], exif=block), codecs.PhotoChange.of_levels(change.mean(axis=2))
    ).data
    assert scan(written, clean, 6) == []


def verified(library: Path) -> tuple[int, str]:
    return invoked("verify", library / "out", "--originals", library / "in", "--leaks")


def test_command_says_what_it_found(library: Path, photos: tuple[Image.Image, Image.Image]) -> None:
    assert verified(library) == (0, "1 files looked into.\nNo clean face hides in them.\n")
    clean, cloaked = photos
    output = library / "out" / "portrait.png"
    output.write_bytes(BUILDERS["PNG private chunk"](cloaked, clean))
    code, said = verified(library)
    assert code == 3
    assert "1 of them hold what they should not:" in said
    assert "portrait.png: an uncloaked face in the JPEG at byte 41" in said
    (library / "in" / "portrait.png").unlink()
    code, said = verified(library)
    assert (code, "portrait.png: it or its original is gone" in said) == (0, True)
