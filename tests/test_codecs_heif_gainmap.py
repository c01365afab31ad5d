"""A HEIC with Apple's gain map stays one: the map is smooth under the cloak and where it was."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import bmff, heif
from photoveil.transforms.codecs.bmff import Group, Item, Property, Reference
from photoveil.transforms.leaks.embedded_images import hidden
from tests.test_codecs_gainmap import detail

pillow_heif = pytest.importorskip("pillow_heif")

TYPE = b"urn:com:apple:photo:2020:aux:hdrgainmap\0"
PACKET = b'<x:xmpmeta><rdf:RDF><a HDRGainMap:HDRGainMapVersion="65536"/></rdf:RDF></x:xmpmeta>'
TURNED = Property(struct.pack(">I4sB", 9, b"irot", 3), True)


@pytest.fixture(scope="module")
def portrait(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("astronaut.png")) as image:
        return image.convert("RGB").crop((96, 0, 416, 240))


def encoded(image: Image.Image, tile_size: int) -> bmff.HeifFile:
    out = io.BytesIO()
    pixels, mode = np.asarray(image), "L" if image.mode == "L" else "RGB"
    pillow_heif.encode(mode, image.size, pixels.tobytes(), out, quality=80, tile_size=tile_size)
    return bmff.parse(out.getvalue())


def iphone(
    image: Image.Image, light: Image.Image, tile_size: int = 0, turned: bool = False
) -> bytes:
    """A photo and its map, of tiles or in one piece, with a packet that describes the map."""
    main, second = encoded(image, 0), encoded(light.convert("L"), tile_size)
    first = max(main.items) + 1
    names = {old: first + n for n, old in enumerate(sorted(second.items))}
    number, packet = names[second.primary], first + len(names)
    box = struct.pack(">I4sI", 12 + len(TYPE), b"auxC", 0) + TYPE
    items = {**main.items, **{names[old]: item for old, item in second.items.items()}}
    items[number] = replace(
        items[number], properties=(*items[number].properties, Property(box, True)), hidden=True
    )
    items[packet] = Item(b"mime", b"\0application/rdf+xml\0", PACKET, (), True)
    if turned:
        for one in (main.primary, number):
            items[one] = replace(items[one], properties=(*items[one].properties, TURNED))
    tiles = [
        Reference(r.kind, names[r.source], tuple(names[t] for t in r.targets))
        for r in second.references
    ]
    links = [Reference(b"auxl", number, (main.primary,)), Reference(b"cdsc", packet, (number,))]
    references = (*main.references, *tiles, *links)
    return bmff.build(bmff.HeifFile(main.ftyp, main.primary, items, references, main.handler))


# ISO 21496-1: a version, no flags but one, headrooms, and what to compute with, as fractions.
TONE_MAP = bytes(5) + b"\x40" + struct.pack(">14I", 0, 1, 2, 1, 0, 1, 2, 1, 1, 1, 1, 64, 1, 64)


def joined(image: Image.Image, light: Image.Image, kind: str) -> bytes:
    """As ISO 21496-1 has it: an item that joins photo and map, instead of which a reader that does
    not know of it shows the photo."""
    files = [bmff.parse(saved(one, kind)) for one in (image, light)]
    main, second = files
    number = max(main.items) + 1
    join = number + 1
    shown = tuple(p for p in main.items[main.primary].properties if p.kind in (b"ispe", b"pixi"))
    items = {
        **main.items,
        number: replace(second.items[second.primary], hidden=True),
        join: Item(b"tmap", b"\0", TONE_MAP, shown),
    }
    links = (*main.references, Reference(b"dimg", join, (main.primary, number)))
    groups = (Group(b"altr", join + 1, (join, main.primary)),)
    ftyp = struct.pack(">I", len(main.ftyp) + 4) + main.ftyp[4:] + b"tmap"
    return bmff.build(bmff.HeifFile(ftyp, main.primary, items, links, main.handler, groups=groups))


def saved(image: Image.Image, kind: str) -> bytes:
    pillow_heif.register_heif_opener()
    out = io.BytesIO()
    image.save(out, kind, quality=80)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_item_that_joins_photo_and_map_stays(kind: str, portrait: Image.Image) -> None:
    data = joined(portrait, portrait.convert("L").resize((160, 120)), kind)
    change = np.zeros((240, 320), np.float32)
    change[60:140, 100:180] = 8
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert coded.notes == ("gain map rebuilt",)
    files = bmff.parse(data), bmff.parse(coded.data)
    maps = []
    for file in files:
        ((join, item),) = ((n, one) for n, one in file.items.items() if one.kind == b"tmap")
        assert item.data == TONE_MAP
        (targets,) = (r.targets for r in file.references if r.source == join)
        base, number = targets
        assert base == file.primary and file.items[number].hidden
        (group,) = file.groups
        assert (group.kind, group.members) == (b"altr", (join, base))
        assert group.number not in file.items
        alone = replace(file.items[number], hidden=False)
        ftyp = file.ftyp.replace(b"tmap", b"mif1")
        maps.append(bmff.HeifFile(ftyp, 1, {1: alone}, (), file.handler))
    before, after = (codecs.decode(bmff.build(one), 10**9).pixels.astype(float) for one in maps)
    assert before.shape == after.shape
    assert detail(before[30:70, 50:90]) > 10 > 2 > detail(after[30:70, 50:90])
    assert np.abs(before - after)[:, 120:].mean() < 3
    assert files[0].ftyp == files[1].ftyp
    # libheif and libavif, which looks into the joining item, show the photo.
    assert codecs.decode(coded.data, 10**9).pixels.shape == (240, 320, 3)
    plain = codecs.encode(data, codecs.PhotoChange.of_levels(change), rebuild_thumbnails=False)
    left = bmff.parse(plain.data)
    assert not left.groups and b"tmap" not in plain.data
    assert set(left.items) == left.derived_from(left.primary)


@pytest.mark.parametrize("kind", ["HEIF", "AVIF"])
def test_joined_map_can_be_looked_at_and_goes_from_a_photo_alone(
    kind: str, portrait: Image.Image
) -> None:
    data = joined(portrait, portrait.convert("L").resize((160, 120)), kind)
    found = [one.pixels for one in hidden(data)]
    assert [one.shape for one in found if one is not None] == [(120, 160, 3)] and len(found) == 1
    alone = codecs.alone(data)
    left = bmff.parse(alone.data)
    assert not left.groups and b"tmap" not in alone.data
    assert set(left.items) == left.derived_from(left.primary)
    assert hidden(alone.data) == []
    old, new = (codecs.decode(one, 10**9).pixels for one in (data, alone.data))
    np.testing.assert_array_equal(old, new)


def map_of(data: bytes) -> np.ndarray:
    """As libheif finds it."""
    file = pillow_heif.open_heif(io.BytesIO(data))
    ((number,),) = file.info["aux"].values()
    return np.asarray(file.get_aux_image(number).to_pillow(), np.float32)


@pytest.mark.parametrize(("tile_size", "turned"), [(0, False), (0, True), (128, False)])
def test_map_is_smooth_under_the_cloak(tile_size: int, turned: bool, portrait: Image.Image) -> None:
    light = portrait.resize((256, 192))
    data = iphone(portrait, light, tile_size, turned)
    seen = codecs.decode(data, 10**9).pixels
    height, width = seen.shape[:2]
    change = np.zeros((height, width), np.float32)
    place = (slice(height // 4, height // 2), slice(width // 3, width * 2 // 3))
    change[place] = 8
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert coded.notes == ("gain map rebuilt",)
    before, after = map_of(data), map_of(coded.data)
    assert before.shape == after.shape
    scale = before.shape[0] / height
    where = tuple(slice(round(p.start * scale), round(p.stop * scale)) for p in place)
    assert detail(before[where]) > 10
    assert detail(after[where]) < 2
    far = np.ones(before.shape, bool)
    side = max(p.stop - p.start for p in where) // 3 + 4
    far[tuple(slice(max(0, p.start - side), p.stop + side) for p in where)] = False
    assert np.abs(before - after)[far].mean() < 3
    file = bmff.parse(coded.data)
    (packet,) = (n for n, item in file.items.items() if item.kind == b"mime")
    (about,) = (r.targets for r in file.references if r.source == packet)
    (link,) = (r for r in file.references if r.kind == b"auxl")
    assert about == (link.source,) and link.targets == (file.primary,)
    assert file.items[packet].data == PACKET and file.items[link.source].hidden


@pytest.mark.parametrize("why", ["not wanted", "other proportions", "damaged"])
def test_what_announces_a_map_goes_with_it(why: str, portrait: Image.Image) -> None:
    light = portrait.resize((100, 192) if why == "other proportions" else (256, 192))
    data = iphone(portrait, light)
    if why == "damaged":
        file = bmff.parse(data)
        (link,) = (r for r in file.references if r.kind == b"auxl")
        broken = replace(file.items[link.source], data=b"no picture at all")
        data = bmff.build(replace(file, items={**file.items, link.source: broken}))
    change = np.zeros((240, 320), np.float32)
    change[60:120, 100:200] = 8
    coded = codecs.encode(
        data, codecs.PhotoChange.of_levels(change), rebuild_thumbnails=why != "not wanted"
    )
    assert "auxiliary picture removed" in coded.notes
    assert len(coded.notes) == (1 if why == "not wanted" else 2)
    assert TYPE not in coded.data and PACKET not in coded.data


def test_brand_and_content_credentials_go(portrait: Image.Image) -> None:
    main = encoded(portrait, 0)
    store = bytes.fromhex("d8fec3d61b0e483c92975828877ec481") + b"a manifest of what was"
    box = struct.pack(">I4s", 8 + len(store), b"uuid") + store
    ftyp = struct.pack(">I", len(main.ftyp) + 4) + main.ftyp[4:] + b"tmap"
    data = bmff.build(replace(main, ftyp=ftyp, others=((b"uuid", box),)))
    coded = codecs.encode(data, codecs.PhotoChange.of_levels(np.full((240, 320), 4, np.float32)))
    note = "content credentials (C2PA) removed: they vouch for the original"
    assert coded.notes == (note,)
    assert bmff.parse(coded.data).ftyp == main.ftyp and store not in coded.data


def test_real_photo_of_a_phone(exif_data: Path) -> None:
    data = (exif_data / "heic" / "mobile" / "iphone_13_pro_max.HEIC").read_bytes()
    file = bmff.parse(data)
    (link,) = (r for r in file.references if r.kind == b"auxl")
    assert link.targets == (file.primary,)
    notes: list[str] = []
    change = np.zeros((4032, 3024), np.float32)
    change[1000:2000, 800:1600] = 6
    made = heif._gain_map(file, codecs.PhotoChange.of_levels(change), notes)
    assert made is not None and notes == ["gain map rebuilt"]
    item = made.file.items[made.file.primary]
    plain = tuple(p for p in item.properties if p.kind != b"auxC")  # else no reader shows it alone
    items = {made.file.primary: replace(item, properties=plain, hidden=False)}
    alone = bmff.build(replace(made.file, ftyp=file.ftyp, items=items))
    after = np.asarray(pillow_heif.open_heif(io.BytesIO(alone)).to_pillow(), np.float32)
    before = map_of(data)
    assert before.shape == after.shape == (2016, 1512)
    where = (slice(500, 1000), slice(400, 800))
    assert detail(before[where]) > 3 > 1 > detail(after[where])
    assert np.abs(before - after)[1400:].mean() < 1
