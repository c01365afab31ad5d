"""WebP, TIFF, BMP, GIF, HEIC and AVIF: what comes out is what went in, but for the face."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import piexif
import pytest
import tifffile
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import bmff, exif, riff, segments
from photoveil.transforms.leaks.embedded_images import hidden

NO_LIMIT = 10**9
BOX = (slice(10, 60), slice(21, 70))
LEVEL = 40
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>plain</x:xmpmeta>"
ICC = b"\xff\xd8\xff numbers of a profile"


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        soft = image.convert("RGB").crop((150, 20, 281, 113))
        return soft.point(lambda level: level // 2 + 40)  # room for the change, both ways


@pytest.fixture(scope="session")
def picture(portrait: Image.Image) -> bytes:
    """A small JPEG of the uncloaked photo, as files hide them."""
    return saved(portrait.resize((40, 36)), "JPEG")


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def box_change(data: bytes) -> np.ndarray:
    change = np.zeros(codecs.decode(data, NO_LIMIT).pixels.shape[:2], np.float32)
    change[BOX] = LEVEL
    return change


def changed(data: bytes) -> codecs.EncodedPhoto:
    return codecs.encode(data, codecs.PhotoChange.of_levels(box_change(data)))


def expected(pixels: np.ndarray, colours: int = 3, scale: int = 1) -> np.ndarray:
    new = pixels.copy()
    new.reshape(*new.shape[:2], -1)[*BOX, :colours] += np.asarray(LEVEL * scale, new.dtype)
    return new


def difference(before: bytes, after: bytes) -> np.ndarray:
    """As seen, levels, (H, W, 3)."""
    old, new = (codecs.decode(data, NO_LIMIT).pixels.astype(int) for data in (before, after))
    return new - old


def assert_near(before: bytes, after: bytes, outside: float, inside: float) -> None:
    """Lossy formats: the mean error outside the box, and the mean change in it."""
    found = difference(before, after)
    assert found[BOX].mean() == pytest.approx(LEVEL, abs=inside)
    found[BOX] = 0
    assert np.abs(found).mean() < outside


def tags_and_thumbnail(picture: bytes, orientation: int = 1) -> bytes:
    tags = {"0th": {271: b"Maker", 274: orientation}, "1st": {259: 6}, "thumbnail": picture}
    return piexif.dump(tags)[len(exif.HEADER) :]


# WebP


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lossless_webp_changes_in_the_box_alone(mode: str, portrait: Image.Image) -> None:
    image = portrait.convert(mode)
    if mode == "RGBA":
        image.putalpha(portrait.convert("L"))
    result = opened(changed(saved(image, "WEBP", lossless=True, exact=True)).data)
    assert result.mode == mode
    np.testing.assert_array_equal(np.asarray(result), expected(np.asarray(image)))


@pytest.mark.parametrize("quality", [50, 80])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_lossy_webp_is_near(mode: str, quality: int, portrait: Image.Image) -> None:
    image = portrait.convert(mode)
    if mode == "RGBA":
        image.putalpha(portrait.convert("L"))
    data = saved(image, "WEBP", quality=quality)
    coded = changed(data).data
    assert_near(data, coded, outside=3, inside=2)
    assert 0.95 * len(data) < len(coded) < 1.8 * len(data)  # it is small, and of few bytes
    assert riff.split(coded)[0][-1][0] == b"VP8 "  # and not lossless
    if mode == "RGBA":
        np.testing.assert_array_equal(np.asarray(opened(coded))[..., 3], np.asarray(image)[..., 3])


def test_webp_chunks_are_carried_and_pictures_in_them_are_not(
    portrait: Image.Image, picture: bytes
) -> None:
    tiff = tags_and_thumbnail(picture)
    data = saved(portrait, "WEBP", exif=tiff, xmp=XMP, icc_profile=ICC)
    data = riff.join([*riff.split(data)[0], (b"prVt", b"a maker's own"), (b"hide", picture)])
    coded = changed(data + b"an older picture")
    before, after = (dict(riff.split(one)[0]) for one in (data, coded.data))
    assert list(before) == list(after)
    for name in (b"VP8X", b"ICCP", b"XMP ", b"prVt"):
        assert before[name] == after[name]
    assert after[b"hide"] == bytes(len(picture))
    tags = piexif.load(exif.HEADER + after[b"EXIF"])
    assert tags["0th"] == piexif.load(exif.HEADER + tiff)["0th"]
    assert tags["thumbnail"] not in (None, picture)
    assert coded.notes == (
        "EXIF thumbnail rebuilt",
        "picture in hide removed",
        "data after the end of the image removed",
    )


def test_webp_turned_by_exif_changes_where_it_was_seen(
    portrait: Image.Image, picture: bytes
) -> None:
    data = saved(portrait, "WEBP", lossless=True, exif=tags_and_thumbnail(picture, 6))
    found = difference(data, changed(data).data)
    assert (found[BOX] == LEVEL).all()
    assert np.count_nonzero(found) == found[BOX].size


# TIFF


def tiff_of(pixels: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, **options)
    return out.getvalue()


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "packbits", "zstd", "lzma"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("layout", ["strips", "one strip", "tiles", "planes"])
def test_tiff_changes_in_the_box_alone(
    layout: str, depth: int, compression: str | None, portrait: Image.Image
) -> None:
    scale = 257 if depth == 16 else 1
    pixels = (np.asarray(portrait).astype(np.uint16) * scale).astype(f"u{depth // 8}")
    options: dict[str, Any] = {}
    if layout == "strips":
        options = {"rowsperstrip": 7}
    if layout == "tiles":
        options = {"tile": (32, 48)}
    if layout == "planes":
        options = {"planarconfig": "separate"}
    if compression in ("lzw", "zlib", "zstd"):
        options["predictor"] = 2
    stored = np.moveaxis(pixels, -1, 0) if layout == "planes" else pixels
    data = tiff_of(
        stored,
        photometric="rgb",
        compression=compression,
        byteorder=">" if layout == "tiles" else "<",
        description="a caption",
        resolution=(300, 300),
        **options,
    )
    coded = changed(data)
    result = tifffile.imread(io.BytesIO(coded.data))
    result = np.moveaxis(result, 0, -1) if layout == "planes" else result
    np.testing.assert_array_equal(result, expected(pixels, scale=scale))
    before, after = (
        {
            tag.name: tag.value
            for tag in tifffile.TiffFile(io.BytesIO(one)).pages.first.tags
            if not tag.name.endswith(("Offsets", "ByteCounts"))
        }
        for one in (data, coded.data)
    )
    assert before == after
    assert coded.notes == ()


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_uncloaked_bytes_are_gone(compression: str | None) -> None:
    """A strip that grew covers the old one, or lies elsewhere and the old one is blanked."""
    pixels = np.full((64, 80), 90, np.uint8)
    pixels[:32] += np.arange(80, dtype=np.uint8)
    data = tiff_of(pixels, compression=compression, rowsperstrip=64, photometric="minisblack")
    page = tifffile.TiffFile(io.BytesIO(data)).pages.first
    old = data[page.dataoffsets[0] :][: page.databytecounts[0]]
    change = np.random.default_rng(0).normal(0, 20, pixels.shape).astype(np.float32)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    assert old[10:60] not in coded
    assert (tifffile.imread(io.BytesIO(coded)) != pixels).any()


def test_tiff_strip_at_the_end_grows_where_it_is(portrait: Image.Image) -> None:
    pixels = np.asarray(portrait)
    data = tiff_of(pixels, compression="lzw", rowsperstrip=len(pixels), photometric="rgb")
    change = np.zeros(pixels.shape[:2], np.float32)
    change[BOX] = np.random.default_rng(0).normal(0, 20, change[BOX].shape)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    old, new = (tifffile.TiffFile(io.BytesIO(file)).pages.first for file in (data, coded))
    assert new.dataoffsets == old.dataoffsets
    assert new.databytecounts[0] > old.databytecounts[0]
    outside = change == 0
    assert (tifffile.imread(io.BytesIO(coded))[outside] == pixels[outside]).all()


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_grey_tiff_gets_lighter_as_seen(photometric: str, portrait: Image.Image) -> None:
    pixels = np.asarray(portrait.convert("L"))
    stored = 255 - pixels if photometric == "miniswhite" else pixels
    data = tiff_of(stored, photometric=photometric)
    assert (difference(data, changed(data).data)[BOX] == LEVEL).all()


def test_every_page_of_a_tiff_is_cloaked(portrait: Image.Image) -> None:
    first, second = np.asarray(portrait), np.asarray(portrait.rotate(90, expand=True))
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(first, photometric="rgb", compression="lzw")
        writer.write(second, photometric="rgb", extratags=[(274, 3, 1, 6, True)])
    data = out.getvalue()
    seen = codecs.decode(data, NO_LIMIT).pixels
    assert seen.shape == (2 * first.shape[0], first.shape[1], 3)
    change = np.zeros(seen.shape[:2], np.float32)
    change[BOX] = LEVEL
    change[first.shape[0] :][BOX] = -LEVEL
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    found = difference(data, coded)
    np.testing.assert_array_equal(found, np.repeat(change[..., None], 3, axis=2))


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_photoshop_thumbnail_of_a_tiff_is_made_anew_in_its_place(
    compression: str | None, portrait: Image.Image
) -> None:
    old = saved(portrait.resize((64, 45)), "JPEG", quality=90)
    head = struct.pack(">6IHH", 1, 64, 45, 0, 0, len(old), 24, 1)
    body, caption = head + old, b"8BIM\4\4\0\0\0\0\0\6x\xff\xd8\xff\xe0y"
    resource = b"8BIM\4\x0c\0\0" + len(body).to_bytes(4, "big") + body + b"\0" * (len(body) % 2)
    block = resource + caption
    tags = [(34377, 1, len(block), block, True), (274, 3, 1, 3, True)]
    pixels = np.asarray(portrait)[::-1, ::-1]
    data = tiff_of(pixels, photometric="rgb", compression=compression, extratags=tags)
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(np.full(pixels.shape[:2], LEVEL, np.float32))
    )
    assert coded.notes == ("Photoshop thumbnail rebuilt",)
    tag = tifffile.TiffFile(io.BytesIO(coded.data)).pages.first.tags[34377]
    at = 12 + len(head)
    assert tag.value[:12] == block[:12] and tag.value.endswith(caption)
    assert old[30:] not in coded.data
    new = opened(tag.value[at : at + int.from_bytes(tag.value[12 + 20 : 12 + 24], "big")])
    small = portrait.rotate(180).resize((64, 45), Image.Resampling.LANCZOS)
    assert np.abs(np.asarray(new, float) - np.asarray(small, float) - LEVEL).mean() < 3
    removed = codecs.encode(
        data, codecs.PhotoChange.of_levels(box_change(data)), rebuild_thumbnails=False
    )
    assert removed.notes == ("Photoshop thumbnail removed",)
    tag = tifffile.TiffFile(io.BytesIO(removed.data)).pages.first.tags[34377]
    assert tag.value == caption.ljust(len(block), b"\0")


def test_reduced_copies_sub_images_and_layers_of_a_tiff_go(
    portrait: Image.Image, picture: bytes
) -> None:
    pixels = np.asarray(portrait)
    small = np.asarray(portrait.resize((40, 28)))
    layers = small.tobytes()
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        extra = [(37724, 7, len(layers), layers, True), (65000, 7, len(picture), picture, True)]
        writer.write(pixels, photometric="rgb", subifds=1, extratags=extra)
        writer.write(small, photometric="rgb", subfiletype=1)  # the sub-image
        writer.write(small, photometric="rgb", subfiletype=1)
    data = out.getvalue()
    assert small[20].tobytes() in data
    coded = changed(data)
    assert small[20].tobytes() not in coded.data
    assert picture[50:150] not in coded.data
    assert set(coded.notes) == {
        "sub-image removed",
        "Photoshop layers removed",
        "reduced copy removed",
        "pictures in metadata removed",
    }
    with tifffile.TiffFile(io.BytesIO(coded.data)) as file:
        assert len(file.pages) == 1
        assert not {330, 37724} & set(file.pages.first.tags.keys())
        np.testing.assert_array_equal(file.pages.first.asarray(), expected(pixels))


def page_of(data: bytes) -> tifffile.TiffPage:
    return tifffile.TiffFile(io.BytesIO(data)).pages.first


def jpeg_tiff(kind: str, layout: str, image: Image.Image) -> bytes:
    """By libtiff, with shared tables; or by tifffile, with tables in each strip or tile."""
    if layout == "shared tables":
        mode = {"grey": "L", "rgb": "RGB", "ycbcr": "YCbCr", "cmyk": "CMYK"}[kind]
        return saved(image.convert(mode), "TIFF", compression="jpeg", quality=90, strip_size=8192)
    grey = kind == "grey"
    return tiff_of(
        np.asarray(image.convert("L" if grey else "RGB")),
        photometric="minisblack" if grey else kind,
        compression="jpeg",
        compressionargs={"level": 90},
        subsampling=(2, 2) if kind == "ycbcr" else None,
        **({"tile": (32, 48)} if layout == "tiles" else {"rowsperstrip": 32}),
    )


def blocks_of(change: np.ndarray) -> np.ndarray:
    """Where the 8 x 8 blocks that `change` touches lie."""
    padded = np.pad(change, [(0, -side % 8) for side in change.shape])
    touched = padded.reshape(len(padded) // 8, 8, -1, 8).any(axis=(1, 3))
    return np.kron(touched, np.ones((8, 8), bool))[: len(change), : change.shape[1]]


@pytest.mark.parametrize(
    ("kind", "layout"),
    [
        *product(["grey", "rgb", "ycbcr"], ["shared tables", "strips", "tiles"]),
        ("cmyk", "shared tables"),
    ],
)
def test_jpeg_in_tiff_changes_in_its_blocks_alone(
    kind: str, layout: str, portrait: Image.Image
) -> None:
    data = jpeg_tiff(kind, layout, portrait)
    assert len(page_of(data).dataoffsets) > 1
    change = box_change(data)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    found, inside = difference(data, coded.data), blocks_of(change)
    assert not found[~inside].any()
    assert found[BOX].mean() == pytest.approx(LEVEL, abs=3)
    assert coded.notes == ()
    before, after = page_of(data), page_of(coded.data)
    assert after.jpegtables == before.jpegtables
    assert bool(before.jpegtables) == (layout == "shared tables")
    assert hidden(coded.data) == []  # its strips or tiles are its own picture
    with Image.open(io.BytesIO(data)) as old, Image.open(io.BytesIO(coded.data)) as new:
        # Another reader, which goes on with the tables of the strip before.
        seen = np.asarray(new.convert("RGB")).astype(int) - np.asarray(old.convert("RGB"))
    assert not seen[~inside].any()
    assert seen[BOX].mean() == pytest.approx(LEVEL, abs=3)


def jpeg_strips(strips: list[bytes], image: Image.Image, tables: bytes | None = None) -> bytes:
    """A grey TIFF of these JPEGs, each as large as `image`."""
    return tiff_of(
        iter(strips),
        shape=(len(strips) * image.height, image.width),
        dtype=np.uint8,
        rowsperstrip=image.height,
        photometric="minisblack",
        compression="jpeg",
        jpegtables=tables,
    )


def test_pictures_hidden_in_strips_go(portrait: Image.Image, picture: bytes) -> None:
    grey = portrait.convert("L").crop((0, 0, 96, 64))
    parts = segments.split(saved(grey, "JPEG"))[0]
    texts = [segments.Segment(segments.COM, text) for text in (picture, b"a plain comment")]
    data = jpeg_strips([segments.join([*texts, *parts])] * 3, grey)
    assert len(hidden(data)) == 1  # once, though it is there three times
    coded = changed(data).data
    assert hidden(coded) == []
    assert coded.count(b"a plain comment") == 3
    found = difference(data, coded)
    assert found[BOX].mean() == pytest.approx(LEVEL, abs=2)
    assert not found[64:].any()


def test_shared_huffman_tables_that_lack_a_code(portrait: Image.Image) -> None:
    """Those of a picture of one colour: then every strip gets tables of its own."""
    flat = Image.new("L", (64, 64), 90)
    parts = segments.split(saved(flat, "JPEG", optimize=True))[0]
    shared = [part for part in parts if part.marker in (0xDB, 0xC4)]
    rest = segments.join([p for p in parts if p not in shared and not p.is_metadata])
    data = jpeg_strips([rest, rest], flat, segments.join(shared))
    change = np.zeros((128, 64), np.float32)
    change[70:120, 8:50] = np.asarray(portrait.convert("L"))[:50, :42] / 4
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    found, inside = difference(data, coded)[..., 0], blocks_of(change)
    assert not found[~inside].any()
    assert np.abs(found - change)[inside].mean() < 5
    np.testing.assert_array_equal(
        np.asarray(opened(coded)), codecs.decode(coded, NO_LIMIT).pixels[..., 0]
    )


def test_progressive_jpegs_in_a_tiff_are_unsupported(portrait: Image.Image) -> None:
    grey = portrait.convert("L")
    data = jpeg_strips([saved(grey, "JPEG", progressive=True)], grey)
    with pytest.raises(codecs.UnsupportedFormat, match="not baseline"):
        changed(data)


@pytest.mark.parametrize("kind", ["raw", "tiff_lzw", "packbits", "grey of 4 bits"])
def test_tiff_with_few_colours_takes_its_own(kind: str, portrait: Image.Image) -> None:
    if kind == "grey of 4 bits":
        data = grey_of_four_bits(portrait)
    else:
        data = saved(portrait.quantize(200), "TIFF", compression=kind)
    coded = changed(data)
    before, after = page_of(data), page_of(coded.data)
    assert coded.notes == ()
    assert after.bitspersample == before.bitspersample
    assert after.photometric == before.photometric
    np.testing.assert_array_equal(after.colormap, before.colormap)
    same = np.ones(before.shape, bool)
    same[BOX] = False
    np.testing.assert_array_equal(before.asarray()[same], after.asarray()[same])
    assert difference(data, coded.data)[BOX].mean() == pytest.approx(LEVEL, abs=5)
    np.testing.assert_array_equal(  # another reader
        np.asarray(opened(coded.data).convert("RGB")), codecs.decode(coded.data, NO_LIMIT).pixels
    )


def grey_of_four_bits(image: Image.Image) -> bytes:
    numbers = np.pad(np.asarray(image.convert("L")) >> 4, [(0, 0), (0, image.width % 2)])
    return tiff_of(
        iter([(numbers[:, ::2] << 4 | numbers[:, 1::2]).tobytes()]),
        shape=image.size[::-1],
        dtype=np.uint8,
        bitspersample=4,
        photometric="minisblack",
        rowsperstrip=image.height,
    )


@pytest.mark.parametrize("mode", ["1 bit", "fax", "LAB", "float"])
def test_tiffs_that_cannot_be_written_are_named(mode: str, portrait: Image.Image) -> None:
    pixels = np.asarray(portrait)
    if mode in ("1 bit", "fax"):
        data = saved(portrait.convert("1"), "TIFF", compression="group4" if mode == "fax" else None)
        assert codecs.decode(data, NO_LIMIT).pixels.shape == pixels.shape  # without a face: copied
        with pytest.raises(codecs.UnsupportedFormat, match=r"black and white|CCITTFAX4"):
            changed(data)
        return
    if mode == "LAB":
        data, reason = tiff_of(pixels, photometric="cielab"), "colour space CIELAB"
    else:
        data, reason = tiff_of(pixels / np.float32(255), photometric="rgb"), "TIFF of 32 bits"
    with pytest.raises(codecs.UnsupportedFormat, match=reason):
        codecs.decode(data, NO_LIMIT)


def test_cmyk_tiff_is_near(portrait: Image.Image) -> None:
    image = portrait.convert("CMYK")
    data = saved(image, "TIFF")
    seen = codecs.decode(data, NO_LIMIT).pixels
    assert np.abs(seen - np.asarray(image.convert("RGB")).astype(int)).mean() < 2
    assert_near(data, changed(data).data, outside=0.01, inside=2)


def test_pages_that_form_a_loop_are_damage(portrait: Image.Image) -> None:
    data = bytearray(tiff_of(np.asarray(portrait), photometric="rgb"))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    with pytest.raises(codecs.CodecError, match="damaged"):
        codecs.decode(bytes(data), NO_LIMIT)


def test_strip_beyond_the_file_is_damage(portrait: Image.Image) -> None:
    data = tiff_of(np.asarray(portrait), photometric="rgb")
    page = tifffile.TiffFile(io.BytesIO(data)).pages.first
    at = page.tags["StripOffsets"].valueoffset
    for offset in (len(data) - 9, 1 << 31):
        broken = data[:at] + struct.pack("<I", offset) + data[at + 4 :]
        change = np.full(portrait.size[::-1], 9, np.float32)
        with pytest.raises(codecs.CodecError, match="damaged or cut off"):
            codecs.encode(broken, codecs.PhotoChange.of_levels(change))


@pytest.mark.parametrize(("code", "value"), [(277, 1), (284, 3)])
def test_impossible_order_of_channels_is_damage(
    code: int, value: int, portrait: Image.Image
) -> None:
    data = bytearray(tiff_of(np.asarray(portrait), photometric="rgb"))
    struct.pack_into("<H", data, page_of(bytes(data)).tags[code].valueoffset, value)
    with pytest.raises(codecs.CodecError, match="damaged or cut off"):
        codecs.decode(bytes(data), NO_LIMIT)


def test_missing_strips_are_black(portrait: Image.Image) -> None:
    """And not what happens to lie in memory."""
    data = bytearray(tiff_of(np.asarray(portrait), photometric="rgb", rowsperstrip=16))
    for name in ("StripOffsets", "StripByteCounts"):
        tag = page_of(bytes(data)).tags[name]
        struct.pack_into("<I", data, tag.offset + 4, tag.count - 1)
    seen = codecs.decode(bytes(data), NO_LIMIT).pixels
    np.testing.assert_array_equal(seen[:80], np.asarray(portrait)[:80])
    assert not seen[80:].any()


@pytest.mark.parametrize("name", ["DNG", "CR2", "NEF", "ARW"])
def test_raw_is_told_by_its_content(name: str) -> None:
    sensor = np.zeros((32, 48), np.uint16)
    make = {"NEF": "NIKON CORPORATION", "ARW": "SONY"}.get(name, "Canon")
    tags: list[Any] = [(271, 2, 0, make, True)]
    if name == "DNG":
        tags.append((50706, 1, 4, (1, 4, 0, 0), True))
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        writer.write(np.zeros((8, 12, 3), np.uint8), photometric="rgb", subifds=1, extratags=tags)
        writer.write(sensor, photometric="cfa" if name != "CR2" else "minisblack")
    data = out.getvalue()
    if name == "CR2":  # whose header is longer; the first directory lies elsewhere
        directory = data[8 : 8 + 2 + 12 * int.from_bytes(data[8:10], "little") + 4]
        data = data[:4] + struct.pack("<I", len(data)) + b"CR\2\0" + data[12:] + directory
    with pytest.raises(codecs.UnsupportedFormat, match=rf"camera raw \({name}\)"):
        codecs.decode(data, NO_LIMIT)


# BMP


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_bmp_changes_in_the_box_alone(mode: str, portrait: Image.Image) -> None:
    image = portrait.convert(mode)
    if mode == "RGBA":
        image.putalpha(portrait.convert("L"))
    data = saved(image, "BMP", dpi=(300, 300))
    coded = changed(data + b"left over")
    assert coded.notes == ("data after the end of the image removed",)
    assert coded.data[:54] == data[:54]
    np.testing.assert_array_equal(
        np.asarray(opened(coded.data)), expected(np.asarray(opened(data)))
    )


def test_bmp_from_the_top_down(portrait: Image.Image) -> None:
    data = bytearray(saved(portrait, "BMP"))
    struct.pack_into("<i", data, 22, -portrait.height)
    found = difference(bytes(data), changed(bytes(data)).data)
    assert (found[BOX] == LEVEL).all()
    assert np.count_nonzero(found) == found[BOX].size


def test_palette_bmp_is_widened(portrait: Image.Image) -> None:
    image = portrait.quantize(64)
    coded = changed(saved(image, "BMP"))
    assert coded.notes == ("widened to 24 bits",)
    np.testing.assert_array_equal(
        np.asarray(opened(coded.data)), expected(np.asarray(image.convert("RGB")))
    )


# GIF


@pytest.mark.parametrize("interlace", [0, 1])
@pytest.mark.parametrize("kind", ["colour", "transparent", "grey"])
def test_gif_keeps_its_colours_and_changes_on_average(
    kind: str, interlace: int, portrait: Image.Image
) -> None:
    image = portrait.convert("L") if kind == "grey" else portrait.quantize(200)
    options = {"transparency": 7} if kind == "transparent" else {}
    data = saved(image, "GIF", comment=b"Gr\xfc\xdfe", interlace=interlace, **options)
    coded = changed(data)
    before, after = opened(data), opened(coded.data)
    assert coded.notes == ()
    assert after.info == before.info
    assert after.getpalette() == before.getpalette()
    old, new = np.asarray(before), np.asarray(after)
    same = np.ones(old.shape, bool)
    same[BOX] = False
    if kind == "transparent":
        assert (old == 7).any()
        same |= old == 7
        assert ((new == 7) == (old == 7)).all()
    np.testing.assert_array_equal(old[same], new[same])
    assert difference(data, coded.data)[~same].mean() == pytest.approx(LEVEL, abs=4)


# HEIC and AVIF


def heic(image: Image.Image, **options: Any) -> bytes:
    pillow_heif = pytest.importorskip("pillow_heif")
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, **{"quality": 85, **options})
    return out.getvalue()


def avif(image: Image.Image, **options: Any) -> bytes:
    options.pop("thumbnails", None)
    return saved(image, "AVIF", **{"quality": 85, **options})


@pytest.mark.parametrize("write", [heic, avif])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_heif_is_near(write: Callable[..., bytes], mode: str, portrait: Image.Image) -> None:
    image = portrait.convert(mode)
    if mode == "RGBA":
        image.putalpha(portrait.convert("L"))
    data = write(image, icc_profile=ICC, xmp=XMP)
    coded = changed(data)
    assert coded.notes == ()
    assert_near(data, coded.data, outside=3, inside=2)
    before, after = bmff.parse(data), bmff.parse(coded.data)
    assert len(before.items) == len(after.items)
    profiles = [
        [p.box for p in one.items[one.primary].properties if p.box[8:12] in (b"prof", b"rICC")]
        for one in (before, after)
    ]
    assert profiles[0] == profiles[1] != []


@pytest.mark.parametrize("write", [heic, avif])
@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_heif_metadata_is_carried_and_turned_as_it_was(
    write: Callable[..., bytes], orientation: int, portrait: Image.Image, picture: bytes
) -> None:
    tiff = tags_and_thumbnail(picture, orientation)
    data = write(portrait, exif=exif.HEADER + tiff, xmp=XMP, thumbnails=[64])
    coded = changed(data)
    assert_near(data, coded.data, outside=3, inside=2)
    shape = portrait.size[::-1] if orientation < 5 else portrait.size
    assert codecs.decode(data, NO_LIMIT).pixels.shape[:2] == shape
    before, after = bmff.parse(data), bmff.parse(coded.data)
    old, new = (
        {i.kind: i.data for i in one.items.values() if i.kind in (b"Exif", b"mime")}
        for one in (before, after)
    )
    assert old[b"mime"] == new[b"mime"] == XMP
    assert len(new[b"Exif"]) == len(old[b"Exif"])
    assert picture not in new[b"Exif"]
    turned = [
        [p for p in one.items[one.primary].properties if p.kind in (b"irot", b"imir")]
        for one in (before, after)
    ]
    assert turned[0] == turned[1]
    if write is heic:  # Pillow leaves a thumbnail out when it writes AVIF
        assert set(coded.notes) == {"thumbnail rebuilt", "EXIF thumbnail rebuilt"}
        assert len(after.items) == 4


def thumbnails(data: bytes) -> list[np.ndarray]:
    """Of a HEIF file, as seen."""
    pillow_heif = pytest.importorskip("pillow_heif")
    file = bmff.parse(data)
    numbers = [r.source for r in file.references if r.kind == b"thmb"]
    found = []
    for number in numbers:
        alone = replace(file, primary=number, items={number: file.items[number]}, references=())
        out = io.BytesIO(bmff.build(replace(alone, others=())))
        found.append(np.asarray(pillow_heif.open_heif(out).to_pillow().convert("RGB")))
    return found


@pytest.mark.parametrize("kind", ["8 bits", "10 bits", "grey", "grid", "turned"])
def test_thumbnail_of_a_heic_is_made_anew(kind: str, portrait: Image.Image) -> None:
    image = portrait.convert("L") if kind == "grey" else portrait
    options: dict[str, Any] = {"thumbnails": [64], "quality": 90}
    if kind == "turned":
        options["exif"] = piexif.dump({"0th": {274: 6}})
    if kind == "grid":
        options["tile_size"] = 64
    data = heic(image, **options)
    if kind == "10 bits":
        pillow_heif = pytest.importorskip("pillow_heif")
        out, deep = io.BytesIO(), np.asarray(image).astype(np.uint16) * 257
        file = pillow_heif.from_bytes("RGB;16", image.size, deep.tobytes())
        file.save(out, **options, save_nclx_profile=False)
        data = out.getvalue()
    (old,) = thumbnails(data)
    shape = codecs.decode(data, NO_LIMIT).pixels.shape[:2]
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(np.full(shape, 30, np.float32)))
    assert "thumbnail rebuilt" in coded.notes
    (new,) = thumbnails(coded.data)
    assert new.shape == old.shape
    shown = Image.fromarray(codecs.decode(coded.data, NO_LIMIT).pixels)
    assert shown.size == shape[::-1]
    small = np.asarray(shown.resize(new.shape[1::-1], Image.Resampling.LANCZOS), float)
    assert np.abs(new - small).mean() < 4
    assert (new.astype(float) - old).mean() == pytest.approx(30, abs=3)
    removed = codecs.encode(
        data, codecs.PhotoChange.of_levels(box_change(data)), rebuild_thumbnails=False
    )
    assert "thumbnail removed" in removed.notes
    assert thumbnails(removed.data) == []


@pytest.mark.parametrize("kind", ["HEIC", "AVIF"])
def test_ten_bits_stay_ten(kind: str, portrait: Image.Image) -> None:
    deep = np.asarray(portrait).astype(np.uint16) * 4 + 1
    if kind == "AVIF":
        data = bytes(imagecodecs.avif_encode(deep, 90, bitspersample=10, pixelformat="444"))
    else:
        pillow_heif = pytest.importorskip("pillow_heif")
        out = io.BytesIO()
        size = (deep.shape[1], deep.shape[0])
        pillow_heif.encode("RGB;16", size, (deep * 64).tobytes(), out, quality=90, bit_depth=10)
        data = out.getvalue()
    coded = changed(data).data
    assert_near(data, coded, outside=3, inside=2)
    configurations = []
    for one in (bmff.parse(data), bmff.parse(coded)):
        boxes = [p.box for p in one.items[one.primary].properties]
        configurations.append(next(b for b in boxes if b[4:8] in (b"hvcC", b"av1C")))
    depths = [box[8 + 17] & 7 if kind == "HEIC" else box[8 + 2] for box in configurations]
    assert depths[0] == depths[1]


def test_heic_grid_stays_a_grid(portrait: Image.Image) -> None:
    data = heic(portrait.resize((300, 200)), tile_size=128)
    coded = changed(data).data
    assert_near(data, coded, outside=3, inside=2)
    kinds = [sorted(item.kind for item in bmff.parse(one).items.values()) for one in (data, coded)]
    assert kinds[0] == kinds[1]
    assert b"grid" in kinds[0]


@pytest.mark.parametrize("where", ["picture", "tiles"])
def test_colour_primaries_of_a_heic_stay(where: str, portrait: Image.Image) -> None:
    names = ("color_primaries", "transfer_characteristics", "matrix_coefficients")
    colours = dict(zip(names, (5, 1, 5), strict=True)) | {"full_range_flag": 0}
    options = {"tile_size": 64} if where == "tiles" else {}
    data = heic(Image.fromarray(np.asarray(portrait)), **colours, **options)  # without a profile
    if where == "tiles":  # as some phones leave it off the whole
        file = bmff.parse(data)
        whole = file.items[file.primary]
        bare = tuple(p for p in whole.properties if p.kind != b"colr")
        items = {**file.items, file.primary: replace(whole, properties=bare)}
        nclx = next(p for p in whole.properties if p.kind == b"colr")
        tile = min(file.derived_from(file.primary) - {file.primary})
        items[tile] = replace(items[tile], properties=(*items[tile].properties, nclx))
        data = bmff.build(replace(file, items=items))
    coded = changed(data).data
    assert_near(data, coded, outside=3, inside=2)
    after = bmff.parse(coded)
    boxes = {p.box[8:] for p in after.items[after.primary].properties if p.kind == b"colr"}
    assert boxes == {b"nclx" + struct.pack(">3HB", 5, 1, 5, 0)}


# What is left out


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF"])
def test_animation_is_unsupported(kind: str, portrait: Image.Image) -> None:
    data = saved(portrait, kind, save_all=True, append_images=[portrait.rotate(90)])
    with pytest.raises(codecs.UnsupportedFormat, match="animated"):
        codecs.decode(data, NO_LIMIT)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.8, 0.97])
def test_cut_off_photo_is_a_codec_error(kind: str, part: float, portrait: Image.Image) -> None:
    data = saved(portrait.quantize(64) if kind == "GIF" else portrait, kind)
    cut = data[: int(len(data) * part)]
    with pytest.raises(codecs.CodecError):
        codecs.decode(cut, NO_LIMIT)


@pytest.mark.parametrize("kind", ["WEBP", "TIFF", "BMP", "GIF", "AVIF"])
def test_pixel_limit_is_checked(kind: str, portrait: Image.Image) -> None:
    data = saved(portrait.quantize(64) if kind == "GIF" else portrait, kind)
    with pytest.raises(codecs.CodecError, match=r"limits\.max_megapixels"):
        codecs.decode(data, portrait.width * portrait.height - 1)


def test_gif_pixels_do_not_become_transparent_or_opaque(portrait: Image.Image) -> None:
    image = portrait.quantize(32)
    indices = np.asarray(image).copy()
    indices[20:30, 20:60] = 7
    flat = Image.fromarray(indices)
    flat.putpalette(image.getpalette() or [])
    data = saved(flat, "GIF", transparency=7)
    change = np.zeros(indices.shape, np.float32)
    change[10:60, 10:90] = -12
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    before, after = (np.asarray(opened(one).convert("RGBA"))[..., 3] for one in (data, coded))
    assert (before == 0).sum() >= 400
    np.testing.assert_array_equal(before, after)
    assert (codecs.decode(data, NO_LIMIT).pixels != codecs.decode(coded, NO_LIMIT).pixels).any()
