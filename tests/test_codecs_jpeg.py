"""JPEG: what the cloak changes, and all that it must not."""

from __future__ import annotations

import hashlib
import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import jpegio
import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from photoveil.transforms import codecs
from photoveil.transforms.codecs import segments
from photoveil.transforms.codecs.segments import APP0, APP1, APP2, APP13, APP14, COM, Segment

LEVEL = 40.0
SAMPLING = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}
PHOTOSHOP = b"Photoshop 3.0\0"
XMP = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP = b"http://ns.adobe.com/xmp/extension/\0"


@pytest.fixture(scope="session")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((150, 20, 311, 165))  # 161 x 145: odd both ways


def saved(image: Image.Image, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 90, **options})
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def stored(data: bytes) -> np.ndarray:
    return np.asarray(opened(data)).astype(int)


def local_change(data: bytes, level: float = LEVEL) -> np.ndarray:
    """A rectangle off the block grid, upright."""
    height, width = codecs.decode(data, 10**9).pixels.shape[:2]
    change = np.zeros((height, width), np.float32)
    change[height // 3 : height // 2, width // 4 : width // 2 + 3] = level
    return change


def in_changed_blocks(change: np.ndarray) -> np.ndarray:
    """Where the 8 x 8 blocks of `change` (stored orientation) are not all zero."""
    height, width = change.shape
    padded = np.pad(change, [(0, -height % 8), (0, -width % 8)])
    blocks = padded.reshape(len(padded) // 8, 8, -1, 8).any(axis=(1, 3))
    return np.kron(blocks, np.ones((8, 8), bool))[:height, :width].astype(bool)


def with_segments(data: bytes, *extra: Segment) -> bytes:
    original, _ = segments.split(data)
    first = 1 if original[0].marker == APP0 else 0
    return segments.join([*original[:first], *extra, *original[first:]])


def metadata(data: bytes) -> list[Segment]:
    return [segment for segment in segments.split(data)[0] if segment.is_metadata]


def resource(number: int, body: bytes) -> bytes:
    head = b"8BIM" + number.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(4, "big")
    return head + body + b"\0" * (len(body) % 2)


@pytest.fixture(scope="session")
def picture(portrait: Image.Image) -> bytes:
    """A small JPEG of the uncloaked photo, as files hide them."""
    return saved(portrait.resize((40, 36)), quality=60)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(161, 145), (160, 144), (17, 9), (8, 8), (1, 1)])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "grey"])
def test_only_the_changed_blocks_differ(
    subsampling: str, size: tuple[int, int], progressive: bool, portrait: Image.Image
) -> None:
    image = portrait.crop((0, 0, *size))
    if subsampling == "grey":
        data = saved(image.convert("L"), progressive=progressive)
    else:
        data = saved(image, progressive=progressive, subsampling=SAMPLING[subsampling])
    change = local_change(data)
    change[0, 0] = LEVEL  # the smallest sizes have no third of their height
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    inside = in_changed_blocks(change)
    before, after = stored(data), stored(coded)
    np.testing.assert_array_equal(before[~inside], after[~inside])
    assert (before[inside] != after[inside]).any()


@pytest.mark.parametrize("subsampling", SAMPLING)
def test_a_change_does_the_same_wherever_the_others_lie(
    subsampling: str, portrait: Image.Image, tmp_path: Path
) -> None:
    """In each corner and in the middle, alone and all at once, whatever blocks lie beyond it."""
    data = saved(portrait, subsampling=SAMPLING[subsampling])
    places = [np.s_[:3, :3], np.s_[:2, -1:], np.s_[-1:, :5], np.s_[-9:, -2:], np.s_[70:80, 60:75]]

    def coded(*where: Any) -> list[np.ndarray]:
        change = np.zeros((portrait.height, portrait.width), np.float32)
        for place in where:
            change[place] = LEVEL
        (tmp_path / "one.jpg").write_bytes(
            codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
        )
        return [np.array(plane) for plane in jpegio.read(tmp_path / "one.jpg").coef_arrays]

    before, expected = coded(), coded()
    for place in places:
        alone = coded(place)
        assert any((one != plane).any() for one, plane in zip(alone, before, strict=True))
        for result, one, plane in zip(expected, alone, before, strict=True):
            result[one != plane] = one[one != plane]
    for one, result in zip(coded(*places), expected, strict=True):
        np.testing.assert_array_equal(one, result)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", SAMPLING)
