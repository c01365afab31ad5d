"""How a photo is seen, by each tag that says it: the table of docs/formats.md, file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs.orientation import (
    Orientation,
    as_stored,
    chosen,
    combined,
    inverse,
    quarter,
    upright,
)
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.faces.detect import Detector, detect_faces, load_retinaface
from photoveil.transforms.faces.parameters import DetectorParameters
from photoveil.transforms.io import assets
from photoveil.transforms.photo.find_faces import FaceDetectorHandler
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.records import PhotoRef
from tests import turned_files

NO_LIMIT = 1 << 40
PARAMETERS = DetectorParameters()
SAMPLES = turned_files.samples()

# (as most viewers show it, as others do) by the name of the sample. Measured with the programs
# that docs/formats.md names.
SEEN: dict[str, tuple[int, set[int]]] = {
    **{
        f"{form} {tags}": (shown, others)
        for form in ("JPEG", "TIFF")
        for tags, shown, others in (
            ("EXIF 6", 6, set()),
            ("XMP 6", 1, {6}),
            ("EXIF 6 XMP 6", 6, set()),
            ("EXIF 6 XMP 3", 6, {3}),
            ("EXIF 1 XMP 6", 1, {6}),
            ("EXIF 6 XMP 1", 6, {1}),
            ("EXIF none XMP 6", 1, {6}),
            ("EXIF 0 XMP 6", 1, {6}),
            ("EXIF 9 XMP 6", 1, {6}),
        )
        if f"{form} {tags}" in SAMPLES
    },
    **{
        f"PNG {tags}": (shown, others)
        for tags, shown, others in (
            ("EXIF 6", 6, {1}),
            ("XMP 6", 1, {6}),
            ("EXIF 6 XMP 6", 6, {1}),
            ("EXIF 6 XMP 3", 6, {1, 3}),
            ("EXIF 1 XMP 6", 1, {6}),
            ("EXIF 6 XMP 1", 6, {1}),
            ("EXIF none XMP 6", 1, {6}),
            ("EXIF 0 XMP 6", 1, {6}),
            ("EXIF 9 XMP 6", 1, {6}),
            ("EXIF 6 behind the pixels", 1, {6}),
            ("raw EXIF 6", 1, {6}),
            ("raw EXIF 6 EXIF 3", 3, {1, 6}),
            ("XMP 6 behind the pixels", 1, {6}),
        )
    },
    **{
        f"{form} {tags}": (1, others)
        for form in ("WebP", "HEIC", "AVIF")
        for tags, others in (
            ("EXIF 6", {6}),
            ("XMP 6", {6}),
            ("EXIF 6 XMP 6", {6}),
            ("EXIF 6 XMP 3", {3, 6}),
            ("EXIF 1 XMP 6", {6}),
            ("EXIF 6 XMP 1", {6}),
            ("EXIF none XMP 6", {6}),
            ("EXIF 0 XMP 6", {6}),
            ("EXIF 9 XMP 6", {6}),
        )
    },
    **{
        f"{form} {turns}": (shown, others | stored)
        for form, stored in (("HEIC", set()), ("AVIF", {1}))
        for turns, shown, others in (
            ("irot 3", 6, set()),
            ("irot 3 EXIF 6", 6, set()),
            ("irot 3 EXIF 3", 6, {3}),
            ("irot 3 EXIF 1", 6, set()),
            ("imir 1", 2, set()),
            ("imir 0", 4, set()),
            ("imir 1 EXIF 2", 2, set()),
            ("imir 1 EXIF 6", 2, {6}),
            ("irot 1 imir 1", 7, set()),
            ("irot 1 imir 1 EXIF 5", 7, {5}),
        )
    },
    "HEIC irot 0 EXIF 6": (1, {6}),
    "AVIF irot 0 EXIF 6": (1, {6}),
    "JPEG XMP 6 before EXIF 3": (3, {6}),
    "JPEG EXIF 6 then EXIF 3": (6, {3}),
    "JPEG EXIF 6 as LONG": (1, {6}),
    "JPEG XMP 6 as element": (1, {6}),
    "WebP EXIF 6 with JPEG's header": (1, {6}),
    "WebP EXIF 6 unannounced": (1, set()),
    "GIF XMP 6": (1, set()),
}


def quarters() -> Image.Image:
    """Four colours, one a corner: how it is turned is seen at once."""
    colours = np.array([[(200, 40, 40), (40, 200, 40)], [(40, 40, 200), (220, 220, 220)]], np.uint8)
    return Image.fromarray(colours.repeat(64, axis=0).repeat(96, axis=1))


def corners(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    rows, columns = ([side // 4, side * 3 // 4] for side in (height, width))
    return pixels[np.ix_(rows, columns)].astype(int)


@pytest.mark.parametrize("name", SAMPLES)
def test_photo_is_turned_as_viewers_turn_it(name: str) -> None:
    shown, others = SEEN[name]
    data = SAMPLES[name](quarters())
    photo = codecs.decode(data, NO_LIMIT)
    assert (photo.orientation, set(photo.others)) == (shown, others)
    expected = corners(upright(np.asarray(quarters()), shown))
    assert np.abs(corners(photo.pixels) - expected).max() < 24
    for other, turn in zip(photo.others, photo.turns, strict=True):
        expected = corners(upright(np.asarray(quarters()), other))
        assert np.abs(corners(upright(photo.pixels, turn)) - expected).max() < 24


@pytest.mark.parametrize("name", SAMPLES)
def test_change_lands_where_it_is_seen_and_no_tag_is_touched(name: str) -> None:
    data = SAMPLES[name](quarters())
    before = codecs.decode(data, NO_LIMIT)
    change = np.zeros(before.pixels.shape[:2], np.float32)
    change[:32, :32] = 24  # of the upper left corner, as it is seen
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    after = codecs.decode(coded, NO_LIMIT)
    assert (after.orientation, after.others) == (before.orientation, before.others)
    assert after.pixels.shape == before.pixels.shape
    difference = after.pixels.astype(int) - before.pixels
    assert difference[4:28, 4:28].mean() > 12  # a GIF has no colour that is nearer
    assert np.abs(difference[40:, 40:]).mean() < 2
    for block in (turned_files.tiff(6), turned_files.packet(6)):
        assert (block in coded) == (block in data)


def test_every_sample_is_in_the_table() -> None:
    assert set(SEEN) == set(SAMPLES)


@pytest.mark.parametrize("first", range(1, 9))
def test_orientations_make_a_group(first: int) -> None:
    stored = np.arange(6).reshape(2, 3)
    for then in range(1, 9):
        both = upright(upright(stored, first), then)
        np.testing.assert_array_equal(upright(stored, combined(first, then)), both)
    assert combined(first, inverse(first)) == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_quarters_turn_as_orientations_do_but_for_the_mirror(orientation: int) -> None:
    stored = np.arange(6).reshape(2, 3)
    seen, turned = upright(stored, orientation), np.rot90(stored, quarter(orientation))
    assert np.array_equal(seen, turned) or np.array_equal(seen, turned[:, ::-1])


# The orientation in which a person stands upright, by tags that do not agree: some programs show
# the photo so and others do not, so the face must be protected in both.
DISAGREE = {
    "JPEG XMP 6": 1,
    "JPEG EXIF 6 XMP 1": 1,
    "PNG EXIF 6 behind the pixels": 1,
    "HEIC EXIF 6": 1,
    "AVIF irot 3": 1,
    "WebP EXIF 6": 6,
    "TIFF XMP 6": 6,
    "HEIC EXIF 6 XMP 6": 6,
    "HEIC irot 3 EXIF 3": 3,
}


@pytest.fixture(scope="module")
def detector() -> Detector:
    return load_retinaface(str(assets.fetch("retinaface.pb")))


@pytest.mark.parametrize("name", DISAGREE)
def test_face_is_aligned_alike_whichever_tag_is_right(
    name: str, demo_photo: Callable[[str], Path], detector: Detector, tmp_path: Path
) -> None:
    with Image.open(demo_photo("biden.jpg")) as opened:
        straight = opened.convert("RGB")
    straight.thumbnail((480, 480))
    right = DISAGREE[name]  # the orientation in which the person stands upright
    stored = Image.fromarray(np.ascontiguousarray(as_stored(np.asarray(straight), right)))
    path = tmp_path / "photo"
    path.write_bytes(SAMPLES[name](stored))
    read = read_photo(PhotoRef(str(tmp_path), "photo", path.stat().st_size, 0.0), ReadLimits())
    assert read.pixels is not None
    (wanted,) = detect_faces(np.asarray(straight), detector, PARAMETERS)
    handler = FaceDetectorHandler(PARAMETERS)
    (done,) = handler.run_inference([read], detector)
    (face,) = done.inference.faces
    crops = [
        crop_face(pixels, face_to_crop(one.landmarks)).astype(float)
        for pixels, one in ((np.asarray(straight), wanted), (read.pixels, face))
    ]
    assert np.corrcoef(crops[0].ravel(), crops[1].ravel())[0, 1] > 0.97


def test_turns_lead_from_what_is_shown_to_what_others_show() -> None:
    assert Orientation(6, (1, 3)).turns == (8, 6)
    assert chosen(None, [None, 1, 6, 6]) == Orientation(1, (6,))
