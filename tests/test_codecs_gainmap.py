"""An Ultra HDR photo stays one: its gain map is smooth under the cloak, as it was elsewhere, and
all that leads to it is right. Where there is no map any more nothing announces one."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import gainmap, mpf, segments
from photoveil.transforms.codecs.segments import APP1, APP2, Segment
from tests.test_codecs_mpf import opened, with_pictures

XMP = b"http://ns.adobe.com/xap/1.0/\0"
BOX = (slice(40, 120), slice(100, 180))  # of the photo, where it is changed
GAIN_MAP = 0
VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(2000)

HEAD = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description rdf:about=""'
TAIL = b"</rdf:Description></rdf:RDF></x:xmpmeta>"
NAMES = (
    b' xmlns:Container="http://ns.google.com/photos/1.0/container/"'
    b' xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
    b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
)
MOTION = (
    b' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"'
    b' GCamera:MotionPhotoPresentationTimestampUs="500" GCamera:MicroVideo="1"'
    b' GCamera:MicroVideoOffset="2024"'
)
OF_MAP = (
    b' hdrgm:Version="1.0" hdrgm:GainMapMin="0" hdrgm:GainMapMax="2" hdrgm:Gamma="1"'
    b' hdrgm:OffsetSDR="0.015625" hdrgm:OffsetHDR="0.015625" hdrgm:HDRCapacityMin="0"'
    b' hdrgm:HDRCapacityMax="2" hdrgm:BaseRenditionIsHDR="False"'
)


def item(semantic: bytes, mime: bytes = b"image/jpeg", length: int | None = None) -> bytes:
    more = b"" if length is None else b' Item:Length="%d"' % length
    return (
        b'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="%b" Item:Mime="%b"%b/>'
        b"</rdf:li>" % (semantic, mime, more)
    )


def directory(*items: bytes) -> bytes:
    return b"<Container:Directory><rdf:Seq>" + b"".join(items) + b"</rdf:Seq></Container:Directory>"


def saved(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", **{"quality": 92, **options})
    return out.getvalue()


def with_segment(data: bytes, segment: Segment) -> bytes:
    first, *rest = segments.split(data)[0]
    return segments.join([first, segment, *rest])


def a_map(image: Image.Image, **options: Any) -> bytes:
    """Its own segment says what it is."""
    small = image.convert("L").resize((image.width // 2, image.height // 2))
    packet = HEAD + NAMES + OF_MAP + b">" + TAIL
    return with_segment(saved(small, **options), Segment(APP1, XMP + packet))


def android(image: Image.Image, light: bytes, items: bytes, own: bytes = b"") -> bytes:
    """An Ultra HDR photo as Android writes it: listed in XMP and by MPF."""
    packet = HEAD + NAMES + b' hdrgm:Version="1.0"' + own + b">" + items + TAIL
    return with_pictures(
        with_segment(saved(image), Segment(APP1, XMP + packet)), [(GAIN_MAP, light)]
    )


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((96, 0, 416, 240))


def change(image: Image.Image) -> np.ndarray:
    added = np.zeros((image.height, image.width), np.float32)
    added[BOX] = 8
    return added


def packets(data: bytes) -> bytes:
    return b"".join(s.payload for s in segments.split(data)[0] if s.payload.startswith(XMP))


def behind(data: bytes) -> bytes:
    return data[segments.split(data)[1] :]


def levels(picture: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(picture)) as image:
        return np.asarray(image, np.float32)


def detail(pixels: np.ndarray) -> float:
    """Standard deviation, in levels, of what a paraboloid (six numbers) does not tell."""
    grey = pixels.reshape(*pixels.shape[:2], -1).mean(axis=2)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]].reshape(2, -1) / len(grey)
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    fitted = terms @ np.linalg.lstsq(terms, grey.ravel(), rcond=None)[0]
    return float((grey.ravel() - fitted).std())


def listed(data: bytes) -> list[bytes]:
    """The pictures of the MPF list, cut out of the file."""
    at = data.index(mpf.HEAD) + len(mpf.HEAD)
    order = {b"II": "<", b"MM": ">"}[data[at : at + 2]]
    count = struct.unpack_from(order + "H", data, at + 8)[0]
    for n in range(count):
        tag, _, size, place = struct.unpack_from(order + "HHII", data, at + 10 + 12 * n)
        if tag == 0xB002:
            entries = struct.iter_unpack(order + "IIIHH", data[at + place : at + place + size])
            spans = [(start and at + start, size) for _, size, start, _, _ in entries]
            return [data[start : start + size] for start, size in spans]
    raise AssertionError("no list of pictures")


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:0", "grey"])
@pytest.mark.parametrize("progressive", [False, True])
def test_map_is_smooth_under_the_cloak_and_as_it_was_elsewhere(
    subsampling: str, progressive: bool, portrait: Image.Image
) -> None:
    if subsampling == "grey":
        light = a_map(portrait, progressive=progressive)
    else:
        small = portrait.resize((160, 120))
        light = saved(small, subsampling=subsampling, progressive=progressive)
        packet = HEAD + NAMES + OF_MAP + b">" + TAIL
        light = with_segment(light, Segment(APP1, XMP + packet))
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    data = android(portrait, light, listing)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait)))
    assert coded.notes == ("gain map rebuilt",)
    first, second = listed(coded.data)
    assert first + second == coded.data
    assert segments.split(first)[1] == len(first)
    items = re.findall(
        rb'Item:Semantic="(\w+)" Item:Mime="image/jpeg"( Item:Length="\d+")?', coded.data
    )
    assert items == [(b"Primary", b""), (b"GainMap", b' Item:Length="%d"' % len(second))]
    old, new = segments.split(light)[0], segments.split(second)[0]
    for marker in (0xE1, 0xDB, 0xC0, 0xC2):  # metadata, tables, sampling
        assert [s for s in new if s.marker == marker] == [s for s in old if s.marker == marker]
    before, after = levels(light), levels(second)
    box = (slice(20, 60), slice(50, 90))
    assert detail(before[box]) > 15
    assert detail(after[box]) < 1.5
    far = np.ones(before.shape[:2], bool)
    far[0:88, 22:118] = False  # the box, a margin, a feather, and a block of 16
    assert np.array_equal(before[far], after[far])
    assert abs(before[box].mean() - after[box].mean()) < 20


def hdr(image: Image.Image) -> bytes:
    """As libultrahdr writes it: map of full size in colour, ISO 21496-1."""
    seen = np.asarray(image, np.float32) / 255
    linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
    light = linear.mean(axis=2, keepdims=True)
    pixels = np.concatenate([linear * (1 + 3 * light), np.ones_like(light)], axis=2)
    kinds = imagecodecs.ULTRAHDR
    return bytes(
        imagecodecs.ultrahdr_encode(
            pixels.astype(np.float16), 92, transfer=kinds.CT.LINEAR, gamut=kinds.CG.BT_709
        )
    )


def test_libultrahdr_reads_what_it_wrote_after_it_was_cloaked(portrait: Image.Image) -> None:
    data = hdr(portrait)
    before = imagecodecs.ultrahdr_decode(data)[..., :3].astype(np.float32)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait)))
    assert coded.notes == ("gain map rebuilt",)
    after = imagecodecs.ultrahdr_decode(coded.data)[..., :3].astype(np.float32)
    assert before.max() > 1.5  # brighter than paper white
    far = np.ones(before.shape[:2], bool)
    far[8:152, 68:212] = False
    assert np.abs(before - after)[far].max() < 0.002
    assert after.max() > 1.5
    maps = [listed(one)[1] for one in (data, coded.data)]
    inside = [detail(levels(one)[BOX]) for one in maps]
    assert inside[0] > 10 and inside[1] < 1.5
    announced = [s for s in segments.split(data)[0] if s.payload.startswith(gainmap.ISO)]
    assert announced
    assert [
        s for s in segments.split(coded.data)[0] if s.payload.startswith(gainmap.ISO)
    ] == announced


def test_libultrahdr_reads_androids_after_it_was_cloaked(portrait: Image.Image) -> None:
    light = a_map(portrait)
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    data = android(portrait, light, listing)
    before = imagecodecs.ultrahdr_decode(data)[..., :3].astype(np.float32)
    after = imagecodecs.ultrahdr_decode(
        codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait))).data
    )
    assert before.max() > 1.5 and after[..., :3].max() > 1.5


def test_map_that_xmp_alone_lists_is_found(portrait: Image.Image) -> None:
    """By Google's own description; with space between, in elements, with other prefixes."""
    light = saved(portrait.convert("L").resize((160, 120)))
    own = b"<C:Directory><rdf:Seq>"
    for semantic, length, padding in ((b"Primary", 0, 7), (b"GainMap", len(light), 5)):
        own += (
            b"<rdf:li rdf:parseType='Resource'><C:Item rdf:parseType='Resource'>"
            b"<I:Mime>image/jpeg</I:Mime><I:Semantic>%b</I:Semantic><I:Length>%d</I:Length>"
            b"<I:Padding>%d</I:Padding></C:Item></rdf:li>" % (semantic, length, padding)
        )
    names = NAMES.replace(b"xmlns:Container", b"xmlns:C").replace(b"xmlns:Item", b"xmlns:I")
    packet = HEAD + names + b' hdrgm:Version="1.0">' + own + b"</rdf:Seq></C:Directory>" + TAIL
    data = with_segment(saved(portrait), Segment(APP1, XMP + packet)) + bytes(7) + light + bytes(5)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait)))
    assert coded.notes == ("gain map rebuilt",)
    new = behind(coded.data)
    assert segments.split(new)[1] == len(new)
    assert packets(coded.data) == XMP + packet.replace(
        b"<I:Length>%d" % len(light), b"<I:Length>%d" % len(new)
    ).replace(b"<I:Padding>7", b"<I:Padding>0").replace(b"<I:Padding>5", b"<I:Padding>0")


