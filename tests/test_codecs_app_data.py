"""APPn segments that hold data beside a picture: the picture goes, the data stay."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import piexif
import pytest
from PIL import Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs import riff, segments
from photoveil.transforms.codecs.segments import APP0, APP1, APP2, COM, Segment
from photoveil.transforms.leaks.embedded_images import hidden
from tests.support.carriers import astronaut, saved

APP3, APP4, APP5, APP11 = 0xE3, 0xE4, 0xE5, 0xEB
C2PA = bytes.fromhex("6332706100110010800000aa00389b71")
JSON = bytes.fromhex("6a736f6e00110010800000aa00389b71")


@pytest.fixture(scope="module")
def photo(demo_photo: Callable[[str], Path]) -> bytes:
    return saved(astronaut(demo_photo), "JPEG")


@pytest.fixture(scope="module")
def picture(demo_photo: Callable[[str], Path]) -> bytes:
    return saved(astronaut(demo_photo).reduce(3), "JPEG")


def png(picture: bytes) -> bytes:
    with Image.open(io.BytesIO(picture)) as image:
        return saved(image, "PNG")


def coded(photo: bytes, *extra: Segment) -> tuple[list[Segment], tuple[str, ...]]:
    """What of the segments is left when the photo is cloaked, and what is told."""
    first, *rest = segments.split(photo)[0]
    data = segments.join([first, *extra, *rest])
    change = np.zeros((240, 320), np.float32)
    change[40:120, 100:180] = 20
    done = codecs.encode(data, codecs.PhotoChange.of_levels(change))
    assert hidden(done.data) == []
    return [s for s in segments.split(done.data)[0] if s.is_metadata][1:], done.notes


def fff(records: list[tuple[int, bytes]], order: str = ">") -> bytes:
    """FLIR's file: a head, a directory, and what lies in it."""
    at = 64 + 32 * len(records)
    head = (
        b"FFF\0" + b"a camera".ljust(16, b"\0") + struct.pack(order + "III", 101, 64, len(records))
    )
    directory, bodies = b"", b""
    for number, (kind, body) in enumerate(records):
        place = at + len(bodies)
        entry = struct.pack(order + "HHIIII", kind, 2, 100, number, place, len(body))
        directory += entry.ljust(32, b"\0")
        bodies += body
    return head.ljust(64, b"\0") + directory + bodies


def flir(whole: bytes, size: int = 9000) -> list[Segment]:
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    heads = [b"FLIR\0\1" + bytes((n, len(pieces) - 1)) for n in range(len(pieces))]
    return [Segment(APP1, head + piece) for head, piece in zip(heads, pieces, strict=True)]


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "raw"])
def test_flir_keeps_its_measurements_and_no_picture(
    order: str, kind: str, photo: bytes, picture: bytes
) -> None:
    with Image.open(io.BytesIO(picture)) as image:
        raw = np.asarray(image.convert("L"), np.uint16).tobytes()
        visible = {"JPEG": picture, "PNG": png(picture), "raw": image.tobytes()}[kind]
    thermal = {"JPEG": raw, "PNG": png(picture), "raw": raw}[kind]
    told = [(0x20, b"camera: emissivity, distance" * 30), (0x21, b"spot 1: 37.2"), (0x23, b"text")]
    pictures = [(1, thermal), (0x0E, visible)]
    original = fff([pictures[0], *told[:2], pictures[1], told[2]], order)
    left, notes = coded(photo, *flir(original))
    assert notes == (
        "thermal picture in the FLIR data removed",
        "picture in the FLIR data removed",
    )
    blanks = [(0, bytes(len(body))) for _, body in pictures]
    assert left == flir(fff([blanks[0], *told[:2], blanks[1], told[2]], order))
    assert coded(photo, *flir(fff(told, order))) == (flir(fff(told, order)), ())


def test_flir_that_cannot_be_read_goes(photo: bytes, picture: bytes) -> None:
    note = ("FLIR data removed: they cannot be read",)
    assert coded(photo, *flir(b"no such file" + picture)) == ([], note)
    cut = fff([(1, picture)])[:80]
    assert coded(photo, *flir(cut)) == ([], note)