def test_chroma_tables_sampling_and_mode_stay(
    subsampling: str, progressive: bool, portrait: Image.Image, tmp_path: Path
) -> None:
    data = saved(portrait, quality=83, progressive=progressive, subsampling=subsampling)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data))).data
    before, after = opened(data), opened(coded)
    assert isinstance(before, JpegImagePlugin.JpegImageFile)
    assert isinstance(after, JpegImagePlugin.JpegImageFile)
    assert after.quantization == before.quantization
    assert JpegImagePlugin.get_sampling(after) == JpegImagePlugin.get_sampling(before)
    assert after.info.get("progressive") == before.info.get("progressive")
    (tmp_path / "before.jpg").write_bytes(data)
    (tmp_path / "after.jpg").write_bytes(coded)
    old, new = (jpegio.read(tmp_path / f"{name}.jpg") for name in ("before", "after"))
    for number in (1, 2):
        np.testing.assert_array_equal(new.coef_arrays[number], old.coef_arrays[number])


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_change_arrives_at_its_size(mode: str, portrait: Image.Image) -> None:
    data = saved(portrait.convert(mode).point(lambda level: level // 2 + 40), quality=95)
    change = local_change(data)
    difference = stored(codecs.encode(data, codecs.PhotoChange.of_levels(change)).data) - stored(
        data
    )
    assert difference[change > 0].mean() == pytest.approx(LEVEL, abs=0.5)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_no_change_gives_identical_pixels(mode: str, portrait: Image.Image) -> None:
    data = saved(portrait.convert(mode))
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(np.zeros(portrait.size[::-1], np.float32))
    ).data
    np.testing.assert_array_equal(stored(coded), stored(data))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_change_lands_where_it_was_seen(orientation: int, portrait: Image.Image) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    data = saved(portrait.point(lambda level: level // 2 + 40), exif=tags)
    before = codecs.decode(data, 10**9)
    height, width = before.pixels.shape[:2]
    change = np.zeros((height, width), np.float32)
    change[: height // 3, : width // 4] = LEVEL  # the seen top left corner
    after = codecs.decode(codecs.encode(data, codecs.PhotoChange.of_levels(change)).data, 10**9)
    assert after.orientation == before.orientation == orientation
    difference = (after.pixels.astype(int) - before.pixels).mean(axis=2)
    assert difference[change > 0].mean() == pytest.approx(LEVEL, abs=1)
    assert not difference[height // 3 + 8 :].any()
    assert not difference[:, width // 4 + 8 :].any()


def restarts(data: bytes) -> list[tuple[int, int]]:
    """The restart interval of each scan, and how many restart markers it has."""
    interval, scans = 0, []
    for part in segments.split(data)[0]:
        if part.marker == 0xDD:
            interval = int.from_bytes(part.payload, "big")
        elif part.marker == segments.SOS:
            scans.append((interval, len(re.findall(rb"\xff[\xd0-\xd7]", part.scan))))
    return scans


@pytest.mark.parametrize("interval", [1, 3, 500])  # the last one is more than there are MCUs
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kind", ["4:4:4", "4:2:0", "grey", "CMYK"])
def test_restart_markers_stay(
    kind: str, progressive: bool, interval: int, portrait: Image.Image
) -> None:
    options: dict[str, Any] = {"progressive": progressive, "restart_marker_blocks": interval}
    if kind in SAMPLING:
        data = saved(portrait, subsampling=kind, **options)
    else:
        data = saved(portrait.convert("L" if kind == "grey" else kind), **options)
    change = local_change(data)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    assert restarts(data)[0][0] == interval
    assert restarts(coded) == restarts(data)
    assert bool(opened(coded).info.get("progressive")) == progressive
    inside = in_changed_blocks(change)
    np.testing.assert_array_equal(stored(data)[~inside], stored(coded)[~inside])


@pytest.mark.parametrize("kind", ["4:2:0", "4:4:4", "grey", "CMYK"])
def test_restart_markers_in_rows_stay_in_every_scan(kind: str, portrait: Image.Image) -> None:
    options: dict[str, Any] = {"progressive": True, "restart_marker_rows": 2}
    if kind in SAMPLING:
        data = saved(portrait, subsampling=kind, **options)
    else:
        data = saved(portrait.convert("L" if kind == "grey" else kind), **options)
    change = local_change(data)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    assert restarts(coded) == restarts(data)
    inside = in_changed_blocks(change)
    np.testing.assert_array_equal(stored(data)[~inside], stored(coded)[~inside])


def test_restart_markers_help_a_damaged_file(portrait: Image.Image) -> None:
    """What they are for: only the interval that is damaged is lost."""
    data = saved(portrait, restart_marker_rows=1)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data))).data
    start = coded.index(b"\xff\xd3") + 2
    broken = coded[:start] + bytes(8) + coded[start + 8 :]
    rows = np.flatnonzero((stored(broken) != stored(coded)).any(axis=(1, 2)))
    assert 0 < len(rows) <= 18  # one row of 16 pixels, and what smooths its colours


def test_metadata_stays_byte_for_byte(portrait: Image.Image, picture: bytes) -> None:
    tags = Image.Exif()
    tags[0x010F], tags[0xEA1C] = "Maker", b"padding of an unknown tag"
    icc = b"ICC_PROFILE\0\1\1" + b"profile \xff\xd8\xff that looks like a picture"
    extra = (
        Segment(APP1, b"Exif\0\0" + tags.tobytes()[6:]),
        Segment(APP1, XMP + b"<x:xmpmeta>plain</x:xmpmeta>"),
        Segment(APP1, EXTENDED_XMP + b"0" * 32 + bytes(8) + b"<rdf:li>history</rdf:li>"),
        Segment(APP2, icc),
        Segment(APP13, PHOTOSHOP + resource(0x0404, b"caption")),
        Segment(0xEC, b"Ducky\0\1"),
        Segment(0xE5, b"a maker's own"),
        Segment(COM, "Grüße".encode()),
    )
    data = with_segments(saved(portrait, dpi=(300, 300)), *extra)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data)))
    assert metadata(coded.data) == metadata(data)
    assert coded.notes == ()


