"""Sidecars, videos and people tags: what is copied, what is left out, and what is said of it."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import struct
import subprocess
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.cloak.parameters import CloakParameters
from photoveil.transforms.codecs import bmff, carve, names, segments
from photoveil.transforms.codecs.segments import APP1, Segment
from photoveil.transforms.duplicates.exact import place_copy
from photoveil.transforms.leaks import embedded_images
from photoveil.transforms.leaks.clean_faces import inside
from photoveil.transforms.photo.discover import discover
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.photo.parameters import MetadataParameters, WriteParameters
from photoveil.transforms.photo.read import read_photo
from photoveil.transforms.photo.scan import scanned, unreadable
from photoveil.transforms.photo.write import publish
from photoveil.transforms.records import Destination, WrittenPhoto

XMP = b"http://ns.adobe.com/xap/1.0/\0"
NAMESPACES = (
    'xmlns:x="adobe:ns:meta/" xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" '
    'xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#" '
    'xmlns:MP="http://ns.microsoft.com/photo/1.2/" '
    'xmlns:MPRI="http://ns.microsoft.com/photo/1.2/t/RegionInfo#" '
    'xmlns:MPReg="http://ns.microsoft.com/photo/1.2/t/Region#" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    'xmlns:apple-fi="http://ns.apple.com/faceinfo/1.0/"'
)
TITLE = "<dc:title>Summer</dc:title>"
FOCUS = '<rdf:li><rdf:Description mwg-rs:Type="Focus" stArea:x="0.5"/></rdf:li>'

TAGS = {
    "mwg-rs as Lightroom and Picasa write it": (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>'
        '<rdf:li><rdf:Description mwg-rs:Name="Ada Byron" mwg-rs:Type="Face">'
        '<mwg-rs:Area stArea:x="0.5"/></rdf:Description></rdf:li>'
        f"{FOCUS}</rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>"
    ),
    "mwg-rs as Apple and digiKam write it": (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Seq>'
        '<rdf:li rdf:parseType="Resource"><mwg-rs:Area rdf:parseType="Resource">'
        "<stArea:x>0.5</stArea:x></mwg-rs:Area><mwg-rs:Type>Face</mwg-rs:Type>"
        "<mwg-rs:Name>Ada Byron</mwg-rs:Name><mwg-rs:Extensions apple-fi:FaceID='7'/></rdf:li>"
        f"{FOCUS}</rdf:Seq></mwg-rs:RegionList></mwg-rs:Regions>"
    ),
    "Microsoft": (
        '<MP:RegionInfo rdf:parseType="Resource"><MPRI:Regions><rdf:Bag>'
        '<rdf:li MPReg:Rectangle="0.1, 0.1, 0.2, 0.2" MPReg:PersonDisplayName="Ada Byron"/>'
        "</rdf:Bag></MPRI:Regions></MP:RegionInfo>"
    ),
    "IPTC": (
        "<Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>Ada Byron</rdf:li></rdf:Bag>"
        "</Iptc4xmpExt:PersonInImage>"
    ),
}


def packet(tags: str) -> bytes:
    body = (
        f'<x:xmpmeta {NAMESPACES}><rdf:RDF><rdf:Description rdf:about="">{TITLE}{tags}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    return body.encode()


@pytest.mark.parametrize("kind", TAGS)
def test_people_go_and_nothing_else(kind: str) -> None:
    before = packet(TAGS[kind])
    after, count = names.without_names(before)
    assert count == 1
    assert len(after) == len(before)
    ET.fromstring(after)
    assert b"Byron" not in after
    assert TITLE.encode() in after
    assert (FOCUS.encode() in after) == (FOCUS.encode() in before)
    assert names.without_names(after) == (after, 0)


@pytest.mark.parametrize("kind", TAGS)
def test_keywords_that_name_the_people_go(kind: str) -> None:
    def keywords(*words: str) -> str:
        items = "".join(f"<rdf:li>{word}</rdf:li>" for word in words)
        return (
            f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"
            f"<lr:hierarchicalSubject><rdf:Bag>{items}</rdf:Bag></lr:hierarchicalSubject>"
        )

    kept = keywords("beach", "Byron Bay", "Places|Paris", "People")
    named = keywords("beach", "Ada Byron", "People/Joan", "Family|Ada Byron")
    assert names.without_names(packet(kept)) == (packet(kept), 0)
    before = packet(TAGS[kind] + kept + named)
    after, count = names.without_names(before)
    assert (count, len(after)) == (7, len(before))
    assert kept.encode() in after
    assert b"Ada" not in after and b"Joan" not in after
    assert after.count(b"beach") == 4


def test_packet_without_people_stays() -> None:
    plain = packet("<dc:creator>Ada Byron</dc:creator>")
    assert names.without_names(plain) == (plain, 0)
    assert names.without_names(b"<rdf:RDF cut off mwg-rs:Name='x'") == (
        b"<rdf:RDF cut off mwg-rs:Name='x'",
        0,
    )


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def file_with(kind: str, image: Image.Image, xmp: bytes) -> bytes:
    if kind == "JPEG":
        parts = segments.split(saved(image, "JPEG"))[0]
        return segments.join([parts[0], Segment(APP1, XMP + xmp), *parts[1:]]) + b"trailer"
    if kind == "JPEG, extended":
        head = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40)
        parts = segments.split(saved(image, "JPEG"))[0]
        cut = xmp.index(b"Byron")
        extra = [Segment(APP1, head + part) for part in (xmp[:cut], xmp[cut:])]
        return segments.join([parts[0], *extra, *parts[1:]])
    if kind == "PNG, compressed":
        data = saved(image, "PNG")
        body = b"iTXtXML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp)
        chunk = (len(body) - 4).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
        return data[:33] + chunk + data[33:]
    if kind == "TIFF":
        out = io.BytesIO()
        tag = (700, 1, len(xmp), xmp, True)
        tifffile.imwrite(out, np.asarray(image), photometric="rgb", extratags=[tag])
        return out.getvalue()
    if kind == "HEIC":
        pillow_heif = pytest.importorskip("pillow_heif")
        out = io.BytesIO()
        pillow_heif.from_pillow(image).save(out, xmp=xmp)
        return out.getvalue()
    return saved(image, kind, xmp=xmp)


@pytest.fixture(scope="session")
def rocket(demo_photo: Callable[[str], Path]) -> Image.Image:
    with Image.open(demo_photo("rocket.jpg")) as image:
        return image.convert("RGB").resize((160, 100))


KINDS = ["JPEG", "JPEG, extended", "PNG, compressed", "WEBP", "TIFF", "AVIF", "HEIC"]


@pytest.mark.parametrize("kind", KINDS)
def test_people_go_from_every_container(kind: str, rocket: Image.Image) -> None:
    before = file_with(kind, rocket, packet(TAGS["Microsoft"]))
    after, count = codecs.without_names(before)
    assert count == 1
    assert b"Byron" not in after
    if kind != "PNG, compressed":
        assert len(after) == len(before)
    one, two = (codecs.decode(data, 10**9).pixels for data in (before, after))
    np.testing.assert_array_equal(one, two)


def iim(*keywords: bytes) -> bytes:
    sets = [(25, word) for word in keywords] + [(120, b"Ada Byron on the beach")]
    return b"".join(b"\x1c\2" + struct.pack(">BH", kind, len(word)) + word for kind, word in sets)


def panasonic(at: int, baby: bytes, *faces: bytes) -> bytes:
    """A MakerNote that begins at byte `at` of its EXIF block. baby: of 64 bytes there."""
    recognised = struct.pack("<HH", len(faces), 0)
    recognised += b"".join(face.ljust(20, b"\0") + bytes(28) for face in faces)
    data_at = at + 12 + 2 + 2 * 12 + 4
    entries = ((0x61, 7, len(recognised), data_at), (0x66, 7, 64, data_at + len(recognised)))
    directory = struct.pack("<H", 2) + b"".join(struct.pack("<HHII", *e) for e in entries)
    return b"Panasonic\0\0\0" + directory + bytes(4) + recognised + baby.ljust(64, b"\0")


def exif_with_names() -> bytes:
    """EXIF of a Panasonic camera, as Windows' Explorer has added keywords to it."""
    words = "beach;Ada Byron;People/Joan".encode("utf-16-le") + b"\0\0"
    head_size = 8 + 2 + 3 * 12 + 4
    exif_at = head_size + 10 + len(words)
    note_at = exif_at + 2 + 12 + 4
    note = panasonic(note_at, b"Minka", b"Byron", b"Zoe")
    first = ((0x10F, 2, 10, head_size), (0x8769, 4, 1, exif_at), (0x9C9E, 1, len(words), 0))
    first = (*first[:2], (*first[2][:3], head_size + 10))
    return (
        b"II*\0\x08\0\0\0"
        + struct.pack("<H", 3)
        + b"".join(struct.pack("<HHII", *entry) for entry in first)
        + bytes(4)
        + b"Panasonic\0"
        + words
        + struct.pack("<HHHII", 1, 0x927C, 7, len(note), note_at)
        + bytes(4)
        + note
    )


