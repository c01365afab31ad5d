"""A strip of a TIFF that grew: the file closes up, and all that points to a part still finds it."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import ExifTags, Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import tiff_layout

NO_LIMIT = 10**9


@pytest.fixture(scope="session")
def pixels(demo_photo: Callable[[str], Path]) -> np.ndarray:
    """uint8 (93, 131, 3), which LZW compresses well before there is noise in it."""
    with Image.open(demo_photo("astronaut.png")) as image:
        return np.asarray(image.convert("RGB").crop((150, 20, 281, 113))) & 0xE0


def by_tifffile(pixels: np.ndarray, pages: int = 1, **options: Any) -> bytes:
    out = io.BytesIO()
    with tifffile.TiffWriter(out, **options) as writer:
        for _ in range(pages):
            writer.write(
                pixels,
                photometric="rgb",
                compression="lzw",
                predictor=2,
                rowsperstrip=40,
                description="a caption",
                software="a test",
                iccprofile=bytes(range(256)) * 2,
            )
    return out.getvalue()


def by_libtiff(pixels: np.ndarray) -> bytes:
    """Strips first, and then what describes them."""
    out = io.BytesIO()
    image = Image.fromarray(pixels)
    image.save(out, "TIFF", compression="tiff_lzw", software="a test", strip_size=1 << 20)
    return out.getvalue()


Entry = tuple[int, int, int, bytes]  # code, type, how many, values


def directory(entries: list[Entry], at: int) -> bytes:
    """A directory that is to lie at `at`, and what it points to behind it."""
    packed, behind = b"", b""
    first = at + 2 + 12 * len(entries) + 4
    for code, kind, count, value in sorted(entries):
        field = value.ljust(4, b"\0")
        if len(value) > 4:
            field = struct.pack("<I", first + len(behind))
            behind += value + bytes(len(value) % 2)
        packed += struct.pack("<HHI", code, kind, count) + field
    return struct.pack("<H", len(entries)) + packed + bytes(4) + behind


def with_entries(data: bytes, entries: list[Entry], exif: list[Entry] | None = None) -> bytes:
    """More entries in the first directory, and in one of EXIF; both lie at the end then."""
    (old,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, old)
    for at in range(old + 2, old + 2 + 12 * count, 12):
        entries = [*entries, (*struct.unpack_from("<HHI", data, at), data[at + 8 : at + 12])]
    new = bytearray(data + bytes(len(data) % 2))
    new[old : old + 2 + 12 * count + 4] = bytes(2 + 12 * count + 4)
    if exif:
        entries.append((ExifTags.IFD.Exif, 4, 1, struct.pack("<I", len(new))))
        new += directory(exif, len(new))
    struct.pack_into("<I", new, 4, len(new))
    return bytes(new + directory(entries, len(new)))


def strip_of(data: bytes) -> tuple[int, int]:
    """Where the only strip begins and ends."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        (start,), (length,) = file.pages.first.dataoffsets, file.pages.first.databytecounts
    return start, start + length


LENS: Entry = (ExifTags.Base.LensModel, 2, 16, b"a lens of no name"[:15] + b"\0")
NOTE: Entry = (ExifTags.Base.MakerNote, 7, 32, b"offsets from the file's start...")


def noise(pixels: np.ndarray) -> np.ndarray:
    change = np.zeros(pixels.shape[:2], np.float32)
    change[20:60, 30:70] = np.random.default_rng(0).normal(0, 15, (40, 40))
    return change