DROPPED = "dropped"


@pytest.mark.parametrize(
    ("marker", "head", "tail", "kept", "note"),
    [
        (APP0, b"JFXX\0\x10", b"", DROPPED, "JFIF thumbnail removed"),
        (APP2, b"MPF\0", b"", DROPPED, "preview pictures removed"),
        (0xEB, b"JP\0\1", b"", DROPPED, "picture in APP11 removed"),
        (COM, b"", b"", DROPPED, "picture in a comment removed"),
        (
            APP13,
            PHOTOSHOP + resource(0x0404, b"caption"),
            resource(0x03ED, b"300 dpi"),
            PHOTOSHOP + resource(0x0404, b"caption") + resource(0x03ED, b"300 dpi"),
            "Photoshop thumbnail removed",
        ),
    ],
)
def test_hidden_picture_is_removed(
    marker: int,
    head: bytes,
    tail: bytes,
    kept: bytes | str,
    note: str,
    portrait: Image.Image,
    picture: bytes,
) -> None:
    body = resource(0x040C, bytes(28) + picture) if marker == APP13 else picture
    data = with_segments(saved(portrait), Segment(marker, head + body + tail))
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(local_change(data)), rebuild_thumbnails=False
    )
    expected = [] if kept is DROPPED else [Segment(marker, bytes(kept))]  # type: ignore[arg-type]
    assert metadata(coded.data)[1:] == expected
    assert coded.notes == (note,)
    assert coded.data.count(b"\xff\xd8\xff") == 1


def test_jfif_thumbnail_is_removed_and_the_density_stays(portrait: Image.Image) -> None:
    original, _ = segments.split(saved(portrait, dpi=(300, 300)))
    jfif = original[0].payload
    thumbnail = np.asarray(portrait.resize((10, 9))).tobytes()
    data = segments.join([Segment(APP0, jfif[:12] + bytes((10, 9)) + thumbnail), *original[1:]])
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data)))
    assert metadata(coded.data)[0].payload == jfif
    assert coded.notes == ("JFIF thumbnail removed",)