def test_names_go_from_keywords_of_iptc_and_exif_and_from_maker_notes(
    rocket: Image.Image, tmp_path: Path
) -> None:
    blocks = iim(b"beach", b"Ada Byron", b"Byron Bay", b"People|Joan", b"Zoe")
    resource = b"8BIM\4\4\0\0" + len(blocks).to_bytes(4, "big") + blocks
    parts = segments.split(saved(rocket, "JPEG"))[0]
    extra = [
        Segment(APP1, b"Exif\0\0" + exif_with_names()),
        Segment(APP1, XMP + packet(TAGS["Microsoft"])),
        Segment(0xED, b"Photoshop 3.0\0" + resource + b"\0" * (len(blocks) % 2)),
    ]
    before = segments.join([parts[0], *extra, *parts[1:]])
    after, count = codecs.without_names(before)
    assert (count, len(after)) == (1 + 3 + 2 + 3, len(before))
    assert codecs.without_names(after) == (after, 0)
    for kept in (b"beach", b"Byron Bay", b"Ada Byron on the beach", "beach".encode("utf-16-le")):
        assert kept in after  # captions are told of in docs/formats.md
    for name in (b"Joan", b"Minka", b"Zoe", "Ada".encode("utf-16-le"), "Joan".encode("utf-16-le")):
        assert name in before and name not in after
    assert after.count(b"Byron") == 2
    if shutil.which("exiftool") is None:
        pytest.skip("no exiftool: apt install libimage-exiftool-perl")
    said = []
    for file, data in (("before.jpg", before), ("after.jpg", after)):
        (tmp_path / file).write_bytes(data)
        wanted = (
            "Keywords",
            "XPKeywords",
            "BabyName",
            "RecognizedFace*Name",
            "Warning",
            "Caption*",
        )
        command = ["exiftool", "-json", *(f"-{tag}" for tag in wanted), str(tmp_path / file)]
        (tags,) = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        said.append({tag: value for tag, value in tags.items() if value and tag != "SourceFile"})
    assert said[0] == {
        "Keywords": ["beach", "Ada Byron", "Byron Bay", "People|Joan", "Zoe"],
        "XPKeywords": "beach;Ada Byron;People/Joan",
        "BabyName": "Minka",
        "RecognizedFace1Name": "Byron",
        "RecognizedFace2Name": "Zoe",
        "Caption-Abstract": "Ada Byron on the beach",
    }
    assert said[1] == {
        "Keywords": ["beach", "Byron Bay"],
        "XPKeywords": "beach",
        "Caption-Abstract": "Ada Byron on the beach",
    }