def flashpix(number: int, kind: int, whole: bytes, marker: int = APP2) -> list[Segment]:
    return [
        Segment(
            marker,
            b"FPXR\0\0" + struct.pack(">BHI", kind, number, at) + whole[at : at + 2000],
        )
        for at in range(0, len(whole), 2000)
    ]


@pytest.mark.parametrize("marker", [APP2, APP4])
def test_flashpix_keeps_its_other_streams(marker: int, photo: bytes, picture: bytes) -> None:
    contents = flashpix(0, 1, b"\0\3" + b"names of three streams", marker)
    audio = flashpix(1, 2, b"audio" * 1000, marker)
    assert len(picture) > 2000
    nail = flashpix(2, 2, b"head" + picture + b"tail", marker)
    left, notes = coded(photo, *contents, *audio, *nail)
    blank = flashpix(2, 2, b"head" + bytes(len(picture)) + b"tail", marker)
    assert (left, notes) == ([*contents, *audio, *blank], ("picture in FlashPix data removed",))


def jumbf(number: int, kind: bytes, body: bytes, size: int = 3000) -> list[Segment]:
    head = struct.pack(">I4s", len(body) + 8, kind)
    return [
        Segment(APP11, b"JP" + struct.pack(">HI", number, n + 1) + head + body[at : at + size])
        for n, at in enumerate(range(0, len(body), size))
    ]


def described(uuid: bytes, label: bytes, *boxes: bytes) -> bytes:
    about = uuid + b"\3" + label + b"\0"
    return struct.pack(">I4s", len(about) + 8, b"jumd") + about + b"".join(boxes)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", len(body) + 8, kind) + body


def test_content_credentials_go_whole_and_other_boxes_stay(photo: bytes, picture: bytes) -> None:
    """A manifest over changed pixels is not valid, and its thumbnail shows the clean face."""
    thumbnail = box(b"jumb", described(JSON, b"c2pa.thumbnail.claim.jpeg", box(b"bidb", picture)))
    for inside in (thumbnail, b"no thumbnail"):
        store = jumbf(1, b"jumb", described(C2PA, b"c2pa", inside))
        other = jumbf(2, b"jumb", described(JSON, b"view", box(b"json", b'{"a": 1}' * 500)))
        left, notes = coded(photo, *store, *other)
        assert left == other
        assert notes == ("content credentials (C2PA) removed: they vouch for the original",)


@pytest.mark.parametrize("kind", ["PNG", "WebP"])
def test_content_credentials_of_other_formats_go(kind: str, photo: bytes) -> None:
    store = box(b"jumb", described(C2PA, b"c2pa", b"a manifest of what was"))
    with Image.open(io.BytesIO(photo)) as image:
        data = saved(image, kind)
    if kind == "PNG":
        chunk = struct.pack(">I4s", len(store), b"caBX") + store
        data = data[:33] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + data[33:]
    else:
        data = riff.join([*riff.split(data)[0], (b"C2PA", store)])
    assert codecs.encode(
        data, codecs.PhotoChange.of_levels(np.full((240, 320), 4, np.float32))
    ).notes == ("content credentials (C2PA) removed: they vouch for the original",)
    assert (
        store
        not in codecs.encode(
            data, codecs.PhotoChange.of_levels(np.full((240, 320), 4, np.float32))
        ).data
    )


def test_picture_in_another_box_takes_that_box_alone(photo: bytes, picture: bytes) -> None:
    other = jumbf(2, b"jumb", described(JSON, b"view", b"words"))
    pictured = jumbf(3, b"jumb", described(JSON, b"snack", box(b"bidb", picture)))
    left, notes = coded(photo, *pictured, *other)
    assert (left, notes) == (other, ("picture in APP11 removed",))