def test_picture_over_several_segments_goes_whole(portrait: Image.Image, picture: bytes) -> None:
    half = len(picture) // 2
    parts = (Segment(0xEB, b"1" + picture[:half]), Segment(0xEB, b"2" + picture[half:]))
    other = Segment(0xE4, b"no picture")
    data = with_segments(saved(portrait), *parts, other)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data)))
    assert metadata(coded.data)[1:] == [other]


def test_photoshop_thumbnail_is_rebuilt(portrait: Image.Image) -> None:
    caption, small = resource(0x0404, b"caption"), portrait.reduce(3)
    old = saved(small, quality=90)
    head = struct.pack(">6IHH", 1, *small.size, 0, 0, len(old), 24, 1)
    block = PHOTOSHOP + resource(0x040C, head + old) + caption
    data = with_segments(saved(portrait), Segment(APP13, block))
    coded = codecs.encode(
        data,
        codecs.PhotoChange.of_levels(np.full((portrait.height, portrait.width), 30, np.float32)),
    )
    (payload,) = (s.payload for s in metadata(coded.data) if s.marker == APP13)
    start = len(PHOTOSHOP) + 12
    size = struct.unpack_from(">I", payload, start + 20)[0]
    new = payload[start + 28 : start + 28 + size]
    body = (payload[start : start + 28] + new).ljust(28 + len(old), b"\0")
    assert payload == PHOTOSHOP + resource(0x040C, body) + caption
    assert coded.notes == ("Photoshop thumbnail rebuilt",)
    with Image.open(io.BytesIO(new)) as thumbnail:
        lighter = np.asarray(thumbnail, np.float32).mean() - np.asarray(small, np.float32).mean()
        assert thumbnail.size == small.size and lighter > 10


def test_photoshop_thumbnail_over_two_segments_goes_whole(
    portrait: Image.Image, picture: bytes
) -> None:
    caption, path = resource(0x0404, b"caption"), resource(0x07D0, bytes(70_000))
    block = path + resource(0x040C, bytes(28) + picture) + caption
    cut = len(path) + 200  # in the midst of the thumbnail
    parts = [Segment(APP13, PHOTOSHOP + part) for part in (block[:60_000], block[60_000:cut])]
    parts.append(Segment(APP13, PHOTOSHOP + block[cut:]))
    data = with_segments(saved(portrait), *parts)
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(local_change(data)), rebuild_thumbnails=False
    )
    kept = [s.payload[len(PHOTOSHOP) :] for s in metadata(coded.data) if s.marker == APP13]
    assert b"".join(kept) == path + caption
    assert coded.notes == ("Photoshop thumbnail removed",)


BASE64 = b"/9j/4AAQSkZJRgABAQ&#xA;AAAQABAAD/"


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"<a><xmpGImg:image>%b</xmpGImg:image></a>", b"<a><xmpGImg:image></xmpGImg:image></a>"),
        (b'<a xmpGImg:image="%b" b="c"/>', b'<a xmpGImg:image="" b="c"/>'),
        (b"<a xmpGImg:image='%b' b='c'/>", b"<a xmpGImg:image='' b='c'/>"),
        (b'<a GImage:Data="%b" b="c"/>', b'<a b="c"/>'),
        (b"<b>\n <GDepth:Image>\n%b\n</GDepth:Image>\n</b>", b"<b>\n</b>"),
        (
            b'<a GDepth:Format="RangeLinear" GDepth:Model="M"><GDepth:Data>%b</GDepth:Data></a>',
            b'<a GDepth:Model="M"></a>',
        ),
        (
            b"<a>\n <xmp:Thumbnails><rdf:Alt><rdf:li xmpGImg:image='%b'/></rdf:Alt>"
            b"</xmp:Thumbnails>\n</a>",
            b"<a>\n</a>",
        ),
    ],
)
def test_xmp_pictures_are_emptied(packet: bytes, expected: bytes, portrait: Image.Image) -> None:
    data = with_segments(saved(portrait), Segment(APP1, XMP + packet % BASE64))
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data)))
    assert metadata(coded.data)[1].payload == XMP + expected
    assert coded.notes == ("XMP thumbnail removed",)