def test_names_go_from_keywords_of_a_tiff(rocket: Image.Image) -> None:
    xmp, words = packet(TAGS["IPTC"]), "Ada Byron;beach".encode("utf-16-le") + b"\0\0"
    blocks = iim(b"Ada Byron", b"beach")
    tags = [(700, 1, len(xmp), xmp, True), (33723, 7, len(blocks), blocks, True)]
    tags.append((0x9C9E, 1, len(words), words, True))
    out = io.BytesIO()
    tifffile.imwrite(out, np.asarray(rocket), photometric="rgb", extratags=tags)
    after, count = codecs.without_names(out.getvalue())
    assert (count, len(after)) == (3, len(out.getvalue()))
    page = tifffile.TiffFile(io.BytesIO(after)).pages.first
    assert bytes(page.tags[33723].value) == iim(b"beach").ljust(len(blocks), b"\0")
    assert bytes(page.tags[0x9C9E].value).decode("utf-16-le").rstrip("\0") == "beach"
    np.testing.assert_array_equal(page.asarray(), np.asarray(rocket))


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Destination]:
    (tmp_path / "in").mkdir()
    return tmp_path / "in", Destination(str(tmp_path / "out"), str(tmp_path / "scratch"))


Folders = tuple[Path, Destination]


def published(
    folders: Folders, name: str, data: bytes | None, **metadata: Any
) -> tuple[WrittenPhoto, bytes | None]:
    """What becomes of a file without faces: its row, and the bytes in the output folder.

    data: None for a file that is there already.
    """
    folder, destination = folders
    if data is not None:
        (folder / name).write_bytes(data)
    ref = next(ref for ref in discover(str(folder)) if ref.relative == name)
    photo = read_photo(ref, ReadLimits(), look_inside=True)
    beside = tuple(inside(photo.hidden, None, [], lambda _: [], 12))
    scan = unreadable(photo) if photo.status else scanned(photo, [], 12, inside=beside)
    parameters = WriteParameters(
        CloakParameters().budget, MetadataParameters(**metadata), ReadLimits()
    )
    row = publish(scan, {}, destination, parameters)
    output = Path(destination.root, name)
    return row, output.read_bytes() if output.exists() else None


