"""PNG: lossless but for the face, every other chunk kept."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import piexif
import pytest
from PIL import Image, PngImagePlugin

from photoveil.transforms import codecs
from photoveil.transforms.codecs import exif, png

NO_LIMIT = 10**9
BOX = (slice(10, 60), slice(21, 70))
LEVEL = 40
PACKET = b'<rdf:li xmpGImg:image="/9j/4AAQSkZJRg" a="b"/>'
EMPTIED = b'<rdf:li xmpGImg:image="" a="b"/>'


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        soft = image.convert("RGB").crop((150, 20, 281, 113))
        return soft.point(lambda level: level // 2 + 40)  # room for the change, both ways


def saved(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def with_chunks(data: bytes, *extra: tuple[bytes, bytes]) -> bytes:
    """The chunks, after the header."""
    at = 8 + 25
    return data[:at] + b"".join(chunk(*one) for one in extra) + data[at:]


def chunks(data: bytes) -> dict[bytes, bytes]:
    found, position = {}, 8
    while position < len(data):
        (length,) = struct.unpack_from(">I", data, position)
        found[data[position + 4 : position + 8]] = data[position + 8 : position + 8 + length]
        position += 12 + length
    return found


def changed(data: bytes) -> codecs.EncodedPhoto:
    change = np.zeros(codecs.decode(data, NO_LIMIT).pixels.shape[:2], np.float32)
    change[BOX] = LEVEL
    return codecs.encode(data, codecs.PhotoChange.of_levels(change))


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_only_the_colours_in_the_box_change(mode: str, portrait: Image.Image) -> None:
    image = portrait.convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(portrait.convert("L").transpose(Image.Transpose.FLIP_TOP_BOTTOM))
    coded = changed(saved(image))
    result = opened(coded.data)
    assert (result.mode, coded.notes) == (mode, ())
    expected = np.asarray(image).copy()
    colours = 1 if mode in ("L", "LA") else 3
    expected.reshape(*expected.shape[:2], -1)[*BOX, :colours] += LEVEL
    np.testing.assert_array_equal(np.asarray(result), expected)


def test_16_bit_grey_keeps_its_depth(portrait: Image.Image) -> None:
    grey = np.asarray(portrait.convert("L")).astype(np.uint16) * 257 + 3
    result = opened(changed(saved(Image.fromarray(grey))).data)
    assert result.mode == "I;16"
    grey[BOX] += LEVEL * 257
    np.testing.assert_array_equal(np.asarray(result), grey)


@pytest.mark.parametrize("transparent", [False, True])
def test_palette_is_widened(transparent: bool, portrait: Image.Image) -> None:
    image = portrait.quantize(32)
    data = saved(image, transparency=3) if transparent else saved(image)
    coded = changed(data)
    result = opened(coded.data)
    assert coded.notes == ("palette widened to full colour",)
    assert result.mode == ("RGBA" if transparent else "RGB")
    expected = np.asarray(opened(data).convert(result.mode)).copy()
    expected[*BOX, :3] += LEVEL
    np.testing.assert_array_equal(np.asarray(result), expected)


def low_depth(levels: np.ndarray, depth: int) -> bytes:
    """A grey PNG of few bits a pixel, which Pillow cannot write; levels: uint8, below 2**depth."""
    height, width = levels.shape
    bits = np.unpackbits(levels[..., None], axis=2)[..., 8 - depth :].reshape(height, -1)
    rows = np.pad(np.packbits(bits, axis=1), [(0, 0), (1, 0)])
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return png.MAGIC + b"".join(chunk(*part) for part in parts)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits_of_grey_become_eight(depth: int, portrait: Image.Image) -> None:
    most = (1 << depth) - 1
    levels = np.asarray(portrait.convert("L")) * most // 255
    data = with_chunks(low_depth(levels.astype(np.uint8), depth), (b"sBIT", bytes([depth])))
    coded = changed(data)
    result = opened(coded.data)
    assert (result.mode, coded.notes) == (
        "L",
        ("widened to 8 bits", "significant bits (sBIT) removed"),
    )
    expected = (levels * (255 // most)).astype(int)
    expected[BOX] = np.minimum(expected[BOX] + LEVEL, 255)
    np.testing.assert_array_equal(np.asarray(result), expected)
    assert b"sBIT" not in chunks(coded.data)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_transparent_level_of_few_bits_stays_transparent(depth: int, portrait: Image.Image) -> None:
    levels = (np.asarray(portrait.convert("L")) * ((1 << depth) - 1) // 255).astype(np.uint8)
    data = with_chunks(low_depth(levels, depth), (b"tRNS", b"\0\1"))
    result = opened(changed(data).data)
    assert result.mode == "LA"
    np.testing.assert_array_equal(np.asarray(result)[..., 1], np.where(levels == 1, 0, 255))


def test_other_chunks_stay_byte_for_byte(portrait: Image.Image) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "A portrait")
    text.add_itxt("Comment", "schön", "de", "Kommentar")
    data = with_chunks(
        saved(portrait, dpi=(300, 300), icc_profile=b"\xff\xd8\xff a profile", pnginfo=text),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"prVt", b"a maker's own"),
    )
    coded = changed(data)
    before, after = chunks(data), chunks(coded.data)
    assert coded.notes == ()
    assert list(before) == list(after)
    assert before | {b"IDAT": b""} == after | {b"IDAT": b""}


@pytest.mark.parametrize("sixteen", [False, True])
def test_exif_thumbnail_is_rebuilt(sixteen: bool, portrait: Image.Image) -> None:
    thumbnail = saved(Image.effect_noise((62, 44), 90), "JPEG")
    block = piexif.dump({"0th": {271: b"Maker"}, "1st": {259: 6}, "thumbnail": thumbnail})
    image = Image.fromarray(np.asarray(portrait.convert("L")).astype(np.uint16) * 257)
    data = with_chunks(saved(image if sixteen else portrait), (b"eXIf", block[6:]))
    coded = changed(data)
    assert coded.notes == ("EXIF thumbnail rebuilt",)
    tags = piexif.load(exif.HEADER + chunks(coded.data)[b"eXIf"])
    assert tags["0th"][271] == b"Maker"
    new = opened(tags["thumbnail"]).convert("L")
    shown = Image.fromarray(codecs.decode(coded.data, NO_LIMIT).pixels)
    small = shown.convert("L").resize(new.size)
    assert np.abs(np.asarray(new, float) - np.asarray(small, float)).mean() < 8


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt"])
def test_exif_in_a_text_chunk_keeps_its_tags_and_may_turn_the_photo(
    name: bytes, portrait: Image.Image
) -> None:
    thumbnail = saved(Image.effect_noise((62, 44), 90), "JPEG")
    block = piexif.dump({"0th": {274: 6}, "1st": {259: 6}, "thumbnail": thumbnail})
    text = b"\nexif\n%8d\n%b\n" % (len(block), block.hex().encode())
    packed = b"\0" + zlib.compress(text) if name == b"zTXt" else text
    data = with_chunks(saved(portrait), (name, b"Raw profile type exif\0" + packed))
    coded = changed(data)
    assert coded.notes == ("EXIF thumbnail rebuilt",)
    before, after = codecs.decode(data, NO_LIMIT), codecs.decode(coded.data, NO_LIMIT)
    assert (before.orientation, before.others) == (after.orientation, after.others) == (1, (6,))
    difference = after.pixels.astype(int) - before.pixels
    assert (difference[BOX] == LEVEL).all()
    assert np.count_nonzero(difference) == difference[BOX].size


def test_text_profile_without_a_picture_stays(portrait: Image.Image) -> None:
    body = b"Raw profile type iptc\0\niptc\n       4\n1c020000\n"
    coded = changed(with_chunks(saved(portrait), (b"tEXt", body)))
    assert (coded.notes, chunks(coded.data)[b"tEXt"]) == ((), body)


@pytest.mark.parametrize("compressed", [False, True])
def test_xmp_thumbnail_is_emptied(compressed: bool, portrait: Image.Image) -> None:
    head = b"XML:com.adobe.xmp\0" + bytes([compressed]) + b"\0\0\0"
    body = head + (zlib.compress(PACKET) if compressed else PACKET)
    coded = changed(with_chunks(saved(portrait), (b"iTXt", body)))
    new = chunks(coded.data)[b"iTXt"]
    assert coded.notes == ("XMP thumbnail removed",)
    assert new.startswith(head)
    packet = new[len(head) :]
    assert (zlib.decompress(packet) if compressed else packet) == EMPTIED


def test_picture_in_a_private_chunk_is_removed(portrait: Image.Image) -> None:
    hidden = b"jumb" + saved(portrait.resize((40, 30)), "JPEG")
    coded = changed(with_chunks(saved(portrait), (b"prVt", hidden)))
    assert coded.notes == ("picture in prVt removed",)
    assert b"prVt" not in chunks(coded.data)


def test_bomb_in_a_text_chunk_is_refused_and_long_text_is_not(portrait: Image.Image) -> None:
    head = b"XML:com.adobe.xmp\0\1\0\0\0"
    bomb = with_chunks(saved(portrait), (b"iTXt", head + zlib.compress(bytes(1 << 27))))
    with pytest.raises(codecs.CodecError, match="damaged") as refused:
        changed(bomb)
    assert "too large" in str(refused.value.detail)
    assert codecs.without_names(bomb) == (bomb, 0)
    long = head + zlib.compress(b"<x/>" * 1_000_000)
    assert chunks(changed(with_chunks(saved(portrait), (b"iTXt", long))).data)[b"iTXt"] == long


def test_data_after_the_end_is_removed(portrait: Image.Image) -> None:
    coded = changed(saved(portrait) + b"a zip, or an older picture IEND")
    assert coded.notes == ("data after the end of the image removed",)
    assert list(chunks(coded.data))[-1] == b"IEND"


def test_animation_is_unsupported(portrait: Image.Image) -> None:
    data = saved(portrait, save_all=True, append_images=[portrait.rotate(90)])
    with pytest.raises(codecs.UnsupportedFormat, match="animated"):
        codecs.decode(data, NO_LIMIT)
    with pytest.raises(codecs.UnsupportedFormat, match="animated"):
        codecs.encode(data, codecs.PhotoChange.of_levels(np.zeros(portrait.size[::-1], np.float32)))


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_16_bit_colour_keeps_its_depth(channels: int, portrait: Image.Image) -> None:
    deep = np.dstack([np.asarray(portrait), np.asarray(portrait.convert("L"))]).astype(np.uint16)
    pixels = deep[..., 4 - channels :] * 257 + 3
    data = with_chunks(bytes(imagecodecs.png_encode(pixels)), (b"gAMA", struct.pack(">I", 45455)))
    coded = changed(data)
    assert coded.notes == ()
    assert chunks(coded.data)[b"gAMA"] == chunks(data)[b"gAMA"]
    expected = pixels.copy()
    expected[*BOX, : channels - (channels in (2, 4))] += LEVEL * 257
    np.testing.assert_array_equal(imagecodecs.png_decode(coded.data), expected)


def test_16_bit_transparent_colour_stays_a_chunk(portrait: Image.Image) -> None:
    pixels = np.asarray(portrait).astype(np.uint16) * 257
    key = pixels[0, 0].astype(">u2").tobytes()
    data = with_chunks(bytes(imagecodecs.png_encode(pixels)), (b"tRNS", key))
    coded = changed(data).data
    assert chunks(coded)[b"tRNS"] == key
    assert chunks(coded)[b"IHDR"] == chunks(data)[b"IHDR"]


@pytest.mark.parametrize("part", [0.005, 0.1, 0.9])
def test_cut_off_png_is_a_codec_error(part: float, portrait: Image.Image) -> None:
    data = saved(portrait)
    cut = data[: int(len(data) * part)]
    with pytest.raises(codecs.CodecError):
        codecs.decode(cut, NO_LIMIT)
    with pytest.raises(codecs.CodecError):
        codecs.encode(cut, codecs.PhotoChange.of_levels(np.zeros(portrait.size[::-1], np.float32)))


def test_damaged_png_is_a_codec_error(portrait: Image.Image) -> None:
    data = bytearray(saved(portrait))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(codecs.CodecError, match="damaged"):
        codecs.decode(bytes(data), NO_LIMIT)


def test_demo_png_with_alpha_changes_in_the_box_alone(demo_photo: Callable[[str], Path]) -> None:
    data = demo_photo("32bit.png").read_bytes()
    before, after = np.asarray(opened(data)), np.asarray(opened(changed(data).data))
    touched = (before != after).any(axis=2)
    assert touched[BOX].any()
    touched[BOX] = False
    assert not touched.any()


def seen_alpha(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))[..., 3]


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("level", [-LEVEL, LEVEL])
def test_no_pixel_becomes_transparent_or_opaque(
    mode: str, level: int, portrait: Image.Image
) -> None:
    """A colour that stands for transparency, which the cloak could take on or leave."""
    pixels = np.asarray(portrait.convert(mode)).copy()
    rows, columns = BOX
    pixels[rows.start : rows.start + 5, columns] = 100  # transparent ones
    pixels[rows.start + 5 : rows.start + 10, columns] = 100 - level  # those that would become so
    key = (100).to_bytes(2, "big") * len(Image.fromarray(pixels).getbands())
    data = with_chunks(saved(Image.fromarray(pixels)), (b"tRNS", key))
    change = np.zeros(pixels.shape[:2], np.float32)
    change[BOX] = level
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert coded.notes == ()
    assert chunks(coded.data)[b"tRNS"] == key
    assert (seen_alpha(data) == 0).sum() >= 5 * (columns.stop - columns.start)
    np.testing.assert_array_equal(seen_alpha(coded.data), seen_alpha(data))
    after = np.asarray(opened(coded.data)).astype(int)[rows.start + 5 : rows.start + 10, columns]
    assert (np.abs(after - 100) <= 1).all()  # as near to it as may be


@pytest.mark.parametrize("colours", [1, 3])
def test_no_pixel_of_16_bits_becomes_transparent_or_opaque(
    colours: int, portrait: Image.Image
) -> None:
    grey = np.asarray(portrait.convert("L")).astype(np.uint16) * 257
    pixels = np.repeat(grey[..., None], colours, axis=2) if colours > 1 else grey
    step = LEVEL * 257
    pixels[BOX][:5], pixels[BOX][5:10] = 30000, 30000 - step
    key = (30000).to_bytes(2, "big") * colours
    data = with_chunks(bytes(imagecodecs.png_encode(pixels)), (b"tRNS", key))
    coded = changed(data).data
    plain = [png._chunks(one)[0] for one in (data, coded)]
    bare = [
        png.MAGIC + b"".join(chunk(c.name, c.body) for c in found if c.name != b"tRNS")
        for found in plain
    ]
    before, after = (imagecodecs.png_decode(one).reshape(*grey.shape, -1) for one in bare)
    transparent = [(one == 30000).all(axis=2) for one in (before, after)]
    assert transparent[0].sum() > 100
    np.testing.assert_array_equal(*transparent)
    assert np.abs(after[BOX][5:10].astype(int) - 30000).max() == 1


def test_what_a_palette_says_is_kept_where_it_stays_true(portrait: Image.Image) -> None:
    image = portrait.quantize(16)
    palette = bytes(image.getpalette() or b"")[:48]
    data = saved(image)
    data = data.replace(
        chunk(b"PLTE", palette),
        chunk(b"sBIT", b"\x08\x08\x08")
        + chunk(b"PLTE", palette)
        + chunk(b"tRNS", b"\x00\x80")
        + chunk(b"bKGD", b"\x03")
        + chunk(b"hIST", bytes(32)),
    )
    coded = changed(data)
    assert coded.notes == ("palette widened to full colour", "histogram of the palette removed")
    kept = chunks(coded.data)
    assert kept[b"sBIT"] == b"\x08\x08\x08\x08"  # it has alpha now
    assert kept[b"bKGD"] == b"".join(bytes((0, level)) for level in palette[9:12])
    assert not kept.keys() & {b"hIST", b"PLTE", b"tRNS"}
    np.testing.assert_array_equal(seen_alpha(coded.data), seen_alpha(data))
    opened(coded.data)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_background_of_few_bits_of_grey_is_widened(depth: int, portrait: Image.Image) -> None:
    most = (1 << depth) - 1
    levels = np.asarray(portrait.convert("L")) * most // 255
    data = with_chunks(low_depth(levels.astype(np.uint8), depth), (b"bKGD", bytes((0, most))))
    coded = changed(data)
    assert coded.notes == ("widened to 8 bits",)
    assert chunks(coded.data)[b"bKGD"] == b"\0\xff"
