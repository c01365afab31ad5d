"""What programs and phones write behind a JPEG: their metadata stay byte for byte, pictures and
videos in them go, and what is found by its place is found again."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from photoveil.transforms import codecs
from photoveil.transforms.codecs import segments
from photoveil.transforms.leaks.embedded_images import hidden
from tests.support.carriers import astronaut, saved

VIDEO = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(2000)
GONE = "data after the end of the image removed"


@pytest.fixture(scope="module")
def photo(demo_photo: Callable[[str], Path]) -> bytes:
    return saved(astronaut(demo_photo), "JPEG", quality=95)


@pytest.fixture(scope="module")
def picture(demo_photo: Callable[[str], Path]) -> bytes:
    return saved(astronaut(demo_photo).reduce(4), "JPEG", quality=95)


def coded(data: bytes) -> codecs.EncodedPhoto:
    change = np.zeros((240, 320), np.float32)
    change[40:120, 100:180] = 20
    return codecs.encode(data, codecs.PhotoChange.of_levels(change))


def behind(data: bytes) -> bytes:
    return data[segments.split(data)[1] :]


def iim(*datasets: tuple[int, bytes]) -> bytes:
    return b"".join(b"\x1c\2" + bytes([n]) + struct.pack(">H", len(v)) + v for n, v in datasets)


CAPTION = iim((5, b"a title"), (120, b"a caption"), (25, b"a keyword"))


def afcp(at: int, entries: list[tuple[bytes, bytes]], order: str = ">") -> bytes:
    """Its numbers count from the start of the file."""
    head = b"AXS!" if order == ">" else b"AXS*"
    place = at + 12 + 12 * len(entries)
    directory = b""
    for name, body in entries:
        directory += struct.pack(order + "4sII", name, len(body), place)
        place += len(body)
    start = head + b"\1\0" + struct.pack(order + "HI", len(entries), 0)
    return (
        start
        + directory
        + b"".join(body for _, body in entries)
        + head
        + struct.pack(order + "II", at, 0)
    )


def photo_mechanic(body: bytes) -> bytes:
    return body + struct.pack(">I", len(body)) + b"cbipcbbl"


def foto_station(*blocks: tuple[int, bytes]) -> bytes:
    return b"".join(
        body + struct.pack(">HI", tag, len(body) + 10) + b"\xa1\xb2\xc3\xd4" for tag, body in blocks
    )


def canon(body: bytes) -> bytes:
    head = b"CANON OPTIONAL DATA\0" + b"\0\1\0\0" + struct.pack(">I", len(body))
    foot = b"CANON OPTIONAL DATA\0" + struct.pack(">I", len(body)) + bytes(40)
    return head + body + foot


def mie(body: bytes) -> bytes:
    """A group of one element, as it says itself how long it is."""
    whole = b"~\x10\x04\xfe\0\0\0\0" + b"0MIE"
    start = b"~\x10\x04\xfe" + b"0MIE" + b"\0\0\0\0"
    element = b"~\x00\x04" + bytes([len(b"Note")]) + b"Note" + body
    size = len(start) + len(element) + 22
    end = b"~\0\4\0zmie~\0\0\x06" + struct.pack(">I", size) + b"\x10\x04"
    assert len(whole) == 12 and len(end) == 18
    return start + element + end.rjust(22, b"\0")


def samsung(*fields: tuple[int, bytes, bytes]) -> bytes:
    bodies = [struct.pack("<HHI", 0, kind, len(name)) + name + body for kind, name, body in fields]
    entries, back = b"", 0
    for (kind, _, _), body in reversed(list(zip(fields, bodies, strict=True))):
        back += len(body)
        entries = struct.pack("<HHII", 0, kind, back, len(body)) + entries
    head = b"SEFH" + struct.pack("<II", 107, len(fields)) + entries
    return b"".join(bodies) + head + struct.pack("<I", len(head)) + b"SEFT"


def fields_of(trailer: bytes) -> dict[bytes, bytes]:
    """What a Samsung trailer holds, read from its end."""
    assert trailer.endswith(b"SEFT")
    at = len(trailer) - 8 - struct.unpack_from("<I", trailer, len(trailer) - 8)[0]
    assert trailer[at : at + 4] == b"SEFH"
    found = {}
    for n in range(struct.unpack_from("<I", trailer, at + 8)[0]):
        _, kind, back, size = struct.unpack_from("<HHII", trailer, at + 12 + 12 * n)
        field = trailer[at - back : at - back + size]
        assert struct.unpack_from("<H", field, 2)[0] == kind
        length = struct.unpack_from("<I", field, 4)[0]
        found[field[8 : 8 + length]] = field[8 + length :]
    return found


def oneplus(fields: dict[str, bytes]) -> bytes:
    body, entries = b"", []
    for name, value in fields.items():
        body += value
        entries.append({"name": name, "length": len(value), "version": 1})
    back = 0
    for entry in reversed(entries):
        back += int(str(entry["length"]))
        entry["offset"] = back
    text = json.dumps(entries).encode() + b"\0"
    return body + text + b"jxrs" + struct.pack("<I", len(text) + 8)


VIVO_END = b"\xff\xff\xff\xff\x1b*9HWfu\x84\x93\xa2\xb1"
VIVO = b'vivo{"com.vivo.mode":"night"}\0' + bytes(8) + VIVO_END
SAMSUNG = (
    (0x0A01, b"Image_UTC_Data", b"1700000000000"),
    (0x0C61, b"Color_Display_P3", b"\1\0"),
)
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><a b="edited"/></rdf:RDF></x:xmpmeta>'

METADATA: dict[str, bytes] = {
    "PhotoMechanic": photo_mechanic(iim((221, b"\0\0\0\1"), (222, b"\0\0\0\2"))),
    "FotoStation": foto_station((1, CAPTION), (2, bytes(range(64)))),
    "Canon VRD": canon(struct.pack(">II", 0xFFFF00F4, 200) + bytes(range(200))),
    "MIE": mie(b"something told"),
    "Samsung": samsung(*SAMSUNG),
    "OnePlus": oneplus({"watermark.device": b"a phone", "private.emptyspace": b"\0\0\0\x40"}),
    "Vivo": VIVO,
    "NikonApp": b"NIKON APP\0" + XMP + b"\0\0\0\0\0\0/NIKON APP",
    "two at once": samsung(*SAMSUNG) + photo_mechanic(CAPTION),
    "three, with padding between": foto_station((1, CAPTION))
    + bytes(16)
    + VIVO
    + photo_mechanic(CAPTION),
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_stay_byte_for_byte(kind: str, photo: bytes) -> None:
    done = coded(photo + METADATA[kind])
    assert done.notes == ()
    assert behind(done.data) == METADATA[kind].replace(bytes(16), b"", kind.startswith("three"))
    assert codecs.decode(done.data, 10**9).pixels.shape == (240, 320, 3)


@pytest.mark.parametrize("kind", METADATA)
def test_unknown_bytes_before_them_go(kind: str, photo: bytes, picture: bytes) -> None:
    trailer = METADATA[kind]
    for other in (picture, VIDEO, b"who knows what"):
        done = coded(photo + other + trailer)
        assert GONE in done.notes
        if kind != "NikonApp":  # which says nowhere where it starts
            assert done.notes == (GONE,)
            assert behind(done.data) == trailer.replace(bytes(16), b"", kind.startswith("three"))
        assert hidden(done.data) == []


@pytest.mark.parametrize("order", [">", "<"])
@pytest.mark.parametrize("shift", [0, 1000])
def test_afcp_is_found_where_it_then_lies(order: str, shift: int, photo: bytes) -> None:
    """Shifted: a program that did not know of it made the file shorter."""
    entries = [(b"IPTC", CAPTION), (b"TEXT", b"a note")]
    done = coded(photo + afcp(len(photo) + shift, entries, order))
    assert done.notes == ()
    assert len(done.data) != len(photo)
    end = segments.split(done.data)[1]
    assert behind(done.data) == afcp(end, entries, order)


def test_afcp_behind_another_trailer(photo: bytes) -> None:
    first = foto_station((1, CAPTION))
    data = photo + first
    done = coded(data + afcp(len(data), [(b"IPTC", CAPTION)]))
    end = segments.split(done.data)[1] + len(first)
    assert behind(done.data) == first + afcp(end, [(b"IPTC", CAPTION)])


def test_pictures_of_afcp_go(photo: bytes, picture: bytes) -> None:
    entries = [(b"Nail", bytes(18) + picture), (b"IPTC", CAPTION), (b"PrVw", bytes(18) + picture)]
    done = coded(photo + afcp(len(photo), entries))
    assert done.notes == ("pictures or video in the AFCP trailer removed",)
    assert behind(done.data) == afcp(segments.split(done.data)[1], [(b"IPTC", CAPTION)])
    assert coded(photo + afcp(len(photo), entries[:1])).data == coded(photo).data


def blank(trailer: bytes, picture: bytes) -> bytes:
    return trailer.replace(picture, bytes(len(picture)))


def cases(picture: bytes) -> dict[str, tuple[bytes, bytes]]:
    """A trailer of each kind with a picture or a video in it, and what shall be left."""
    preview = iim((5, b"a title")) + b"\x1c\2\xca" + struct.pack(">H", len(picture)) + picture
    whole = {
        "PhotoMechanic": photo_mechanic(preview),
        "Canon VRD": canon(struct.pack(">II", 0xFFFF00F5, len(picture)) + picture),
        "MIE": mie(bytes(8) + picture),
        "NikonApp": b"NIKON APP\0" + picture + XMP + b"\0\0\0\0\0\0/NIKON APP",
    }
    text = samsung(*SAMSUNG)
    motion = ((0x0A30, b"MotionPhoto_Data", VIDEO), (0x0A31, b"MotionPhoto_Version", b"mpv3"))
    return {
        **{kind: (trailer, blank(trailer, picture)) for kind, trailer in whole.items()},
        "FotoStation": (
            foto_station((1, CAPTION), (3, picture), (4, b"not a JPEG"), (2, b"soft")),
            foto_station((1, CAPTION), (2, b"soft")),
        ),
        "Samsung": (samsung(SAMSUNG[0], *motion, SAMSUNG[1]), text),
        "Samsung, both lenses": (samsung(*SAMSUNG, (0x0AB1, b"DualShot_1", picture)), text),
        "Samsung, raw depth": (
            samsung(*SAMSUNG, (0x0AB3, b"DepthMap", bytes(range(256)) * 99)),
            text,
        ),
        "OnePlus": (
            oneplus({"watermark.device": b"a phone", "local.uhdr": picture}),
            blank(oneplus({"watermark.device": b"a phone", "local.uhdr": picture}), picture),
        ),
        "Vivo": (b"streamdata" + picture + b"streaminfo" + VIVO, VIVO),
        "only pictures": (samsung((0x0A30, b"MotionPhoto_Data", VIDEO)), b""),
        "video in MIE": (mie(VIDEO), b""),
    }


@pytest.mark.parametrize("kind", cases(b"\xff\xd8\xff"))
def test_pictures_and_videos_in_them_go(kind: str, photo: bytes, picture: bytes) -> None:
    trailer, left = cases(picture)[kind]
    done = coded(photo + trailer)
    assert behind(done.data) == left
    assert hidden(photo + trailer) or "raw" in kind
    assert hidden(done.data) == []
    (note,) = done.notes
    assert note.startswith("pictures or video in the ") and note.endswith(" trailer removed")
    if kind == "Samsung":
        assert fields_of(left) == {name: body for _, name, body in SAMSUNG}


def test_video_of_a_samsung_trailer_is_no_longer_announced(photo: bytes) -> None:
    packet = (
        b"<a><rdf:Description%b><Container:Directory><rdf:Seq><rdf:li><Container:Item "
        b'Item:Semantic="Primary"/></rdf:li><rdf:li><Container:Item Item:Semantic="MotionPhoto" '
        b'Item:Mime="video/mp4" Item:Length="2024"/></rdf:li></rdf:Seq></Container:Directory>'
        b"</rdf:Description></a>"
    )
    head = b"http://ns.adobe.com/xap/1.0/\0"
    marks = b' GCamera:MotionPhoto="1" GCamera:MotionPhotoVersion="1"'
    first, *rest = segments.split(photo)[0]
    announced = segments.Segment(segments.APP1, head + packet % marks)
    motion = (0x0A30, b"MotionPhoto_Data", VIDEO)
    done = coded(segments.join([first, announced, *rest]) + samsung(*SAMSUNG, motion))
    assert done.notes == (
        "pictures or video in the Samsung trailer removed",
        "metadata that announced removed parts removed",
    )
    assert behind(done.data) == samsung(*SAMSUNG)
    kept = segments.split(done.data)[0][1].payload
    assert kept == head + b"<a><rdf:Description></rdf:Description></a>"


def test_motion_photo_copied_without_its_video_keeps_the_rest(photo: bytes) -> None:
    motion = (0x0A30, b"MotionPhoto_Data", VIDEO)
    other = afcp(len(photo), [(b"IPTC", CAPTION)])
    # Samsung's video is a field of its trailer; Google's lies before what others add.
    for data, left in (
        (photo + samsung(*SAMSUNG, motion), samsung(*SAMSUNG)),
        (photo + VIDEO + samsung(*SAMSUNG), samsung(*SAMSUNG)),
        (photo + VIDEO + afcp(len(photo + VIDEO), [(b"IPTC", CAPTION)]), other),
    ):
        still, notes = codecs.without_video(data)
        assert still == photo + left
        assert notes[0] == "embedded video removed"
        assert hidden(still) == []
    still = photo + samsung(*SAMSUNG) + other
    assert codecs.without_video(still) == (still, ())


@pytest.mark.parametrize("kind", METADATA)
def test_what_only_ends_like_one_goes(kind: str, photo: bytes) -> None:
    """Cut off at its start, so that no size in it can be true; or of nothing but its last bytes."""
    whole = METADATA[kind]
    if kind == "NikonApp" or "," in kind or kind.startswith("two"):
        pytest.skip("it says no size, or the last of several is whole")
    for cut in (whole[len(whole) // 2 :], whole[-16:], whole[-64:]):
        if cut == whole or not cut.strip(b"\0"):
            continue
        done = coded(photo + cut)
        if kind == "FotoStation" and behind(done.data):
            assert foto_station((2, bytes(range(64)))).endswith(behind(done.data))
        else:
            assert (behind(done.data), done.notes) == (b"", (GONE,)), cut


def test_names_in_a_trailer_go_where_told(photo: bytes) -> None:
    people = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><Iptc4xmpExt:PersonInImage><rdf:Bag><rdf:li>'
        b"Ada Lovelace</rdf:li></rdf:Bag></Iptc4xmpExt:PersonInImage></rdf:RDF></x:xmpmeta>"
    )
    first, *rest = segments.split(photo)[0]
    packet = segments.Segment(segments.APP1, b"http://ns.adobe.com/xap/1.0/\0" + people)
    named = iim((25, b"Ada Lovelace"), (25, b"picnic"))
    data = segments.join([first, packet, *rest]) + foto_station((1, named))
    without, count = codecs.without_names(coded(data).data)
    assert count == 2
    assert b"Lovelace" not in without
    assert b"picnic" in behind(without) and len(behind(without)) == len(foto_station((1, named)))


def test_exiftool_reads_them_from_the_cloaked_file(photo: bytes, tmp_path: Path) -> None:
    if shutil.which("exiftool") is None:
        pytest.skip("no exiftool: apt install libimage-exiftool-perl")
    data = photo + foto_station((1, CAPTION)) + photo_mechanic(iim((222, b"\0\0\0\2")))
    data += afcp(len(data), [(b"IPTC", CAPTION)])
    path = tmp_path / "cloaked.jpg"
    path.write_bytes(coded(data).data)
    command = ["exiftool", "-json", "-G1", "-a", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (tags,) = json.loads(said)
    assert tags["PhotoMechanic:ColorClass"].startswith("2")
    captions = {value for name, value in tags.items() if name.endswith(":Caption-Abstract")}
    assert captions == {"a caption"} and len([n for n in tags if "Caption" in n]) == 2
    assert "ExifTool:Warning" not in tags
