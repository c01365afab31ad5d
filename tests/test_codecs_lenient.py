"""Files that decoders show whole although a strict reader would refuse them, and files really cut.

What is shown whole is cloaked, or copied as it is, with a note; where pixels are missing it fails.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpegio
import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from photoveil.transforms import codecs
from photoveil.transforms.codecs import carve, segments
from photoveil.transforms.codecs.segments import APP1, COM, DNL, SOS, STRAY, Segment
from photoveil.transforms.leaks.embedded_images import hidden

NO_LIMIT = 10**9
BOX = (slice(16, 48), slice(16, 64))


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        soft = image.convert("RGB").crop((150, 20, 311, 165))  # 161 x 145: odd both ways
        return soft.point(lambda level: level // 2 + 40)


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def cloaked(data: bytes) -> codecs.EncodedPhoto:
    change = np.zeros(codecs.decode(data, NO_LIMIT).pixels.shape[:2], np.float32)
    change[BOX] = 12
    return codecs.encode(data, codecs.PhotoChange.of_levels(change))


def check_as_whole(data: bytes, clean: bytes, note: str | None) -> codecs.EncodedPhoto:
    """`data` shows what `clean` shows, is cloaked like it, and copied byte for byte."""
    before = codecs.decode(clean, NO_LIMIT).pixels
    np.testing.assert_array_equal(codecs.decode(data, NO_LIMIT).pixels, before)
    coded = cloaked(data)
    after, expected = (
        codecs.decode(one, NO_LIMIT).pixels for one in (coded.data, cloaked(clean).data)
    )
    np.testing.assert_array_equal(after, expected)
    assert np.abs(after[BOX].astype(int) - before[BOX]).mean() > 5
    assert codecs.without_video(data) == (data, ())
    assert codecs.without_names(data) == (data, 0)
    assert codecs.oddities(coded.data) == () or "stray" in str(coded.notes)
    if note is None:
        assert codecs.oddities(data) == ()
    else:
        assert note in codecs.oddities(data)
        assert note in coded.notes
    return coded


def check_as_cut(data: bytes) -> None:
    for work in (lambda: codecs.decode(data, NO_LIMIT), lambda: cloaked(data)):
        with pytest.raises(codecs.CodecError, match=r"^damaged or cut off$"):
            work()


# JPEG: what stands between the segments

STRAY_NOTE = "original has stray bytes between its segments"
STRAYS = {
    "two zeros": b"\0\0",
    "text": b"made by a scanner",
    "a stuffed zero": b"\xff\0\1",
    "a restart marker": b"\xff\xd3",
    "a temporary marker": b"\xff\x01",
    "a segment of no length": b"\xff\xe5\0\0",
    "fill bytes": b"\xff\xff\xff",
}


@pytest.mark.parametrize("which", STRAYS)
def test_stray_bytes_before_any_segment(which: str, portrait: Image.Image) -> None:
    clean = saved(portrait, comment=b"hello")
    parts, _ = segments.split(clean)
    stray = Segment(STRAY, STRAYS[which])
    for at in range(1, len(parts)):  # directly behind the start marker few programs read on
        data = segments.join([*parts[:at], stray, *parts[at:]])
        assert segments.join(segments.split(data)[0]) == data
        coded = check_as_whole(data, clean, None if which == "fill bytes" else STRAY_NOTE)
        assert stray.payload in coded.data
        assert coded.data.startswith(segments.MAGIC)


@pytest.mark.parametrize(("told", "name"), [(-1, "short"), (1, "long"), (-2, "shorter")])
def test_an_app_segment_of_a_wrong_length(told: int, name: str, portrait: Image.Image) -> None:
    clean = saved(portrait)
    parts, _ = segments.split(clean)
    wrong = bytearray(Segment(APP1, b"some maker's data: " + name.encode()).to_bytes())
    struct.pack_into(">H", wrong, 2, len(wrong) - 2 + told)
    # What a length that is too long swallows is the marker of the next segment.
    extra = Segment(STRAY, bytes(wrong) + Segment(COM, b"hello").to_bytes())
    check_as_whole(segments.join([parts[0], extra, *parts[1:]]), clean, STRAY_NOTE)


def test_no_picture_hides_in_stray_bytes_of_a_cloaked_file(portrait: Image.Image) -> None:
    clean = saved(portrait)
    parts, _ = segments.split(clean)
    levels = np.asarray(portrait.resize((24, 24)).convert("L")).clip(0, 250)
    picture = saved(Image.fromarray(levels), "BMP").replace(b"\xff", b"\xfe")
    assert any(carve.pictures(picture))
    for stray in (picture, picture[:60], b"secret " * 20):
        data = segments.join([parts[0], Segment(STRAY, stray), *parts[1:]])
        coded = check_as_whole(data, clean, STRAY_NOTE)
        assert "bytes between the segments removed" in coded.notes
        assert stray not in coded.data
        assert not [one for one in hidden(coded.data) if "JPEG" not in one.where]


# JPEG: no end marker

NO_END = "original has no end marker"


def arithmetic(data: bytes, folder: Path, progressive: bool = False) -> bytes:
    path = folder / "arithmetic.jpg"
    path.write_bytes(data)
    photo = jpegio.read(path)
    photo.arith_code, photo.progressive_mode = True, progressive
    photo.write(path)
    return path.read_bytes()


WAYS: dict[str, dict[str, Any]] = {
    "4:2:0": {},
    "4:4:4": {"subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "progressive with restarts": {"progressive": True, "restart_marker_rows": 2},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_a_jpeg_without_its_end_marker_is_whole_until_a_byte_is_missing(
    way: str, seed: int, portrait: Image.Image
) -> None:
    image = portrait.crop((seed, 2 * seed, 150 + 3 * seed, 140))
    clean = saved(image, quality=80 + seed, **WAYS[way])
    check_as_whole(clean[:-2], clean, NO_END)
    check_as_whole(clean[:-1], clean, NO_END)
    for missing in (3, 4, 5, 6, 9, 30, len(clean) // 3):
        check_as_cut(clean[:-missing])


def test_a_jpeg_cut_between_two_restart_intervals(portrait: Image.Image) -> None:
    clean = saved(portrait, restart_marker_blocks=4)
    last = max(clean.rfind(bytes((0xFF, number))) for number in range(0xD0, 0xD8))
    check_as_cut(clean[:last])
    check_as_cut(clean[: last + 2])


def test_a_progressive_jpeg_without_its_last_scans(portrait: Image.Image) -> None:
    parts, _ = segments.split(saved(portrait, progressive=True))
    scans = [at for at, part in enumerate(parts) if part.marker == SOS]
    for at in scans[:-1]:
        check_as_cut(segments.join(parts[: at + 1])[:-2])


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
@pytest.mark.parametrize("way", ["4:2:0", "progressive"])
def test_a_jpeg_with_other_bytes_in_place_of_its_end_marker(
    way: str, end: bytes, portrait: Image.Image
) -> None:
    clean = saved(portrait, **WAYS[way])
    other = saved(portrait.transpose(Image.Transpose.FLIP_LEFT_RIGHT))
    movie = b"\0\0\0\x18ftypmp42" + bytes(range(256)) * 9
    for trailer in (b"\0" * 9, b"some words", other, other[:900], movie, b"\xff\x02reserved"):
        data = clean[:-2] + trailer + end
        before = codecs.decode(clean, NO_LIMIT).pixels
        np.testing.assert_array_equal(codecs.decode(data, NO_LIMIT).pixels, before)
        coded = cloaked(data)
        np.testing.assert_array_equal(
            codecs.decode(coded.data, NO_LIMIT).pixels,
            codecs.decode(cloaked(clean).data, NO_LIMIT).pixels,
        )
        if trailer.strip(b"\0"):
            assert trailer not in coded.data
        assert hidden(coded.data) == []


def test_a_jpeg_that_was_cut_and_goes_on_with_another_is_cut(portrait: Image.Image) -> None:
    clean = saved(portrait)
    check_as_cut(clean[: len(clean) // 2] + clean)


# JPEG: the height behind the picture


@pytest.mark.parametrize("end", [b"", b"\xff\xd9"])
def test_a_jpeg_that_tells_its_height_behind_the_first_scan(
    end: bytes, portrait: Image.Image
) -> None:
    clean = saved(portrait)
    parts, _ = segments.split(clean)
    data = b""
    for part in parts:
        if part.marker in segments.FRAMES:
            part = Segment(part.marker, part.payload[:1] + b"\0\0" + part.payload[3:])
        data += part.to_bytes()
    height = portrait.height.to_bytes(2, "big")
    data = segments.SOI + data + Segment(DNL, height).to_bytes() + end
    check_as_whole(data, clean, "original tells its height behind the picture")


# JPEG: larger than the blocks in which Pillow reads


@pytest.mark.parametrize("progressive", [False, True])
def test_arithmetic_coding_of_more_than_a_block(
    progressive: bool, portrait: Image.Image, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).normal(128, 60, (400, 500, 3)).clip(0, 255).astype(np.uint8)
    noise[:145, :161] = np.asarray(portrait)
    photo = Image.fromarray(noise)
    clean = saved(photo, quality=95)
    data = arithmetic(clean, tmp_path, progressive)
    assert len(data) > 2 * ImageFile.MAXBLOCK
    before = codecs.decode(clean, NO_LIMIT).pixels
    np.testing.assert_array_equal(codecs.decode(data, NO_LIMIT).pixels, before)
    frames = {0xCA} if progressive else {0xC9}
    coded = cloaked(data)
    assert {s.marker for s in segments.split(coded.data)[0]} & segments.FRAMES == frames
    after = codecs.decode(coded.data, NO_LIMIT).pixels
    np.testing.assert_array_equal(after, codecs.decode(cloaked(clean).data, NO_LIMIT).pixels)
    assert codecs.without_video(data) == (data, ())
    # As a hidden picture, too.
    (inside,) = hidden(saved(portrait) + data)
    assert inside.pixels is not None
    np.testing.assert_array_equal(inside.pixels, before)


# Other formats


def chunk(name: bytes, body: bytes, flaw: int = 0) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + body) ^ flaw)
    return struct.pack(">I", len(body)) + name + body + checksum


NO_IEND = "original has no end chunk"
PNGS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no IEND": (lambda png: png[:-12], NO_IEND),
    "half an IEND": (lambda png: png[:-6], NO_IEND),
    "no checksum of the pixels": (lambda png: png[:-16], NO_IEND),
    "zeros before IEND": (lambda png: png[:-12] + bytes(5) + png[-12:], NO_IEND),
    "text before IEND": (lambda png: png[:-12] + b"made by a scanner" + png[-12:], NO_IEND),
    "text in place of IEND": (lambda png: png[:-12] + b"made by a scanner", NO_IEND),
    "a wrong checksum of text": (
        lambda png: png[:33] + chunk(b"tEXt", b"Comment\0hello", 1) + png[33:],
        "original has a damaged chunk (tEXt)",
    ),
    "a wrong checksum of transparency": (
        lambda png: png[:33] + chunk(b"tRNS", bytes(6), 1) + png[33:],
        "original has a damaged chunk (tRNS)",
    ),
}


@pytest.mark.parametrize("which", PNGS)
def test_png_that_readers_show_whole(which: str, portrait: Image.Image) -> None:
    clean = saved(portrait, "PNG")
    damage, note = PNGS[which]
    coded = check_as_whole(damage(clean), clean, note)
    assert coded.data.endswith(clean[-12:])
    assert b"scanner" not in coded.data


def test_png_without_its_last_rows(portrait: Image.Image) -> None:
    clean = saved(portrait, "PNG")
    for missing in (40, 200, len(clean) // 2):
        check_as_cut(clean[:-missing])


def test_a_wrong_checksum_survives_the_removal_of_names(portrait: Image.Image) -> None:
    packet = (
        b'<x:xmpmeta><rdf:RDF><MPRI:Regions><rdf:Bag><rdf:li MPReg:PersonDisplayName="A"/>'
        b"</rdf:Bag></MPRI:Regions></rdf:RDF></x:xmpmeta>"
    )
    clean = saved(portrait, "PNG")
    text = chunk(b"tEXt", b"Comment\0hello", 1)
    named = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
    data, count = codecs.without_names(clean[:33] + text + named + clean[33:])
    assert count
    assert b"Comment\0hello" in data and b'"A"' not in data
    assert codecs.oddities(data) == ("original has a damaged chunk (tEXt)",)


NO_TRAILER = "original has no trailer"


@pytest.mark.parametrize("damage", [b"", b"\0\0", b"made by a scanner", b"!\xfe\x09cut"])
def test_gif_that_readers_show_whole(damage: bytes, portrait: Image.Image) -> None:
    clean = saved(portrait.quantize(32), "GIF")
    coded = check_as_whole(clean[:-1] + damage, clean, NO_TRAILER)
    assert coded.data == cloaked(clean).data
    check_as_whole(clean[:-2], clean, NO_TRAILER)  # nor the end of the pixels' sub-blocks
    check_as_cut(clean[: len(clean) // 2])


def test_no_picture_hides_between_the_blocks_of_a_gif(portrait: Image.Image) -> None:
    clean = saved(portrait.quantize(32), "GIF")
    levels = np.asarray(portrait.resize((24, 24)).convert("RGB")).clip(64, 250)
    picture = saved(Image.fromarray(levels), "BMP")[26:]
    stray = b"BM" + picture.replace(b"!", b"\x22").replace(b",", b"\x2d").replace(b";", b"<")
    at = 13 + 3 * 32
    data = clean[:at] + stray + clean[at:]
    for coded in (cloaked(data), codecs.alone(data)):
        assert coded.notes == ("bytes between the blocks removed",)
        assert stray not in coded.data
    assert codecs.alone(data).data == clean
    assert cloaked(data).data == cloaked(clean).data


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("wrong", [-10, -8, -1, 1, 2, 8, 1000])
def test_webp_that_tells_a_wrong_size(wrong: int, lossless: bool, portrait: Image.Image) -> None:
    exif = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    clean = saved(portrait, "WEBP", lossless=lossless, exif=exif)
    size = int.from_bytes(clean[4:8], "little") + wrong
    data = clean[:4] + size.to_bytes(4, "little") + clean[8:]
    coded = check_as_whole(data, clean, "original tells a wrong size")
    assert exif in coded.data
    check_as_cut(data[: len(data) // 2])


def test_bmp_without_its_last_padding(portrait: Image.Image) -> None:
    clean = saved(portrait, "BMP")  # 161 pixels: a byte of padding
    check_as_whole(clean[:-1], clean, "original lacks its last bytes of padding")
    check_as_cut(clean[:-2])


def test_tiff_that_counts_more_bytes_than_it_has(portrait: Image.Image) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, np.asarray(portrait), photometric="rgb", compression="lzw")
    clean = out.getvalue()
    with tifffile.TiffFile(io.BytesIO(clean)) as file:
        tag = file.pages.first.tags["StripByteCounts"]
        counts = (tag.value,) if isinstance(tag.value, int) else tag.value
        at = tag.valueoffset
    data = bytearray(clean)
    struct.pack_into("<I" if tag.dtype == 4 else "<H", data, at, counts[0] + 3)
    check_as_whole(bytes(data), clean, None)
    check_as_cut(clean[:-20])


# Real files


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["people_data", "exif_data"])
def test_real_jpegs_without_end_marker_and_with_stray_bytes(
    folder: str, request: pytest.FixtureRequest
) -> None:
    checked, cut = 0, 0
    for path in sorted(request.getfixturevalue(folder).rglob("*")):
        if not path.is_file() or path.stat().st_size > 120_000:
            continue
        data = path.read_bytes()
        if codecs.sniff(data) != "JPEG":
            continue
        pixels = codecs.decode(data, NO_LIMIT).pixels
        parts, end = segments.split(data)
        stray = [part for one in parts for part in (one, Segment(STRAY, b"\0\0"))][:-1]
        body = segments.join(stray)
        for damaged in (data[: end - 2], body, body[:-2]):
            seen = codecs.decode(damaged, NO_LIMIT).pixels
            np.testing.assert_array_equal(seen, pixels, path.name)
        for missing in (3, 9, 20, 2000):
            try:
                seen = codecs.decode(data[: end - missing], NO_LIMIT).pixels
            except codecs.CodecError:
                cut += 1
            else:  # some cameras fill the scan up
                np.testing.assert_array_equal(seen, pixels, path.name)
        checked += 1
    print(f"{checked} files, {cut} of {4 * checked} cuts found")
    assert checked > 20
    assert cut > 3.5 * checked
