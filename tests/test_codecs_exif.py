"""EXIF in a JPEG: no picture of the uncloaked face is left, no other byte moves."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import piexif
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import exif, segments

SIZE = (160, 120)
MAKER_NOTE = b"Maker\0" + bytes(range(200))
NO_LIMIT = 10**9


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((100, 0, 420, 240))


@pytest.fixture(scope="session")
def cloaked(portrait: Image.Image) -> Image.Image:
    """So unlike the original that a thumbnail of the one cannot pass for the other."""
    return portrait.point(lambda level: 255 - level)


def saved(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def block(thumbnail: bytes | None, maker_note: bytes = b"") -> bytes:
    """An EXIF block, from its byte order mark on."""
    tags: dict[str, Any] = {
        "0th": {piexif.ImageIFD.Make: b"Maker", piexif.ImageIFD.Orientation: 1},
        "Exif": {piexif.ExifIFD.DateTimeOriginal: b"2020:01:02 03:04:05"},
        "GPS": {piexif.GPSIFD.GPSLatitudeRef: b"N", piexif.GPSIFD.GPSLatitude: ((48, 1),) * 3},
    }
    if maker_note:
        tags["Exif"][piexif.ExifIFD.MakerNote] = maker_note
    if thumbnail:
        tags |= {"thumbnail": thumbnail, "1st": {piexif.ImageIFD.Compression: 6}}
    return piexif.dump(tags)[len(exif.HEADER) :]


def thumbnail_of(tiff: bytes) -> bytes | None:
    return piexif.load(exif.HEADER + tiff)["thumbnail"]


def error(thumbnail: bytes, image: Image.Image) -> float:
    """Mean difference in levels between a thumbnail and a photo."""
    with Image.open(io.BytesIO(thumbnail)) as found:
        small = image.resize(found.size, Image.Resampling.LANCZOS)
        return float(np.abs(np.asarray(found, float) - np.asarray(small, float)).mean())


@pytest.mark.parametrize("maker_note", [b"", MAKER_NOTE], ids=["plain", "MakerNote"])
def test_thumbnail_shows_the_cloaked_photo_and_no_other_byte_changes(
    maker_note: bytes, portrait: Image.Image, cloaked: Image.Image
) -> None:
    old = saved(portrait.resize(SIZE), quality=90)
    before = block(old, maker_note)
    after, notes = exif.cloak_pictures(before, cloaked)
    new = thumbnail_of(after)
    assert notes == ["EXIF thumbnail rebuilt"]
    assert new is not None
    assert error(new, cloaked) < 6 < 60 < error(new, portrait)
    assert Image.open(io.BytesIO(new)).size == SIZE
    old = thumbnail_of(before) or b""  # piexif drops the JFIF segment of what it is given
    start = before.index(old)
    assert after[start + len(old) :] == before[start + len(old) :]
    changed = [at for at in range(start) if before[at] != after[at]]
    assert len(changed) <= 4  # the length of the thumbnail
    if maker_note:
        assert after.index(MAKER_NOTE) == before.index(MAKER_NOTE)


def test_thumbnail_in_a_written_file_shows_the_cloaked_photo(portrait: Image.Image) -> None:
    old = saved(portrait.resize(SIZE), quality=90)
    data = saved(portrait, quality=90, exif=exif.HEADER + block(old, MAKER_NOTE))
    change = np.zeros(portrait.size[::-1], np.float32)
    change[:, :160] = 90
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    new = piexif.load(coded.data)["thumbnail"]
    result = Image.open(io.BytesIO(coded.data)).convert("RGB")
    assert error(new, result) < 6 < 15 < error(new, portrait)


def test_grey_photo_gets_a_thumbnail(portrait: Image.Image, cloaked: Image.Image) -> None:
    old = saved(portrait.resize(SIZE), quality=90)
    new = thumbnail_of(exif.cloak_pictures(block(old), cloaked.convert("L"))[0])
    assert new is not None
    assert error(new, cloaked.convert("L")) < 6


def test_letterboxed_thumbnail_is_not_stretched(cloaked: Image.Image) -> None:
    wide = cloaked.crop((0, 0, 320, 180))  # 16:9 in a thumbnail of 4:3
    old = saved(Image.effect_noise(SIZE, 99).convert("RGB"), quality=95)
    new = thumbnail_of(exif.cloak_pictures(block(old), wide)[0])
    assert new is not None
    picture = Image.open(io.BytesIO(new))
    assert picture.size == SIZE
    assert np.asarray(picture)[:12].max() < 40
    inside = saved(picture.crop((0, 15, 160, 105)), quality=95)
    assert error(inside, wide) < 8


@pytest.mark.parametrize("maker_note", [b"", MAKER_NOTE], ids=["plain", "MakerNote"])
def test_block_without_a_picture_stays_as_it_is(maker_note: bytes, cloaked: Image.Image) -> None:
    before = block(None, maker_note)
    assert exif.cloak_pictures(before, cloaked) == (before, [])


def test_thumbnail_that_cannot_fit_is_removed(cloaked: Image.Image) -> None:
    noise = Image.effect_noise(cloaked.size, 120).convert("RGB")
    old = saved(Image.new("RGB", SIZE), quality=5)
    after, notes = exif.cloak_pictures(block(old, MAKER_NOTE), noise)
    assert notes == ["EXIF thumbnail removed"]
    assert thumbnail_of(after) is None
    assert b"\xff\xd8\xff" not in after
    assert MAKER_NOTE in after


def test_thumbnail_is_removed_where_none_is_wanted(portrait: Image.Image) -> None:
    old = saved(portrait.resize(SIZE), quality=90)
    data = saved(portrait, quality=90, exif=exif.HEADER + block(old, MAKER_NOTE))
    change = np.zeros(portrait.size[::-1], np.float32)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change), rebuild_thumbnails=False)
    assert coded.notes == ("EXIF thumbnail removed",)
    assert piexif.load(coded.data)["thumbnail"] is None
    assert coded.data.count(b"\xff\xd8\xff") == 1
    assert MAKER_NOTE in coded.data


def test_preview_in_a_maker_note_is_blanked(portrait: Image.Image, cloaked: Image.Image) -> None:
    preview = saved(portrait.resize(SIZE), quality=80)
    before = block(None, b"Maker\0" + preview + b"after")
    after, notes = exif.cloak_pictures(before, cloaked)
    assert notes == ["EXIF preview pictures removed"]
    assert after == before.replace(preview, bytes(len(preview)))


def test_preview_goes_and_the_new_thumbnail_stays(
    portrait: Image.Image, cloaked: Image.Image
) -> None:
    preview = saved(portrait.resize(SIZE), quality=80)
    before = block(saved(portrait.resize(SIZE), quality=90), b"Maker\0" + preview)
    after, notes = exif.cloak_pictures(before, cloaked)
    assert notes == ["EXIF thumbnail rebuilt", "EXIF preview pictures removed"]
    assert preview not in after
    new = thumbnail_of(after)
    assert new is not None
    assert error(new, cloaked) < 6


def two_directories(order: str, second: list[tuple[int, int, int, int]], data: bytes) -> bytes:
    """An EXIF block with a copyright tag, a second directory of those entries, and data."""
    first_at, first_size, second_size = 8, 2 + 12 + 4, 2 + 12 * len(second) + 4
    data_at = first_at + first_size + second_size
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return (
        mark
        + struct.pack(order + "I", first_at)
        + struct.pack(order + "HHHII", 1, 0x8298, 2, 16, data_at)
        + struct.pack(order + "I", first_at + first_size)
        + struct.pack(order + "H", len(second))
        + b"".join(struct.pack(order + "HHII", *entry) for entry in second)
        + bytes(4)
        + data
    )


@pytest.mark.parametrize("order", ["<", ">"])
def test_uncompressed_thumbnail_is_blanked(order: str, cloaked: Image.Image) -> None:
    head = two_directories(order, [(0x0111, 4, 1, 0), (0x0117, 4, 1, 600)], b"")
    text, strip = b"copyright holder", bytes(range(1, 201)) * 3
    entries = [(0x0111, 4, 1, len(head) + len(text)), (0x0117, 4, 1, len(strip))]
    after, notes = exif.cloak_pictures(two_directories(order, entries, text + strip), cloaked)
    assert notes == ["EXIF thumbnail removed"]
    assert after.endswith(text + bytes(len(strip)))
    assert struct.unpack_from(order + "I", after, 22) == (0,)


@pytest.mark.parametrize("order", ["<", ">"])
def test_thumbnail_that_points_astray_does_no_harm(order: str, cloaked: Image.Image) -> None:
    text = b"copyright holder"
    entries = [(0x0201, 4, 1, 8 + 18 + 30), (0x0202, 4, 1, len(text))]  # says the text is a JPEG
    after, notes = exif.cloak_pictures(two_directories(order, entries, text), cloaked)
    assert after.endswith(text)
    assert notes == ["EXIF thumbnail removed"]


@pytest.mark.parametrize(
    "tiff",
    [
        b"",
        b"II",
        b"II*\0\xff\xff\xff\xff",
        b"XX*\0\x08\0\0\0",
        b"II*\0\x08\0\0\0\xff\xff" + bytes(20),
    ],
)
def test_damaged_block_stays_as_it_is(tiff: bytes, cloaked: Image.Image) -> None:
    assert exif.cloak_pictures(tiff, cloaked) == (tiff, [])


def test_every_cut_of_a_block_is_survived_without_the_old_picture(
    portrait: Image.Image, cloaked: Image.Image
) -> None:
    before = block(saved(portrait.resize(SIZE), quality=70), MAKER_NOTE)
    for length in range(0, len(before), 37):
        after, _ = exif.cloak_pictures(before[:length], cloaked)
        assert len(after) == length
        for start in (at for at in range(length) if after.startswith(b"\xff\xd8\xff", at)):
            found = Image.open(io.BytesIO(after[start:]))
            try:
                found.load()
            except OSError:
                continue
            assert error(after[start:], cloaked) < 20


def test_real_uncompressed_thumbnails_are_blanked(exif_data: Path) -> None:
    for name in ("kodak-dc210.jpg", "sony-d700.jpg"):
        data = (exif_data / "jpg/exif-org" / name).read_bytes()
        shape = codecs.decode(data, NO_LIMIT).pixels.shape[:2]
        coded = codecs.encode(data, codecs.PhotoChange.of_levels(np.full(shape, 9, np.float32)))
        assert coded.notes == ("EXIF thumbnail removed",), name
        block_after = next(s.payload for s in segments.split(coded.data)[0] if s.marker == 0xE1)
        block_before = next(s.payload for s in segments.split(data)[0] if s.marker == 0xE1)
        assert len(block_after) == len(block_before)
        assert block_after.count(0) > block_before.count(0) + 5000, name