def test_residual_of_jpeg_xt_goes_with_all_that_needs_it(photo: bytes, picture: bytes) -> None:
    extension = [*jumbf(1, b"SPEC", b"merging"), *jumbf(2, b"RESI", picture)]
    assert coded(photo, *extension) == ([], ("picture in APP11 removed",))
    ratio = [Segment(APP11, b"HDR_RI ver=11" + picture[:2000])]
    ratio.append(Segment(APP11, b"HDR_RI ext=1" + picture[2000:]))
    assert coded(photo, *ratio) == ([], ("JPEG-HDR ratio picture removed",))


def test_thermal_pictures_without_a_head_go_by_what_lies_beside_them(photo: bytes) -> None:
    raw = [Segment(APP3, bytes(range(256)) * 200), Segment(APP3, bytes(range(256)) * 100)]
    meta = Segment(APP3, b"Meta\0\0II*\0\x08\0\0\0\0\0\0\0\0\0")
    dji = Segment(APP4, b"\xaa\x55\x12\x06 emissivity, humidity")
    calibration = Segment(APP5, b"numbers" * 50)
    infiray = Segment(APP2, b"\0\0\0\0IJPEG\0 version")
    note = ("thermal picture in APP3 removed",)
    assert coded(photo, *raw, dji, calibration) == ([dji, calibration], note)
    assert coded(photo, infiray, *raw) == ([infiray], note)
    assert coded(photo, *raw, meta) == ([*raw, meta], ())  # nothing says that it is one
    parrot = Segment(APP1, b"PARROT\0II*\0" + bytes(500))
    assert coded(photo, parrot) == ([], ("thermal picture in APP1 removed",))


def exif_block(picture: bytes | None) -> bytes:
    tags: dict[str, object] = {"0th": {271: b"Maker"}}
    if picture:
        tags |= {"thumbnail": picture, "1st": {259: 6}}
    return piexif.dump(tags)[6:]


def strips(picture: bytes) -> bytes:
    """A block whose second directory is an uncompressed thumbnail, which no carving finds."""
    with Image.open(io.BytesIO(picture)) as image:
        small = image.resize((32, 24)).tobytes()
    first = struct.pack("<HHHIII", 1, 271, 2, 4, 0x00656D, 26)
    at = 26 + 2 + 12 * 4 + 4
    tags = [(256, 3, 1, 32), (257, 3, 1, 24), (273, 4, 1, at), (279, 4, 1, len(small))]
    second = struct.pack("<H", 4) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + first + second + small


@pytest.mark.parametrize("head", [b"Meta\0\0", b"META\0\0", b"EPPIM\0", b"PENTAX \0"])
def test_tiff_block_keeps_its_tags(head: bytes, photo: bytes, picture: bytes) -> None:
    with_picture = Segment(APP3, head + exif_block(picture))
    (left,), notes = coded(photo, with_picture)
    assert notes == ("picture in APP3 removed",)
    assert len(left.payload) == len(with_picture.payload)
    assert left.payload.startswith(head) and b"Maker" in left.payload
    (left,), notes = coded(photo, Segment(APP3, head + strips(picture)))
    assert notes == ("picture in APP3 removed",)
    assert not any(left.payload[-32 * 24 * 3 :])


def test_preview_that_goes_on_in_segments_of_other_numbers_goes_whole(
    photo: bytes, picture: bytes
) -> None:
    """As Samsung, HP and BenQ write it: from APP3 on into APP4 and APP5, without any head."""
    third = len(picture) // 3
    parts = [picture[:third], picture[third : 2 * third], picture[2 * third :]]
    split = [Segment(APP3 + n, part) for n, part in enumerate(parts)]
    other = Segment(0xE7, b"\x1aQualcomm Camera Attributes" + bytes(100))
    left, notes = coded(photo, *split, other)
    assert left == [other]
    assert notes == tuple(f"picture in APP{n} removed" for n in (3, 4, 5))