def damaged(light: bytes) -> bytes:
    return light[: len(light) // 2] + bytes(len(light) // 2)


@pytest.mark.parametrize("why", ["not wanted", "damaged", "other proportions", "lossless"])
def test_nothing_announces_a_map_that_is_gone(why: str, portrait: Image.Image) -> None:
    light = a_map(portrait.crop((0, 0, 100, 240)) if why == "other proportions" else portrait)
    if why == "damaged":
        light = damaged(light)
    elif why == "lossless":
        light = light.replace(b"\xff\xc0", b"\xff\xc3", 1)
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    iso = Segment(APP2, gainmap.ISO + bytes(4))
    # The segments before MPF's stand before what it counts from.
    data = android(portrait, light, listing, b' dc:format="image/jpeg"')
    first, listed_at, *rest = segments.split(data)[0]
    data = segments.join([first, iso, listed_at, *rest]) + behind(data)
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(change(portrait)), rebuild_thumbnails=why != "not wanted"
    )
    assert behind(coded.data) == b""
    assert "metadata that announced removed parts removed" in coded.notes
    if why not in ("not wanted", "damaged"):
        assert any(note.startswith("gain map removed: ") for note in coded.notes)
    for mark in (b"hdrgm", b"hdr-gain-map", b"Directory", b"GainMap", gainmap.ISO, mpf.HEAD):
        assert mark not in coded.data
    plain = HEAD + NAMES[: NAMES.index(b" xmlns:hdrgm")] + b' dc:format="image/jpeg">' + TAIL
    assert packets(coded.data) == XMP + plain
    assert [one.size for one in opened(coded.data)] == [portrait.size]


