"""Previews behind a JPEG (Multi-Picture Format): those of the photo are made anew, others go."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, MpoImagePlugin

from photoveil.transforms import codecs
from photoveil.transforms.codecs import mpf, segments
from photoveil.transforms.codecs.segments import APP2, Segment

VGA, FULL_HD, STEREO, GAIN_MAP = 0x010001, 0x010002, 0x020002, 0


def saved(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


def with_pictures(photo: bytes, others: Sequence[tuple[int, bytes]], order: str = "<") -> bytes:
    """A JPEG with a list of pictures behind it, as cameras write it.

    others: type and JPEG file of each.
    """
    parts = segments.split(photo)[0]
    count, head = 1 + len(others), {"<": b"II*\0", ">": b"MM\0*"}[order]
    table_at = 8 + 2 + 3 * 12 + 4
    directory = struct.pack(
        f"{order}IHHHI4sHHIIHHIII",
        *(8, 3),
        *(0xB000, 7, 4, b"0100"),
        *(0xB001, 4, 1, count),
        *(0xB002, 7, 16 * count, table_at),
        0,
    )
    room = bytes(16 * count)

    def whole(table: bytes) -> bytes:
        listing = Segment(APP2, mpf.HEAD + head + directory + table)
        return segments.join([parts[0], listing, *parts[1:]])

    size = len(whole(room))
    base = whole(room).index(mpf.HEAD) + len(mpf.HEAD)
    dependents = [*range(2, 2 + len(others)), 0, 0][:2]
    table = struct.pack(f"{order}IIIHH", 0xA0030000, size, 0, *dependents)
    at = size
    for kind, picture in others:
        table += struct.pack(f"{order}IIIHH", 0x40000000 | kind, len(picture), at - base, 0, 0)
        at += len(picture)
    return whole(table) + b"".join(picture for _, picture in others)


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((96, 0, 416, 240))


def lighter(portrait: Image.Image) -> np.ndarray:
    return np.full((portrait.height, portrait.width), 30, np.float32)


def opened(data: bytes) -> list[Image.Image]:
    """All pictures, as Pillow finds them by the list."""
    image = Image.open(io.BytesIO(data))
    if not isinstance(image, MpoImagePlugin.MpoImageFile):
        return [image]
    pictures = []
    for number in range(image.n_frames):
        image.seek(number)
        pictures.append(image.convert("RGB"))
    return pictures


@pytest.mark.parametrize("order", ["<", ">"])
def test_large_thumbnails_are_made_anew_and_found_by_the_list(
    order: str, portrait: Image.Image
) -> None:
    small = saved(portrait.resize((160, 120)), quality=92)
    large = saved(portrait.resize((288, 216)), quality=92)
    other = saved(portrait.rotate(180), quality=80)
    data = with_pictures(saved(portrait), [(VGA, small), (STEREO, other), (FULL_HD, large)], order)
    assert [one.size for one in opened(data)] == [(320, 240), (160, 120), (320, 240), (288, 216)]
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(lighter(portrait)))
    assert coded.notes == (
        "preview pictures rebuilt",
        "data after the end of the image removed",
    )
    pictures = opened(coded.data)
    assert [one.size for one in pictures] == [(320, 240), (160, 120), (288, 216)]
    for one in pictures[1:]:
        shown = pictures[0].resize(one.size, Image.Resampling.LANCZOS)
        assert np.abs(np.asarray(one, float) - np.asarray(shown, float)).mean() < 4
    for old in (small, large, other):
        assert old not in coded.data
    entry = struct.Struct(f"{order}IIIHH")
    at = coded.data.index(mpf.HEAD) + 4 + 50
    entries = [entry.unpack_from(coded.data, at + 16 * n) for n in range(4)]
    assert entries[0] == (0xA0030000, segments.split(coded.data)[1], 0, 2, 0)  # 3 was the stereo
    assert [hex(one[0]) for one in entries] == ["0xa0030000", "0x40010001", "0x40010002", "0x0"]
    assert len(coded.data) == sum(one[1] for one in entries)


def test_they_go_where_none_is_wanted(portrait: Image.Image) -> None:
    small = saved(portrait.resize((160, 120)))
    data = with_pictures(saved(portrait), [(VGA, small)])
    assert codecs.encode(data, codecs.PhotoChange.of_levels(lighter(portrait))).notes == (
        "preview pictures rebuilt",
    )
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(lighter(portrait)), rebuild_thumbnails=False
    )
    assert coded.notes == ("preview pictures removed", "data after the end of the image removed")
    assert len(opened(coded.data)) == 1
    assert mpf.HEAD not in coded.data


def test_a_gain_map_goes_and_its_list_with_it(portrait: Image.Image) -> None:
    data = with_pictures(saved(portrait), [(GAIN_MAP, saved(portrait.convert("L")))])
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(lighter(portrait)))
    assert coded.notes == ("preview pictures removed", "data after the end of the image removed")
    assert segments.split(coded.data)[1] == len(coded.data)


def test_a_damaged_list_leads_to_nothing(portrait: Image.Image) -> None:
    data = with_pictures(saved(portrait), [(VGA, saved(portrait.resize((160, 120))))])
    at = data.index(mpf.HEAD)
    damage = ((4, 0), (8, 255), (12, 255), (26, 255), (38, 7), (42, 250), (72, 4), (81, 255))
    for place, value in damage:
        broken = bytearray(data)
        broken[at + place] = value
        coded = codecs.encode(bytes(broken), codecs.PhotoChange.of_levels(lighter(portrait)))
        assert coded.notes[0] == "preview pictures removed", place
        assert coded.data.count(b"\xff\xd8\xff") == 1
    cut = codecs.encode(data[:-9], codecs.PhotoChange.of_levels(lighter(portrait)))
    assert cut.data.count(b"\xff\xd8\xff") == 1