TAKEOUT = json.dumps(
    {"title": "a.jpg", "photoTakenTime": {"timestamp": "1"}, "people": [{"name": "Ada Byron"}]}
).encode()
AAE = b'<?xml version="1.0"?><plist><dict><key>adjustmentData</key></dict></plist>'
SIDECARS = {"a.jpg.xmp": packet(TAGS["IPTC"]), "a.AAE": AAE, "a.jpg.json": TAKEOUT}


@pytest.mark.parametrize("name", SIDECARS)
def test_sidecar_is_copied_unless_told_otherwise(name: str, folders: Folders) -> None:
    data = SIDECARS[name]
    row, output = published(folders, name, data)
    assert (row.status, row.output, output) == ("companion", name, data)
    kept = () if name == "a.AAE" else ("1 people tags kept (--strip-names)",)
    assert row.notes == kept


@pytest.mark.parametrize("name", SIDECARS)
def test_sidecar_is_left_out_when_told_so(name: str, folders: Folders) -> None:
    row, output = published(folders, name, SIDECARS[name], sidecars="leave")
    assert (row.status, output) == ("unsupported", None)
    assert row.reason == "sidecar: left out (metadata.sidecars)"


def picture_in_base64() -> str:
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 3), np.uint8)
    return base64.b64encode(saved(Image.fromarray(noise), "JPEG")).decode()


PICTURE = picture_in_base64()
PIECES = [PICTURE[at : at + 300] for at in range(0, len(PICTURE) - 300, 300)]
PIECES.append(PICTURE[300 * len(PIECES) :])


