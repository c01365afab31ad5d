"""Every JPEG of the labelled data: cloaked in one place, unharmed in all others."""

from __future__ import annotations

import io
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import piexif
import pytest
from PIL import Image, JpegImagePlugin

from photoveil.transforms import codecs
from photoveil.transforms.codecs import segments
from photoveil.transforms.codecs.errors import DAMAGE
from photoveil.transforms.codecs.orientation import as_stored, upright

NO_LIMIT = 10**9
# A marker stands where bytes of its scan were overwritten; decoders go on at the next restart.
SPOILT = {"corrupted.jpg": ["restart markers differ"]}
# Where a thumbnail or preview lies and how long it is, and the MakerNote that may hold one.
PICTURE_TAGS = {273, 279, 513, 514, 37500}


def jpegs(folder: Path) -> list[Path]:
    return [path for path in photos(folder) if codecs.sniff(path.read_bytes()) == "JPEG"]


def photos(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def tags(data: bytes) -> dict[str, Any]:
    """Every EXIF tag but those of pictures; through Pillow where piexif gives up."""
    try:
        found = piexif.load(data)
        # A thumbnail that cannot be rebuilt goes with its whole directory.
        parts = {part: found[part] for part in ("0th", "Exif", "GPS", "Interop")}
    except DAMAGE:
        parts = {"Pillow": dict(Image.open(io.BytesIO(data)).getexif())}
    return {
        part: {tag: value for tag, value in entries.items() if tag not in PICTURE_TAGS}
        for part, entries in parts.items()
    }


def pictures_inside(data: bytes) -> int:
    """How many JPEGs begin in the metadata of a JPEG and can be opened."""
    count = 0
    for segment in segments.split(data)[0]:
        start = segment.payload.find(b"\xff\xd8\xff") if segment.is_metadata else -1
        while start >= 0:
            try:
                Image.open(io.BytesIO(segment.payload[start:]))
                count += 1
            except DAMAGE:
                pass
            start = segment.payload.find(b"\xff\xd8\xff", start + 1)
    return count


def restarts(data: bytes) -> tuple[list[bytes], int]:
    """The restart intervals that are set, and how many restart markers there are."""
    parts = segments.split(data)[0]
    markers = sum(len(re.findall(rb"\xff[\xd0-\xd7]", part.scan)) for part in parts)
    return [part.payload for part in parts if part.marker == 0xDD], markers


def faults(path: Path, data: bytes) -> tuple[list[str], float]:
    """What is wrong with the cloaked photo, and its size relative to the original's."""
    before = codecs.decode(data, NO_LIMIT)
    height, width = before.pixels.shape[:2]
    change = np.zeros((height, width), np.float32)
    rows, columns = slice(height // 3, height // 3 + 96), slice(width // 3, width // 3 + 96)
    change[rows, columns] = np.random.default_rng(0).normal(0, 8, change[rows, columns].shape)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    after = codecs.decode(coded.data, NO_LIMIT)
    if after.pixels.shape != before.pixels.shape:
        return ["another size"], 1.0
    wrong = []
    changed = as_stored((after.pixels != before.pixels).any(axis=2), before.orientation)
    touched = np.argwhere(as_stored(change, before.orientation))
    (top, left), (bottom, right) = touched.min(axis=0) // 8 * 8, touched.max(axis=0) // 8 * 8 + 8
    outside = changed.copy()
    outside[top:bottom, left:right] = False
    if outside.any():
        wrong.append(f"{outside.sum()} pixels outside differ")
    if not upright(changed, before.orientation).any():
        wrong.append("nothing changed")
    if tags(coded.data) != tags(data):
        wrong.append("EXIF tags differ")
    rebuilt = sum(note.endswith("thumbnail rebuilt") for note in coded.notes)
    if pictures_inside(coded.data) > rebuilt:
        wrong.append("a picture is left in the metadata")
    old, new = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(coded.data))
    assert isinstance(old, JpegImagePlugin.JpegImageFile)
    assert isinstance(new, JpegImagePlugin.JpegImageFile)
    if new.quantization != old.quantization:
        wrong.append("quantisation tables differ")
    if JpegImagePlugin.get_sampling(new) != JpegImagePlugin.get_sampling(old):
        wrong.append("subsampling differs")
    if restarts(coded.data) != restarts(data):
        wrong.append("restart markers differ")
    return wrong, len(coded.data) / len(data)


def check(files: list[Path]) -> None:
    wrong, ratios = {}, []
    for path in files:
        found, ratio = faults(path, path.read_bytes())
        ratios.append(ratio)
        if found:
            wrong[path.name] = found
    assert wrong == {name: why for name, why in SPOILT.items() if name in wrong}
    print(f"{len(ratios)} written, size ratio {np.mean(ratios):.3f}, at most {max(ratios):.3f}")
    assert 0.9 < np.mean(ratios) < 1.02
    assert max(ratios) < 1.3


@pytest.mark.slow
@pytest.mark.parametrize("half", [0, 1])  # for as many cores
def test_people_photos(half: int, people_data: Path) -> None:
    check(jpegs(people_data)[half::2])


@pytest.mark.parametrize("half", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_camera_photos(half: int, exif_data: Path) -> None:
    check(jpegs(exif_data)[half::2])


LOSSLESS = {"PNG", "TIFF"}


def test_other_formats(shared_data: Path) -> None:
    """Lossless formats change in the box alone; the others there, and a little all over."""
    written: Counter[str] = Counter()
    for path in photos(shared_data):
        data = path.read_bytes()
        kind = codecs.sniff(data)
        if kind in (None, "JPEG") or (kind == "HEIC" and len(data) > 100_000):  # too slow here
            continue
        before = codecs.decode(data, NO_LIMIT).pixels.astype(int)
        change = np.zeros(before.shape[:2], np.float32)
        top, left = (side // 3 for side in before.shape[:2])
        box = (slice(top, top + 64), slice(left, left + 64))
        change[box] = np.where(before[box].mean(axis=2) < 128, 30, -30)
        after = codecs.decode(
            codecs.encode(data, codecs.PhotoChange.of_levels(change)).data, NO_LIMIT
        ).pixels
        difference = after - before
        assert np.abs(difference[box]).mean() > 5, path.name
        difference[box] = 0
        assert np.abs(difference).mean() < (0.001 if kind in LOSSLESS else 2.5), path.name
        written[kind] += 1
    print(dict(written))
    assert written["TIFF"] and written["PNG"]