PLAIN = {
    "FLIR without records": Segment(APP1, b"FLIR\0\1\0\0" + fff([])),
    "QVCI": Segment(APP1, b"QVCI\0" + bytes(90)),
    "Stim": Segment(APP3, b"Stim\0" + bytes(30)),
    "stereo": Segment(APP3, b"_JPSJPS_\0\x0c\1\2\0\2" + b"a comment"),
    "Scalado": Segment(APP4, b"SCALADO\0" + bytes(50)),
    "Ricoh": Segment(APP5, b"RMETA\0MM\0\1" + bytes(40)),
    "Samsung": Segment(APP5, b"ssuniqueid\0" + b"a1b2c3"),
    "NITF": Segment(0xE6, b"NTIF\0" + bytes(20)),
    "GoPro": Segment(0xE6, b"GoPro\0DEVC" + bytes(30)),
    "Huawei": Segment(0xE7, b"HUAWEI\0\0" + bytes(60)),
    "Qualcomm": Segment(0xE7, b"\x1aQualcomm Camera Attributes" + bytes(600)),
    "SPIFF": Segment(0xE8, b"SPIFF\0\1\2\0\3" + bytes(20)),
    "Media Jukebox": Segment(0xE9, b"Media Jukebox\0" + bytes(20)),
    "PhotoStudio": Segment(0xEA, b"UNICODE\0" + "Grüße".encode("utf-16-le")),
    "gain curve": Segment(0xEA, b"AROT\0\0" + struct.pack(">I", 20) + bytes(80)),
    "picture info": Segment(0xEC, b"[picture info]\rTimeDate=1\r"),
    "Ducky": Segment(0xEC, b"Ducky\0\1\0\4\0\0\0\x3c\0\0"),
    "Adobe_CM": Segment(0xED, b"Adobe_CM\0\2"),
    "GraphicConverter": Segment(0xEF, b"Q 90"),
    "Casio": Segment(0xEF, b"TEXT\0" + bytes(20)),
    "AVI1": Segment(APP0, b"AVI1\0" + bytes(9)),
    "CIFF": Segment(APP0, b"II\x1a\0\0\0HEAPJPGM" + bytes(90)),
    "comment": Segment(COM, b"a comment"),
}


@pytest.mark.parametrize("kind", PLAIN)
def test_data_without_a_picture_stay_byte_for_byte(kind: str, photo: bytes, picture: bytes) -> None:
    assert coded(photo, PLAIN[kind]) == ([PLAIN[kind]], ())
    # Beside a picture in another segment of its number, too, where that is whole.
    marker = PLAIN[kind].marker
    other = Segment(marker, b"own\0" + picture)
    where = "a comment" if marker == COM else f"APP{marker - APP0}"
    assert coded(photo, PLAIN[kind], other) == ([PLAIN[kind]], (f"picture in {where} removed",))


@pytest.mark.parametrize("kind", [k for k in PLAIN if "FLIR" not in k])
def test_picture_within_such_data_is_blanked(kind: str, photo: bytes, picture: bytes) -> None:
    marker, data = PLAIN[kind].marker, PLAIN[kind].payload
    words = b"other data of the same maker, that somebody may want"
    left, notes = coded(photo, Segment(marker, data + picture + words))
    assert left == [Segment(marker, data + bytes(len(picture)) + words)]
    where = "a comment" if marker == COM else f"APP{marker - APP0}"
    assert notes == (f"picture in {where} removed",)


@pytest.mark.parametrize("marker", [COM, APP5, APP11])
def test_picture_in_base64_goes_and_words_beside_it_stay(
    marker: int, photo: bytes, picture: bytes
) -> None:
    words = b"other data of the same maker, that somebody may want: "
    text = base64.b64encode(picture)
    where = "a comment" if marker == COM else f"APP{marker - APP0}"
    left, notes = coded(photo, Segment(marker, words + text + b"; " + words))
    assert notes == (f"picture in {where} removed",)
    assert [one.payload.split() for one in left] == [[*words.split(), b";", *words.split()]]
    # Half of it cannot be known for one.
    halves = [Segment(marker, b"own " + one) for one in (text[:3000], text[3000:])]
    assert coded(photo, *halves) == ([], (f"picture in {where} removed",))