@pytest.mark.parametrize(
    ("written", "left"),
    [
        (f'"{PICTURE}"', '""'),
        (f'"data:image/jpeg;base64,{PICTURE}"', '""'),
        (f'["x", {{"deep": "{PICTURE}"}}]', '["x", {"deep": ""}]'),
        (json.dumps(PICTURE).replace("/", "\\/"), '""'),
        (json.dumps("\r\n".join(PICTURE[at : at + 76] for at in range(0, 9999, 76))), '""'),
        (json.dumps(f"Été: 'data:image/jpeg;base64,{PICTURE}'."), json.dumps("Été: ''.")),
        (f'"{PICTURE.replace("+", "-").replace("/", "_").rstrip("=")}"', '""'),
        (f'"{base64.b64decode(PICTURE).hex()}"', '""'),
        (json.dumps(PIECES), json.dumps([""] * len(PIECES))),
        (
            json.dumps({f"part {n}": piece for n, piece in enumerate(PIECES)}),
            json.dumps({f"part {n}": "" for n in range(len(PIECES))}),
        ),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_pictures_go_from_json_and_nothing_else(
    written: str, left: str, encoding: str, folders: Folders
) -> None:
    record = (
        '{"title":  "Zo\u00eb \\"1\\".jpg",\n "photoTakenTime": {"timestamp":"1"}, "thumb" :PLACE,'
        '"url": "https:\\/\\/photos.google.com\\/photo\\/AF1QipNabcdefghijklmnopqrstuv\\\\",'
        ' "altitude": 1.50, "more": "\\ud83d"}\n'
    )
    data = record.replace("PLACE", written).encode(encoding)
    row, output = published(folders, "a.jpg.json", data)
    assert output == record.replace("PLACE", left).encode(encoding)
    assert (row.status, row.notes) == ("companion", ("picture in the sidecar removed",))
    before, after = json.loads(data), json.loads(output)
    assert {**before, "thumb": json.loads(left)} == after
    assert not carve.holds_pictures(str(after).encode("utf-8", "replace"))
    assert embedded_images.hidden(output) == []  # what the leak scanner looks at


def test_names_and_pictures_go_from_json_together(folders: Folders) -> None:
    data = json.dumps({**json.loads(TAKEOUT), "thumb": PICTURE}).encode()
    assert embedded_images.hidden(data)
    row, output = published(folders, "a.jpg.json", data, strip_names=True)
    assert row.notes == ("picture in the sidecar removed", "1 people tags removed")
    assert output is not None
    assert json.loads(output).keys() == {"title", "photoTakenTime", "thumb"}
    assert embedded_images.hidden(output) == []


def test_names_go_from_sidecars(folders: Folders) -> None:
    for name in ("a.jpg.xmp", "a.jpg.json"):
        row, output = published(folders, name, SIDECARS[name], strip_names=True)
        assert row.notes == ("1 people tags removed",)
        assert output is not None
        assert b"Byron" not in output
    assert json.loads(output or b"") == {"title": "a.jpg", "photoTakenTime": {"timestamp": "1"}}


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.json", b'{"name": "package"}'), ("a.json", b"\xff"), ("a.xmp", b"text"), ("a.aae", b"x")],
)
def test_file_that_is_no_sidecar_is_no_photo(name: str, data: bytes, folders: Folders) -> None:
    row, output = published(folders, name, data)
    assert (row.status, row.reason, output) == ("unsupported", "not a photo", None)


MOVIE = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(50)


@pytest.mark.parametrize("name", ["IMG_1.MOV", "clip.mp4", "no_extension"])
def test_video_is_left_out_and_says_why(name: str, folders: Folders) -> None:
    row, output = published(folders, name, MOVIE)
    assert (row.status, output) == ("unsupported", None)
    assert row.reason == "video: left out, as the faces in it are not cloaked (metadata.videos)"
    row, output = published(folders, name, MOVIE, videos="copy")
    assert (row.status, output) == ("companion", MOVIE)


def test_photo_without_a_face_is_copied_with_its_people_noted(
    folders: Folders, rocket: Image.Image
) -> None:
    data = file_with("JPEG", rocket, packet(TAGS["Microsoft"]))
    row, output = published(folders, "a.jpg", data)
    assert (row.status, output) == ("no_face", data)
    assert row.notes == ("1 people tags kept (--strip-names)",)
    row, output = published(folders, "a.jpg", data, strip_names=True)
    assert row.notes == ("1 people tags removed",)
    assert output == codecs.without_names(data)[0]


def test_motion_photo_without_a_face_loses_its_video(folders: Folders, rocket: Image.Image) -> None:
    xmp = packet("").replace(b'about=""', b'about="" GCamera:MotionPhoto="1"')
    parts = segments.split(saved(rocket, "JPEG"))[0]
    still = segments.join([parts[0], Segment(APP1, XMP + xmp), *parts[1:]])
    row, output = published(folders, "a.jpg", still + MOVIE)
    assert row.notes == ("embedded video removed",)
    unmarked = Segment(APP1, XMP + packet("").ljust(len(xmp)))
    assert output == segments.join([parts[0], unmarked, *parts[1:]])


def test_video_before_the_pixels_of_a_heic(folders: Folders, rocket: Image.Image) -> None:
    """The boxes behind it cannot stay as they are."""
    file = bmff.parse(file_with("HEIC", rocket, packet("")))
    still = bmff.build(file)
    box = (8 + len(MOVIE)).to_bytes(4, "big") + b"mpvd" + MOVIE
    at = still.index(b"mdat") - 4
    meta = bmff._meta(file, at + len(box) + 8)
    data = file.ftyp + meta + box + still[at:]
    before = codecs.decode(still, 10**9).pixels
    np.testing.assert_array_equal(codecs.decode(data, 10**9).pixels, before)
    row, output = published(folders, "a.heic", data)
    assert "video in the file could not be searched for faces" in row.notes
    assert output is not None and b"mpvd" not in output
    np.testing.assert_array_equal(codecs.decode(output, 10**9).pixels, before)


def test_motion_heic_loses_its_video(folders: Folders, rocket: Image.Image) -> None:
    still = file_with("HEIC", rocket, packet(""))
    box = (8 + len(MOVIE)).to_bytes(4, "big") + b"mpvd" + MOVIE
    row, output = published(folders, "a.heic", still + box)
    assert (row.notes, output) == (("embedded video removed",), still)
    assert bmff.parse(still).items


def test_extended_attributes_and_time_are_carried(folders: Folders, rocket: Image.Image) -> None:
    folder, _ = folders
    path = folder / "a.jpg"
    path.write_bytes(saved(rocket, "JPEG"))
    try:
        os.setxattr(path, "user.xdg.tags", b"holiday")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    os.utime(path, (10**9, 10**9))
    published(folders, "a.jpg", None)
    output = Path(folders[1].root, "a.jpg")
    assert os.getxattr(output, "user.xdg.tags") == b"holiday"
    assert output.stat().st_mtime == 10**9


def test_a_copied_duplicate_keeps_its_own_attributes(folders: Folders, rocket: Image.Image) -> None:
    folder, destination = folders
    data = saved(rocket, "JPEG")
    for name in ("a.jpg", "b.jpg"):
        (folder / name).write_bytes(data)
    try:
        os.setxattr(folder / "b.jpg", "user.xdg.tags", b"second")
    except (OSError, AttributeError):
        pytest.skip("no extended attributes here")
    row = published(folders, "a.jpg", None)[0]
    assert row.output is not None and row.output_sha256 is not None
    (copy,) = (ref for ref in discover(str(folder)) if ref.relative == "b.jpg")
    place_copy(row.output, row.output_sha256, copy, destination.root, destination.scratch, "copy")
    assert os.getxattr(Path(destination.root, "b.jpg"), "user.xdg.tags") == b"second"