def test_motion_photo_keeps_its_map_and_loses_its_video(portrait: Image.Image) -> None:
    light = a_map(portrait)
    video = item(b"MotionPhoto", b"video/mp4", len(VIDEO))
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)), video)
    data = android(portrait, light, listing, MOTION) + VIDEO
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait)))
    assert coded.notes == (
        "gain map rebuilt",
        "data after the end of the image removed",
        "metadata that announced removed parts removed",
    )
    new = listed(coded.data)[1]
    assert behind(coded.data) == new
    kept = directory(item(b"Primary"), item(b"GainMap", length=len(new)))
    packet = HEAD + NAMES + b' hdrgm:Version="1.0">' + kept + TAIL
    assert packets(coded.data) == XMP + packet
    still, notes = codecs.without_video(data)
    assert notes == ("embedded video removed",)
    assert behind(still) == light
    old = packet.replace(b'"%d"' % len(new), b'"%d"' % len(light))
    assert packets(still).rstrip(b" ") == XMP + old
    assert len(still) == len(data) - len(VIDEO)  # so that what the MPF list says stays true
    assert listed(still)[1] == light


def test_motion_photo_without_a_map_is_no_longer_announced(portrait: Image.Image) -> None:
    """Two video items of one kind, in elements and as attributes; a depth map of a burst."""
    own = (
        directory(
            item(b"Primary"),
            item(b"Depth", length=100),
            item(b"MotionPhoto", b"video/mp4", len(VIDEO)),
        )
        + b"<GCamera:MotionPhoto>1</GCamera:MotionPhoto><OpCamera:VideoLength/>"
    )
    packet = HEAD + NAMES[: NAMES.index(b" xmlns:hdrgm")] + MOTION + b' a:b="c">' + own + TAIL
    data = with_segment(saved(portrait), Segment(APP1, XMP + packet)) + bytes(100) + VIDEO
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait)))
    assert packets(coded.data) == XMP + HEAD + NAMES[: NAMES.index(b" xmlns:hdrgm")] + (
        b' a:b="c">' + TAIL
    )


