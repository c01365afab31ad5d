"""A picture hidden behind another is carved whole, however its own structure ends."""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import piexif
import pytest
from PIL import Image, ImageFile

from photoveil.transforms.codecs import carve, packed, segments
from photoveil.transforms.codecs.segments import DQT, SOS, STRAY, Segment
from photoveil.transforms.leaks.embedded_images import hidden

BEHIND = b"some maker's data\0" * 20


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((150, 20, 310, 180))


@pytest.fixture(scope="module")
def outer() -> bytes:
    return saved(Image.new("RGB", (64, 64), "grey"), "JPEG")


def pixels(data: bytes) -> np.ndarray:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))


def check(outer: bytes, picture: bytes, exact: bool = True) -> None:
    """It is found whole; what is behind it stays where its length is known."""
    expected = pixels(picture)
    for behind in (b"", BEHIND):
        data = outer + picture + behind
        found = next(one for one in carve.pictures(data) if one.start == len(outer))
        np.testing.assert_array_equal(pixels(found.data), expected)
        assert found.end == len(outer + picture) if exact else found.end == len(data)
        assert found.is_sure or not exact
        shown = [one.pixels for one in hidden(data) if one.pixels is not None]
        assert any(one.shape == expected.shape and np.array_equal(one, expected) for one in shown)
        clean, count = carve.blanked(outer[:2] + b"\0" + picture + behind)
        assert count == 1
        assert clean.endswith(behind if exact else b"\0")


def check_goes_on(outer: bytes, doubtful: bytes, portrait: Image.Image) -> None:
    """What lies behind a picture of doubtful length is found too."""
    second = saved(portrait.rotate(180), "PNG")
    data = outer + doubtful + BEHIND + second
    assert second in [one.data for one in carve.pictures(data)]
    expected = pixels(second)
    shown = [one.pixels for one in hidden(data) if one.pixels is not None]
    assert any(np.array_equal(one, expected) for one in shown)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_a_gif_ends_with_its_trailer(portrait: Image.Image, outer: bytes) -> None:
    early = 0
    for side in (32, 64, 96, 128, 160):
        for optimize in (True, False):
            picture = saved(portrait.resize((side, side)), "GIF", optimize=optimize)
            early += picture.find(b"\0;") < len(picture) - 2
            check(outer, picture)
    with_palette = bytearray(saved(portrait, "GIF"))
    with_palette[13:15] = b"\0;"
    check(outer, bytes(with_palette))
    commented = saved(portrait, "GIF", comment=b"one \0; two")
    check(outer, commented)
    moving = saved(
        portrait, "GIF", save_all=True, append_images=[portrait.rotate(90)], duration=100
    )
    check(outer, moving)
    assert early or bytes(with_palette).find(b"\0;") == 13


