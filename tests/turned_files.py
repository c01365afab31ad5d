"""Files whose tags say, in all the ways there are, how the picture is turned."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image

from photoveil.transforms.codecs import bmff, riff
from photoveil.transforms.codecs.bmff import HeifFile, Item, Property, Reference
from photoveil.transforms.codecs.exif import HEADER

Make = Callable[[Image.Image], bytes]
Turns = tuple[tuple[bytes, int], ...]

_XMP_HEAD = b"http://ns.adobe.com/xap/1.0/\0"


def tiff(orientation: int | None, form: str = "H") -> bytes:
    """An EXIF block. orientation: None for one that has other tags alone. form: "H" or "I"."""
    if orientation is None:
        entry = struct.pack("<HHI4s", 271, 2, 4, b"Own\0")
    elif form == "H":
        entry = struct.pack("<HHIHH", 274, 3, 1, orientation, 0)
    else:
        entry = struct.pack("<HHII", 274, 4, 1, orientation)
    return b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)


def packet(orientation: int, element: bool = False) -> bytes:
    """An XMP packet. element: as an element, as exiftool writes it, and not as an attribute."""
    attribute = "" if element else f' tiff:Orientation="{orientation}"'
    inner = f"<tiff:Orientation>{orientation}</tiff:Orientation>" if element else ""
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        f'{attribute}>{inner}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def jpeg(image: Image.Image, payloads: Sequence[bytes]) -> bytes:
    """A JPEG with an APP1 segment of each payload."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=92)
    made = b"".join(b"\xff\xe1" + struct.pack(">H", len(one) + 2) + one for one in payloads)
    return b"\xff\xd8" + made + out.getvalue()[2:]


def png(image: Image.Image, chunks: Sequence[tuple[bytes, bytes]], late: bool = False) -> bytes:
    """A PNG with these chunks (name, body). late: behind the pixels."""
    out = io.BytesIO()
    image.save(out, "PNG")
    data = out.getvalue()
    made = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    at = len(data) - 12 if late else 33
    return data[:at] + made + data[at:]


def raw_profile(body: bytes) -> tuple[bytes, bytes]:
    """A text chunk of EXIF in hexadecimal digits, as ImageMagick wrote it before there was eXIf."""
    return b"tEXt", b"Raw profile type exif\0\nexif\n%8d\n%s\n" % (len(body), body.hex().encode())


def itxt(body: bytes) -> tuple[bytes, bytes]:
    """A text chunk of an XMP packet."""
    return b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + body


def webp(image: Image.Image, **metadata: bytes) -> bytes:
    """metadata: exif, xmp."""
    out = io.BytesIO()
    image.save(out, "WEBP", quality=92, **metadata)
    return out.getvalue()


def webp_headed(image: Image.Image, body: bytes) -> bytes:
    """EXIF that begins as in a JPEG, as some programs write it."""
    chunks = riff.split(webp(image, exif=body))[0]
    return riff.join([(n, HEADER + b if n == b"EXIF" else b) for n, b in chunks])


def webp_unannounced(image: Image.Image, body: bytes) -> bytes:
    """EXIF in a file whose header says that there is none."""
    chunks = riff.split(webp(image, exif=body))[0]
    return riff.join([(n, bytes([b[0] & ~8]) + b[1:] if n == b"VP8X" else b) for n, b in chunks])


def tiff_file(image: Image.Image, tag: int | None = None, xmp: bytes | None = None) -> bytes:
    """A TIFF page with an orientation tag and a packet."""
    out = io.BytesIO()
    tags = ({274: tag} if tag else {}) | ({700: xmp} if xmp else {})
    image.save(out, "TIFF", tiffinfo=tags)
    return out.getvalue()


def gif(image: Image.Image, packet: bytes) -> bytes:
    """A GIF with an XMP packet in its application extension."""
    out = io.BytesIO()
    image.save(out, "GIF")
    data = out.getvalue()
    tail = b"\1" + bytes(range(255, -1, -1)) + b"\0"  # so readers of blocks get past the text
    return data[:-1] + b"!\xff\x0bXMP DataXMP" + packet + tail + data[-1:]


def heif(
    image: Image.Image,
    coding: str,
    turns: Turns = (),
    exif: bytes | None = None,
    xmp: bytes | None = None,
) -> bytes:
    """A HEIC or AVIF.

    Args:
        coding: "HEIC" or "AVIF". turns: (b"irot", quarters) and (b"imir", axis), in their order.
    """
    return bmff.build(described(_plain(image, coding), turns, exif, xmp))