def test_directory_that_is_still_true_stays(portrait: Image.Image) -> None:
    packet = HEAD + NAMES + b">" + directory(item(b"Primary")) + TAIL
    data = with_segment(saved(portrait), Segment(APP1, XMP + packet))
    for whole in (data, data + b"something"):
        assert packets(
            codecs.encode(whole, codecs.PhotoChange.of_levels(change(portrait))).data
        ) == XMP + packet.replace(
            b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"',
            b"" if whole != data else b' xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"',
        )


def test_turned_photo_has_its_map_smooth_in_the_right_place(portrait: Image.Image) -> None:
    light = a_map(portrait)
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = android(portrait, light, listing)
    data_parts, rest = segments.split(data)[0], behind(data)
    turned = Segment(APP1, b"Exif\0\0" + exif.tobytes()[6:])
    data = segments.join([turned, *data_parts]) + rest  # before MPF's: nothing moves that it counts
    seen = np.rot90(change(portrait), -1)
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(np.ascontiguousarray(seen)))
    assert coded.notes == ("gain map rebuilt",)
    new = levels(listed(coded.data)[1])
    assert detail(new[20:60, 50:90]) < 1.5
    assert np.array_equal(new[100:], levels(light)[100:])


def test_large_thumbnail_beside_a_map(portrait: Image.Image) -> None:
    light, small = a_map(portrait), saved(portrait.resize((200, 150)))
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    packet = HEAD + NAMES + b' hdrgm:Version="1.0">' + listing + TAIL
    photo = with_segment(saved(portrait), Segment(APP1, XMP + packet))
    data = with_pictures(photo, [(GAIN_MAP, light), (0x010002, small)])
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change(portrait)))
    assert coded.notes == ("gain map rebuilt", "preview pictures rebuilt")
    first, second, third = listed(coded.data)
    assert first + second + third == coded.data
    assert b'Item:Length="%d"' % len(second) in first
    assert [levels(one).shape[:2] for one in (first, second, third)] == [
        (240, 320),
        (120, 160),
        (150, 200),
    ]


def test_photo_alone_keeps_its_pixels_and_announces_no_map(portrait: Image.Image) -> None:
    """Where another picture has to go, the map goes, too: it may be the one that shows somebody."""
    light = a_map(portrait)
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    data = android(portrait, light, listing)
    for rebuild in (True, False):
        alone = codecs.alone(data, rebuild)
        assert behind(alone.data) == b""
        for mark in (b"hdrgm", b"hdr-gain-map", b"Directory", b"GainMap", mpf.HEAD):
            assert mark not in alone.data
        old, new = (codecs.decode(one, 10**9).pixels for one in (data, alone.data))
        np.testing.assert_array_equal(old, new)


def test_map_that_is_not_quite_as_it_should_be_is_rebuilt(portrait: Image.Image) -> None:
    """Without end marker, and with a picture between its segments, as decoders read it."""
    light = a_map(portrait)
    first, *rest = segments.split(light)[0]
    hidden_there = saved(portrait.reduce(4), quality=50).replace(b"\xff", b"\xfe")
    odd = segments.join([first, Segment(segments.STRAY, hidden_there), *rest])[:-2]
    listing = directory(item(b"Primary"), item(b"GainMap", length=len(odd)))
    coded = codecs.encode(
        android(portrait, odd, listing), codecs.PhotoChange.of_levels(change(portrait))
    )
    assert coded.notes == ("gain map rebuilt",)
    plain = directory(item(b"Primary"), item(b"GainMap", length=len(light)))
    clean = codecs.encode(
        android(portrait, light, plain), codecs.PhotoChange.of_levels(change(portrait))
    )
    assert behind(coded.data) == behind(clean.data)