def test_a_gif_cut_short_goes_on_to_the_end(portrait: Image.Image, outer: bytes) -> None:
    whole = bytearray(saved(portrait, "GIF"))
    whole[13:15] = b"\0;"
    for cut in (bytes(whole[: len(whole) * 3 // 4]), bytes(whole[:-1])):
        data = outer + cut
        found = next(one for one in carve.pictures(data) if one.start == len(outer))
        assert found.end == len(data)
        assert not found.is_sure
        np.testing.assert_array_equal(pixels(found.data), pixels(cut))
    check_goes_on(outer, bytes(whole[:-1]), portrait)


def test_a_png_ends_with_its_last_chunk(portrait: Image.Image, outer: bytes) -> None:
    plain = saved(portrait, "PNG")
    told = plain[:33] + chunk(b"tEXt", b"Comment\0where IEND stands, it ends") + plain[33:]
    check(outer, told)
    broken = told.replace(b"\0\0\0\0IEND", b"\xff\xff\0\0IEND")
    data = outer + broken
    found = next(one for one in carve.pictures(data) if one.start == len(outer))
    assert found.end == len(data)
    check_goes_on(outer, told[:-12], portrait)


def jpeg(portrait: Image.Image, **options: Any) -> bytes:
    thumbnail = saved(portrait.resize((80, 80)), "JPEG")
    exif = piexif.dump({"0th": {271: b"Maker"}, "1st": {}, "thumbnail": thumbnail})
    return saved(portrait, "JPEG", quality=90, exif=exif, **options)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_end_marker_is_no_shorter(
    progressive: bool, portrait: Image.Image, outer: bytes
) -> None:
    picture = jpeg(portrait, progressive=progressive)
    assert picture.find(segments.EOI) < len(picture) - 2
    check(outer, picture)
    check(outer, picture[:-2], exact=False)
    check_goes_on(outer, picture[:-2], portrait)


@pytest.mark.parametrize("before", [SOS, DQT])
def test_a_jpeg_with_stray_bytes_is_no_shorter(
    before: int, portrait: Image.Image, outer: bytes
) -> None:
    parts, _ = segments.split(jpeg(portrait))
    at = next(n for n, part in enumerate(parts) if part.marker == before)
    picture = segments.join([*parts[:at], Segment(STRAY, b"\0\0"), *parts[at:]])
    data = outer + picture + BEHIND
    found = next(one for one in carve.pictures(data) if one.start == len(outer))
    assert found.end == len(outer + picture)
    np.testing.assert_array_equal(pixels(found.data), pixels(picture))
    expected = pixels(picture)
    shown = [one.pixels for one in hidden(data) if one.pixels is not None]
    assert any(np.array_equal(one, expected) for one in shown)
    check_goes_on(outer, picture, portrait)


def test_a_bmp_is_as_long_as_its_rows(portrait: Image.Image, outer: bytes) -> None:
    picture = saved(portrait, "BMP")
    check(outer, picture)
    for told in (0, 100, 2**31):
        check(outer, picture[:2] + struct.pack("<I", told) + picture[6:], exact=False)


def test_a_webp_is_as_long_as_its_chunks(portrait: Image.Image, outer: bytes) -> None:
    check(outer, saved(portrait, "WEBP"))
    picture = saved(portrait, "WEBP", lossless=True, exif=b"Exif\0\0II*\0")
    check(outer, picture)
    wrong = outer + picture[:4] + struct.pack("<I", 22) + picture[8:] + BEHIND
    ends = [one.end for one in carve.pictures(wrong) if one.start == len(outer)]
    assert ends in ([], [len(wrong)])


def test_base64_is_read_on_behind_its_first_picture(portrait: Image.Image) -> None:
    second = saved(portrait, "PNG")
    text = base64.b64encode(saved(portrait.resize((40, 40)), "JPEG") + BEHIND + second)
    shown = [one.pixels for one in hidden(b"<x>" + text + b"</x>") if one.pixels is not None]
    assert any(np.array_equal(one, pixels(second)) for one in shown)


def test_a_jpeg_2000_is_as_long_as_its_boxes(portrait: Image.Image, outer: bytes) -> None:
    picture = saved(portrait, "JPEG2000")
    check(outer, picture)
    at = picture.find(b"jp2c") - 4
    wrong = picture[:at] + struct.pack(">I", 2**31) + picture[at + 4 :]
    data = outer + wrong
    ends = [one.end for one in carve.pictures(data) if one.start == len(outer)]
    assert ends in ([], [len(data)])


def test_what_is_kept_stays_in_a_doubtful_picture(portrait: Image.Image) -> None:
    kept = saved(portrait.resize((40, 40)), "JPEG")
    clean, _ = carve.blanked(jpeg(portrait)[:-2] + b"\0\0" + kept + BEHIND, kept)
    assert clean.strip(b"\0") == kept


def in_json(*strings: bytes) -> bytes:
    return b"[" + b", ".join(b'"' + one + b'"' for one in strings) + b"]"


@pytest.mark.parametrize("size", [40, 77, 400])
@pytest.mark.parametrize("before", range(4))
def test_strings_beside_a_picture_in_several_stay(
    size: int, before: int, portrait: Image.Image
) -> None:
    text = base64.b64encode(jpeg(portrait.resize((60, 60))))
    parts = [text[at : at + size] for at in range(0, len(text), size)]
    name = b"an-identifier-of-a-photo"[: 20 + before]
    data = in_json(name, *parts[:-1], parts[-1].ljust(size, b"="), b"Another title of some length")
    clean, count = carve.blanked(data)
    assert count >= len(parts) - 1
    assert not carve.holds_pictures(clean)
    assert name in clean
    assert b"Another title of some length" in clean
    assert len(clean) == len(data)


@pytest.mark.parametrize(
    "text",
    [
        lambda data: base64.urlsafe_b64encode(data),
        lambda data: base64.b64encode(data).decode().encode("utf-16-le"),
        lambda data: data.hex().encode("utf-16-be"),
        lambda data: data.hex(",").encode(),
        lambda data: b"".join(b"0x%02x, " % byte for byte in data),
        lambda data: b"".join(b"%%%02X" % byte for byte in data),
        lambda data: base64.encodebytes(data.hex().encode()),
        lambda data: base64.b64encode(bz2.compress(gzip.compress(data))),
    ],
)
def test_text_in_each_way_is_read(text: Callable[[bytes], bytes], portrait: Image.Image) -> None:
    picture = saved(portrait.resize((60, 60)), "PNG")
    data = b"A caption: " + text(picture) + b" and more"
    expected = pixels(picture)
    assert any(
        one.pixels is not None and np.array_equal(one.pixels, expected) for one in hidden(data)
    )
    clean, _ = carve.blanked(data)
    assert clean.startswith(b"A caption: ")
    assert hidden(clean) == []


def test_plain_text_and_numbers_are_no_pictures() -> None:
    text = b"".join(b"%d P5 12 34 a sentence of words, %x. " % (n, n * 7919) for n in range(3000))
    numbers = np.random.default_rng(0).integers(0, 256, 1 << 20, np.uint8).tobytes()
    for data in (text, zlib.compress(text), numbers, zlib.compress(numbers), bytes(1 << 20)):
        assert carve.blanked(data) == (data, 0)
        assert hidden(data) == []


def test_what_unpacks_to_too_much_counts_as_a_picture() -> None:
    bomb = gzip.compress(bytes(packed.MOST + 1))
    clean, count = carve.blanked(b"before" + bomb + b"behind")
    assert (clean.strip(b"\0"), count) == (b"before" + bytes(len(bomb)) + b"behind", 1)
    assert [one.pixels for one in hidden(b"before" + bomb)] == [None]


@pytest.mark.parametrize("kind", ["P4", "P5", "P6"])
def test_a_pnm_is_as_long_as_its_rows(kind: str, portrait: Image.Image, outer: bytes) -> None:
    mode = {"P4": "1", "P5": "L", "P6": "RGB"}[kind]
    picture = saved(portrait.convert(mode), "PPM")
    assert picture.startswith(kind.encode())
    check(outer, picture)
    assert not list(carve.pictures(picture[:-1]))


@pytest.mark.parametrize("first", [b"\xfe", b"P", b"B", b"\0"])
def test_jpeg_that_is_cut_off_is_found_whatever_its_first_byte(
    first: bytes, outer: bytes, portrait: Image.Image
) -> None:
    picture = saved(portrait, "JPEG")
    cut = picture[: len(picture) // 2]
    found = next(one for one in carve.pictures(outer + first + cut[1:]) if one.start == len(outer))
    np.testing.assert_array_equal(pixels(found.data), pixels(cut))