def described(file: HeifFile, turns: Turns, exif: bytes | None, xmp: bytes | None) -> HeifFile:
    """`file` with these turns and metadata."""
    items, references = dict(file.items), list(file.references)
    made = tuple(Property(struct.pack(">I4sB", 9, kind, value), True) for kind, value in turns)
    main = items[file.primary]
    items[file.primary] = replace(main, properties=main.properties + made)
    for item in (
        Item(b"Exif", b"\0", struct.pack(">I", 6) + HEADER + exif) if exif else None,
        Item(b"mime", b"\0application/rdf+xml\0", xmp) if xmp else None,
    ):
        if item is not None:
            number = max(items) + 1
            items[number] = item
            references.append(Reference(b"cdsc", number, (file.primary,)))
    return replace(file, items=items, references=tuple(references))


def _plain(image: Image.Image, coding: str) -> HeifFile:
    if coding == "AVIF":
        return bmff.parse(bytes(imagecodecs.avif_encode(np.asarray(image), 92, speed=8)))
    out = io.BytesIO()
    pillow_heif.from_pillow(image).save(out, quality=92)
    return bmff.parse(out.getvalue())


def samples() -> dict[str, Make]:
    """By name, what makes a file of a picture, for each way to say how it is turned.

    The names say where each value stands: "JPEG EXIF 6 XMP 3".
    """
    return dict([*_by_tags(), *_by_properties(), *_odd()])


def _by_tags() -> Iterator[tuple[str, Make]]:
    for exif, xmp in (
        (6, 0),
        (None, 6),
        (6, 6),
        (6, 3),
        (1, 6),
        (6, 1),
        ("none", 6),
        (0, 6),
        (9, 6),
    ):
        named = [] if exif is None else [f"EXIF {exif}"]
        name = " ".join(named + ([f"XMP {xmp}"] if xmp else []))
        value = exif if isinstance(exif, int) else None
        block = None if exif is None else tiff(value)
        text = packet(xmp) if xmp else None
        heads = [HEADER + block] if block else []
        yield f"JPEG {name}", partial(jpeg, payloads=heads + ([_XMP_HEAD + text] if text else []))
        chunks = [(b"eXIf", block)] if block else []
        yield f"PNG {name}", partial(png, chunks=chunks + ([itxt(text)] if text else []))
        tags: dict[str, Any] = {key: one for key, one in (("exif", block), ("xmp", text)) if one}
        yield f"WebP {name}", partial(webp, **tags)
        if exif != "none":
            yield f"TIFF {name}", partial(tiff_file, tag=value, xmp=text)
        for coding in ("HEIC", "AVIF"):
            yield f"{coding} {name}", partial(heif, coding=coding, **tags)


def _by_properties() -> Iterator[tuple[str, Make]]:
    quarter, sides = (b"irot", 3), (b"imir", 1)
    both: Turns = ((b"irot", 1), sides)
    cases: list[tuple[Turns, int | None]] = [
        ((quarter,), None), ((quarter,), 6), ((quarter,), 3), ((quarter,), 1),
        (((b"irot", 0),), 6), ((sides,), None), (((b"imir", 0),), None), ((sides,), 2),
        ((sides,), 6), (both, None), (both, 5),
    ]  # fmt: skip
    for coding in ("HEIC", "AVIF"):
        for turns, value in cases:
            name = " ".join(f"{kind.decode()} {number}" for kind, number in turns)
            name += "" if value is None else f" EXIF {value}"
            block = None if value is None else tiff(value)
            yield f"{coding} {name}", partial(heif, coding=coding, turns=turns, exif=block)


def _odd() -> Iterator[tuple[str, Make]]:
    six, three = HEADER + tiff(6), HEADER + tiff(3)
    text = _XMP_HEAD + packet(6)
    yield "JPEG XMP 6 before EXIF 3", partial(jpeg, payloads=[text, three])
    yield "JPEG EXIF 6 then EXIF 3", partial(jpeg, payloads=[six, three])
    yield "JPEG EXIF 6 as LONG", partial(jpeg, payloads=[HEADER + tiff(6, "I")])
    yield "JPEG XMP 6 as element", partial(jpeg, payloads=[_XMP_HEAD + packet(6, element=True)])
    yield "PNG EXIF 6 behind the pixels", partial(png, chunks=[(b"eXIf", tiff(6))], late=True)
    yield "PNG raw EXIF 6", partial(png, chunks=[raw_profile(six)])
    yield "PNG raw EXIF 6 EXIF 3", partial(png, chunks=[(b"eXIf", tiff(3)), raw_profile(six)])
    yield "PNG XMP 6 behind the pixels", partial(png, chunks=[itxt(packet(6))], late=True)
    yield "WebP EXIF 6 with JPEG's header", partial(webp_headed, body=tiff(6))
    yield "WebP EXIF 6 unannounced", partial(webp_unannounced, body=tiff(6))
    yield "GIF XMP 6", partial(gif, packet=packet(6))