def test_extended_xmp_keeps_all_but_its_pictures(portrait: Image.Image) -> None:
    text = b'<rdf:Description GDepth:Data="' + BASE64 * 3000 + b'" note="' + b"n " * 40_000 + b'"/>'
    guid = hashlib.md5(text).hexdigest().upper().encode()
    parts = [
        Segment(
            APP1,
            EXTENDED_XMP
            + guid
            + struct.pack(">II", len(text), start)
            + text[start : start + 65_000],
        )
        for start in range(0, len(text), 65_000)  # the name that gives it away may be cut in two
    ]
    main = Segment(APP1, XMP + b'<a GDepth:Near="1" xmpNote:HasExtendedXMP="' + guid + b'"/>')
    coded = codecs.encode(
        with_segments(saved(portrait), main, *parts),
        codecs.PhotoChange.of_levels(np.zeros((145, 161), "f4")),
    )
    after = metadata(coded.data)
    new = [s.payload[len(EXTENDED_XMP) :] for s in after if s.payload.startswith(EXTENDED_XMP)]
    packet = b"".join(part[40:] for part in new)
    assert coded.notes == ("pictures in extended XMP removed",)
    assert packet == b'<rdf:Description note="' + b"n " * 40_000 + b'"/>'
    assert {part[:32] for part in new} == {hashlib.md5(packet).hexdigest().upper().encode()}
    assert [struct.unpack(">II", part[32:40]) for part in new] == [
        (len(packet), 0),
        (len(packet), len(new[0]) - 40),
    ]
    # The main packet finds it, and tells of no depth map.
    assert after[1].payload == XMP + b'<a xmpNote:HasExtendedXMP="' + new[0][:32] + b'"/>'


def test_data_after_the_end_is_removed(portrait: Image.Image) -> None:
    data = saved(portrait)
    coded = codecs.encode(
        data + b"\0\0\0\x18ftypmp42 a motion photo",
        codecs.PhotoChange.of_levels(local_change(data)),
    )
    assert coded.notes == ("data after the end of the image removed",)
    assert segments.split(coded.data)[1] == len(coded.data)
    assert b"ftyp" not in coded.data


def test_padding_after_the_end_is_not_worth_a_note(portrait: Image.Image) -> None:
    data = saved(portrait)
    assert (
        codecs.encode(data + bytes(64), codecs.PhotoChange.of_levels(local_change(data))).notes
        == ()
    )


def test_second_picture_of_an_mpo_is_removed(portrait: Image.Image) -> None:
    out = io.BytesIO()
    portrait.save(out, "MPO", save_all=True, append_images=[portrait])
    data = out.getvalue()
    assert getattr(opened(data), "n_frames", 1) == 2
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data)))
    assert opened(coded.data).format == "JPEG"
    assert "preview pictures removed" in coded.notes
    assert coded.data.count(b"\xff\xd8\xff") == 1


def without_luminance(kind: str, image: Image.Image, progressive: bool) -> bytes:
    options: dict[str, Any] = {"quality": 95, "progressive": progressive}
    if kind == "YCCK":
        inks = 255 - np.asarray(image.convert("CMYK"))
        coded = imagecodecs.jpeg8_encode(inks, 95, colorspace="CMYK", outcolorspace="YCCK")
        return bytes(coded)
    if kind == "CMYK":
        return saved(image.convert("CMYK"), **options)
    data = saved(image, keep_rgb=True, subsampling=0, **options)
    parts = [s for s in segments.split(data)[0] if kind == "RGB" or s.marker != APP14]
    return segments.join(parts)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("kind", ["CMYK", "YCCK", "RGB", "RGB by component ids"])