def contents(data: bytes) -> list[Any]:
    """All values of all directories but where something lies."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [
            {t.name: str(t.value) for t in page.tags if not t.name.endswith(("Offsets", "Counts"))}
            for page in file.pages
        ]


def exif_of(data: bytes) -> dict[int, Any]:
    with Image.open(io.BytesIO(data)) as image:
        return dict(image.getexif().get_ifd(ExifTags.IFD.Exif))


FILES: dict[str, Callable[[np.ndarray], bytes]] = {
    "tifffile": by_tifffile,
    "high byte first": lambda pixels: by_tifffile(pixels, byteorder=">"),
    "BigTIFF": lambda pixels: by_tifffile(pixels, pages=2, bigtiff=True),
    "pages": lambda pixels: by_tifffile(pixels, pages=3),
    "libtiff": by_libtiff,
    "EXIF": lambda pixels: with_entries(by_libtiff(pixels), [], [LENS]),
}


@pytest.mark.parametrize("kind", FILES)
def test_strip_that_grew_leaves_no_hole(kind: str, pixels: np.ndarray) -> None:
    data = FILES[kind](pixels)
    seen = codecs.decode(data, NO_LIMIT).pixels
    change = np.zeros(seen.shape[:2], np.float32)
    change[: len(pixels)] = noise(pixels)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    with tifffile.TiffFile(io.BytesIO(coded)) as file:
        strips = sum(sum(page.databytecounts) for page in file.pages)
        old = sum(sum(page.databytecounts) for page in tifffile.TiffFile(io.BytesIO(data)).pages)
    assert strips > old + 1000
    assert len(coded) - strips <= len(data) - old + 16
    assert contents(coded) == contents(data)
    assert exif_of(coded) == exif_of(data)
    outside = change == 0
    after = codecs.decode(coded, NO_LIMIT).pixels
    np.testing.assert_array_equal(after[outside], seen[outside])
    assert (after != seen).any()
    with Image.open(io.BytesIO(coded)) as image:  # another reader
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), after[: len(pixels)])


@pytest.mark.parametrize("kind", ["MakerNote", "unknown bytes", "what nothing points to"])
def test_file_with_what_may_depend_on_its_place_stays(kind: str, pixels: np.ndarray) -> None:
    if kind == "MakerNote":
        data = with_entries(by_libtiff(pixels), [], [LENS, NOTE])
    elif kind == "unknown bytes":
        data = with_entries(by_libtiff(pixels), [(50000, 7, 13, b"a maker's own")])
    else:
        data = by_libtiff(pixels) + b"something of interest"
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(noise(pixels))).data
    with tifffile.TiffFile(io.BytesIO(data)) as before, tifffile.TiffFile(io.BytesIO(coded)) as now:
        old, new = before.pages.first, now.pages.first
        assert new.dataoffsets[0] >= len(data)
        assert new.offset == old.offset
    kept = bytearray(coded)
    for at in (old.tags["StripOffsets"].valueoffset, old.tags["StripByteCounts"].valueoffset):
        kept[at : at + 4] = data[at : at + 4]
    start, length = old.dataoffsets[0], old.databytecounts[0]
    assert kept[start : start + length] == bytes(length)
    assert kept[:start] == data[:start]
    assert kept[start + length : len(data)] == data[start + length :]


def test_padding_may_be_what_libtiff_finds_in_memory(pixels: np.ndarray) -> None:
    widths = (pixels[:, :width] for width in range(131, 100, -1))
    data = next(data for data in map(by_libtiff, widths) if strip_of(data)[1] % 2)
    end = strip_of(data)[1]
    data = data[:end] + b"\x1d" + data[end + 1 :]
    with Image.open(io.BytesIO(data)) as image:
        change = noise(np.asarray(image))
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    (start, end), (new_start, new_end) = strip_of(data), strip_of(coded)
    assert new_end - new_start > end - start + 1000
    assert len(coded) - (new_end - new_start) <= len(data) - (end - start) + 16


def test_file_without_a_hole_stays(pixels: np.ndarray) -> None:
    data = by_libtiff(pixels)
    assert tiff_layout.without_holes(data) == data


def test_directories_that_form_a_loop_stay(pixels: np.ndarray) -> None:
    data = bytearray(by_tifffile(pixels) + bytes(100))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert tiff_layout.without_holes(bytes(data)) == data
