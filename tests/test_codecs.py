"""Files come out as they went in, but for the faces: JPEG and PNG, and the metadata in them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jpeglib
import numpy as np
import piexif
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

from transforms import codecs
from transforms.codecs import segments
from transforms.codecs.segments import APP1, APP2, APP13, Segment

NO_LIMIT = 10**9
BOX = (slice(104, 200), slice(72, 168))  # rows and columns that are changed, as seen upright


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    image = Image.open(demo_photo("obama.jpg")).convert("RGB")
    return image.resize((241, 303))  # odd sizes end in the middle of a block


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def change_for(data: bytes, level: float = 30.0) -> np.ndarray:
    height, width = codecs.decode(data, NO_LIMIT).pixels.shape[:2]
    change = np.zeros((height, width), np.float32)
    change[BOX] = level
    return change


def cloaked(data: bytes, level: float = 30.0) -> bytes:
    return codecs.encode(data, change_for(data, level)).data


def difference(before: bytes, after: bytes) -> np.ndarray:
    pair = [codecs.decode(data, NO_LIMIT).pixels.astype(np.int16) for data in (before, after)]
    return pair[1] - pair[0]


def outside(array: np.ndarray, room: int = 16) -> np.ndarray:
    """The array with the changed box and the blocks around it set to 0."""
    rest = array.copy()
    rows, columns = BOX
    rest[rows.start - room : rows.stop + room, columns.start - room : columns.stop + room] = 0
    return rest


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_pixels_outside_the_change_are_identical_and_the_coding_is_kept(
    portrait: Image.Image, subsampling: str, progressive: bool
) -> None:
    data = saved(portrait, quality=83, subsampling=subsampling, progressive=progressive)
    after = cloaked(data)
    changed = difference(data, after)
    assert not outside(changed).any()
    assert changed[BOX].mean() > 20
    one, two = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(after))
    assert two.quantization == one.quantization  # type: ignore[attr-defined]
    assert two.layer == one.layer  # type: ignore[attr-defined]
    assert ("progressive" in two.info) == progressive
    assert abs(len(after) / len(data) - 1) < 0.1


def test_chroma_coefficients_stay(portrait: Image.Image, tmp_path: Path) -> None:
    data = saved(portrait, quality=90)
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for path, content in zip(files, (data, cloaked(data)), strict=True):
        path.write_bytes(content)
    one, two = map(jpeglib.read_dct, files)
    assert np.array_equal(one.Cb, two.Cb)
    assert np.array_equal(one.Cr, two.Cr)
    assert not np.array_equal(one.Y, two.Y)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_ink_jpegs_keep_their_mode(portrait: Image.Image, mode: str) -> None:
    data = saved(portrait.convert(mode), quality=92)
    after = cloaked(data)
    assert Image.open(io.BytesIO(after)).mode == mode
    assert difference(data, after)[BOX].mean() > 10


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_change_lands_where_it_is_seen(portrait: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for kind in ("JPEG", "PNG"):
        data = saved(portrait, kind, exif=exif)
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
        assert np.array_equal(codecs.decode(data, NO_LIMIT).pixels, np.asarray(upright))
        changed = difference(data, cloaked(data))
        assert not outside(changed).any()
        assert changed[BOX].mean() > 20


def with_exif(image: Image.Image, thumbnail: Image.Image, maker_note: bytes = b"") -> bytes:
    tags = {
        "0th": {piexif.ImageIFD.Make: b"Maker", piexif.ImageIFD.ImageDescription: b"Us"},
        "Exif": {piexif.ExifIFD.MakerNote: maker_note} if maker_note else {},
        "GPS": {piexif.GPSIFD.GPSLatitudeRef: b"N"},
        "1st": {piexif.ImageIFD.Compression: 6},
        "thumbnail": saved(thumbnail, quality=90),
    }
    return saved(image, quality=92, exif=piexif.dump(tags))


@pytest.mark.parametrize("maker_note", [b"", b"Maker\0\x01\x02" * 20], ids=["plain", "MakerNote"])
def test_the_exif_thumbnail_shows_the_cloaked_photo(
    portrait: Image.Image, maker_note: bytes
) -> None:
    # A white picture as the old thumbnail: what is left of it could not be missed.
    small = Image.effect_noise((96, 120), 90).convert("RGB")
    data = with_exif(portrait, small, maker_note)
    result = codecs.encode(data, change_for(data, 60))
    before, after = piexif.load(data), piexif.load(result.data)
    new = Image.open(io.BytesIO(after["thumbnail"])).convert("RGB")
    expected = Image.open(io.BytesIO(result.data)).convert("RGB").resize((96, 120))
    original = portrait.resize((96, 120))
    errors = [
        np.abs(np.asarray(new, float) - np.asarray(other, float)).mean()
        for other in (expected, original, small)
    ]
    assert errors[0] < min(errors[1:]) / 2
    assert "EXIF thumbnail rebuilt" in result.notes
    for part in ("0th", "Exif", "GPS"):
        assert {k: v for k, v in after[part].items() if k not in (34665, 34853)} == {
            k: v for k, v in before[part].items() if k not in (34665, 34853)
        }
    if maker_note:
        assert result.data.index(maker_note) == data.index(maker_note)


def test_segments_are_kept_byte_for_byte_but_for_pictures(portrait: Image.Image) -> None:
    picture = saved(portrait.resize((64, 80)))
    kept = [
        Segment(APP1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta>Rome</x:xmpmeta>"),
        Segment(0xE5, b"Vendor\0data"),
        Segment(segments.COM, b"a comment"),
        Segment(APP13, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0\0\x02hi"),
    ]
    leaks = [
        Segment(APP2, b"MPF\0" + bytes(40)),
        Segment(0xE0, b"JFXX\0\x10" + picture),
        Segment(
            APP13, b"Photoshop 3.0\x008BIM\x04\x0c\0\0" + len(picture).to_bytes(4, "big") + picture
        ),
        Segment(0xE6, b"Preview\0" + picture),
    ]
    body, _ = segments.split(saved(portrait))
    data = segments.join([*body[:1], *kept, *leaks, *body[1:]]) + b"tail" + picture
    result = codecs.encode(data, change_for(data))
    after, end = segments.split(result.data)
    payloads = [s.payload for s in after]
    assert all(s.payload in payloads for s in kept)
    assert not any(picture[:200] in payload for payload in payloads)
    assert not any(payload.startswith(b"MPF\0") for payload in payloads)
    assert end == len(result.data)
    assert "data after the end of the image removed" in result.notes


def test_a_colour_profile_is_kept(portrait: Image.Image) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for kind in ("JPEG", "PNG"):
        data = saved(portrait, kind, icc_profile=profile)
        assert Image.open(io.BytesIO(cloaked(data))).info["icc_profile"] == profile


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_png_is_lossless_outside_and_keeps_mode_and_text(portrait: Image.Image, mode: str) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Title", "Us")
    image = portrait.convert(mode)
    if "A" in mode:
        image.putalpha(128)
    data = saved(image, "PNG", pnginfo=info, dpi=(300, 300), gamma=0.45)
    after = Image.open(io.BytesIO(cloaked(data)))
    assert after.mode == mode
    assert after.info["Title"] == "Us"
    before = np.asarray(image, np.int16)
    changed = np.asarray(after, np.int16) - before
    assert not outside(changed, room=0).any()
    assert changed[BOX].reshape(-1).max() == 30
    if "A" in mode:
        assert (np.asarray(after)[..., -1] == 128).all()


def test_sixteen_bit_grey_png_keeps_its_depth(portrait: Image.Image) -> None:
    grey = np.asarray(portrait.convert("L"), np.uint16) * 257 + 3
    data = saved(Image.fromarray(grey), "PNG")
    after = np.asarray(Image.open(io.BytesIO(cloaked(data)))).astype(np.int32)
    assert not outside(after - grey, room=0).any()


def test_a_palette_png_becomes_full_colour(portrait: Image.Image) -> None:
    data = saved(portrait.convert("P"), "PNG")
    result = codecs.encode(data, change_for(data))
    assert Image.open(io.BytesIO(result.data)).mode == "RGB"
    assert "palette widened to full colour" in result.notes


def test_an_animation_is_unsupported(portrait: Image.Image) -> None:
    frames = [portrait, portrait.rotate(5)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    with pytest.raises(codecs.UnsupportedFormat, match="animated"):
        codecs.decode(data, NO_LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_off_file_and_a_bomb_are_refused(portrait: Image.Image, kind: str) -> None:
    data = saved(portrait, kind)
    with pytest.raises(codecs.CodecError, match="damaged or cut off"):
        codecs.decode(data[: len(data) // 2], NO_LIMIT)
    with pytest.raises(codecs.CodecError, match="megapixels"):
        codecs.decode(data, 1000)


def test_real_camera_files_keep_their_tags_and_their_other_pixels(exif_data: Path) -> None:
    checked = 0
    for path in sorted((exif_data / "jpg").rglob("*.jpg"))[::8]:
        data = path.read_bytes()
        try:
            photo = codecs.decode(data, NO_LIMIT)
            height, width = photo.pixels.shape[:2]
            if min(height, width) < 240 or "invalid" in path.parts:
                continue
        except codecs.CodecError:
            continue
        after = cloaked(data)
        assert not outside(difference(data, after)).any(), path.name
        one, two = (Image.open(io.BytesIO(d)).getexif() for d in (data, after))
        assert dict(one) == dict(two), path.name
        checked += 1
    assert checked >= 3