def test_colour_spaces_without_luminance_differ_in_the_changed_blocks_alone(
    kind: str, progressive: bool, portrait: Image.Image
) -> None:
    data = without_luminance(
        kind, portrait.point(lambda level: level // 2 + 40), progressive and kind != "YCCK"
    )
    change = local_change(data)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    before, after = opened(data), opened(coded)
    assert isinstance(before, JpegImagePlugin.JpegImageFile)
    assert isinstance(after, JpegImagePlugin.JpegImageFile)
    assert after.mode == before.mode
    assert after.quantization == before.quantization
    assert after.layer == before.layer
    assert metadata(coded) == metadata(data)
    inside = in_changed_blocks(change)
    np.testing.assert_array_equal(stored(data)[~inside], stored(coded)[~inside])
    old, new = (codecs.decode(part, 10**9).pixels.astype(int) for part in (data, coded))
    assert (new - old)[change > 0].mean() == pytest.approx(LEVEL, abs=2)


def test_table_that_no_component_uses_is_kept(portrait: Image.Image) -> None:
    spare = Segment(0xDB, b"\3" + bytes(range(1, 65)))
    parts = segments.split(saved(portrait))[0]
    data = segments.join([*parts[:1], spare, *parts[1:]])
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data))).data
    tables = [[s for s in segments.split(one)[0] if s.marker == 0xDB] for one in (data, coded)]
    assert tables[0] == tables[1]


@pytest.mark.parametrize("transform", [0, 1])
def test_jfif_outweighs_adobe(transform: int, portrait: Image.Image) -> None:
    adobe = Segment(APP14, b"Adobe" + struct.pack(">HHHB", 100, 0, 0, transform))
    data = with_segments(saved(portrait), adobe)
    change = local_change(data)
    inside = in_changed_blocks(change)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    np.testing.assert_array_equal(stored(data)[~inside], stored(coded)[~inside])


@pytest.mark.parametrize("progressive", [False, True])
def test_arithmetic_coding_stays(progressive: bool, portrait: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(saved(portrait))
    photo = jpegio.read(path)
    photo.arith_code, photo.progressive_mode = True, progressive
    photo.write(path)
    data = path.read_bytes()
    change = local_change(data)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change)).data
    frames = [{s.marker for s in segments.split(one)[0]} & {0xC9, 0xCA} for one in (data, coded)]
    assert frames[0] == frames[1] == {0xCA if progressive else 0xC9}
    inside = in_changed_blocks(change)
    np.testing.assert_array_equal(stored(data)[~inside], stored(coded)[~inside])
    assert (stored(data)[inside] != stored(coded)[inside]).any()


def test_lossless_coding_is_unsupported(portrait: Image.Image) -> None:
    data = bytes(imagecodecs.ljpeg_encode(np.asarray(portrait.convert("L"))))
    with pytest.raises(codecs.UnsupportedFormat, match="lossless"):
        codecs.encode(data, codecs.PhotoChange.of_levels(np.ones(portrait.size[::-1], np.float32)))


@pytest.mark.parametrize("part", [0.01, 0.1, 0.5, 0.99])
def test_cut_off_jpeg_is_a_codec_error(part: float, portrait: Image.Image) -> None:
    data = saved(portrait)
    cut = data[: int(len(data) * part)]
    with pytest.raises(codecs.CodecError):
        codecs.decode(cut, 10**9)
    with pytest.raises(codecs.CodecError):
        codecs.encode(cut, codecs.PhotoChange.of_levels(local_change(data)))


def test_other_formats_are_unsupported() -> None:
    with pytest.raises(codecs.UnsupportedFormat):
        codecs.decode(b"8BPS\0\1", 10**9)


def test_split_and_join_are_inverse(demo_photo: Callable[[str], Path]) -> None:
    data = demo_photo("obama.jpg").read_bytes()
    parts, end = segments.split(data)
    assert segments.join(parts) == data[:end]


@pytest.mark.parametrize("progressive", [False, True])
def test_component_ids_sampling_and_tables_are_named_as_in_the_original(
    portrait: Image.Image, progressive: bool
) -> None:
    data = saved(portrait, subsampling="4:2:0", progressive=progressive)
    one, two = (
        opened(data),
        opened(codecs.encode(data, codecs.PhotoChange.of_levels(local_change(data))).data),
    )
    assert isinstance(one, JpegImagePlugin.JpegImageFile)
    assert isinstance(two, JpegImagePlugin.JpegImageFile)
    assert [part[0] for part in one.layer] == [1, 2, 3]  # what JFIF asks for
    assert two.layer == one.layer
