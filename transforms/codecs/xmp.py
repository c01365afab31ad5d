"""XMP packets (ISO 16684-1): pictures in them, and metadata that announces pictures and videos."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from photoveil.transforms.codecs import carve

# What is a picture or a depth map by the name of its property, whatever its coding.
_NAMED = re.compile(
    rb"((?<!/)(?:xmpGImg:image|GImage:Data|GDepth:(?:Data|Image|Confidence))(?:=[\"']|>))[^<\"']+"
)
_THUMBNAILS = re.compile(rb"\s*<(xmp|xap):Thumbnails\b.*?</\1:Thumbnails\s*>", re.DOTALL)
_NO_IMAGE = re.compile(rb"xmpGImg:image(?:\s*=\s*(?:\"\"|'')|\s*/>|\s*></)")
# How a depth map or the original of a depth photo is coded, and where it would be.
_DEPTH = (
    rb"GDepth:(?:Data|Image|Confidence|Mime|ConfidenceMime|Format|Near|Far|Units|MeasureType"
    rb"|ImageWidth|ImageHeight)|GImage:(?:Data|Mime)"
)
# Google's, and what makers add beside it.
_MOTION = rb"[\w.-]+:(?:MotionPhoto|MicroVideo|OLivePhoto)\w*|OpCamera:VideoLength"

_CONTAINER = b"http://ns.google.com/photos/1.0/container/"
_ITEM = b"http://ns.google.com/photos/1.0/container/item/"
_GAIN_MAP = b"http://ns.adobe.com/hdr-gain-map/1.0/"
_OWN = rb"(?:(?!<rdf:li\b).)*?"  # of an item of a list, not of one in it


@dataclass(frozen=True)
class ContainerItem:
    """An entry of Google's container directory: a part of the file, behind the one before it.

    semantic: "Primary", "GainMap", "MotionPhoto" and others.
    length, padding: in bytes; 0 if not given.
    start, end: offsets in the packet.
    """

    semantic: bytes
    mime: bytes
    length: int
    padding: int
    is_primary: bool
    start: int
    end: int


def without_pictures(packet: bytes) -> tuple[bytes, bool]:
    """Empty the pictures in a packet.

    Properties that say how an emptied one is coded are removed, and so is a list of thumbnails.

    Returns:
        The packet, and whether there was a picture.
    """
    emptied, count = _NAMED.subn(rb"\1", packet)
    runs = list(carve.text_pictures(emptied))
    for run in reversed(runs):
        emptied = emptied[: run.start] + emptied[run.end :]
    if emptied == packet:
        return packet, count > 0
    if re.search(rb"GDepth:|GImage:", emptied):
        emptied = without_depth(emptied)
    emptied = _THUMBNAILS.sub(lambda m: b"" if _NO_IMAGE.search(m[0]) else m[0], emptied)
    return emptied, True


def blank_pictures(packet: bytes) -> tuple[bytes, bool]:
    """Do as `without_pictures`, and fill the packet up with spaces to its old length."""
    emptied, found = without_pictures(packet)
    return _filled(emptied, len(packet)), found


def _filled(packet: bytes, length: int) -> bytes:
    end = packet.rfind(b"<?xpacket end")
    at = len(packet) if end < 0 else end
    return packet[:at] + b" " * (length - len(packet)) + packet[at:]


def without_depth(packet: bytes) -> bytes:
    """Remove what says how a depth map, or the original of a depth photo, is coded."""
    return _without(packet, _DEPTH)


def without_motion(packet: bytes) -> bytes:
    """Remove what says that a video follows the picture."""
    known = items(packet)
    still = {
        index: item.length
        for index, item in enumerate(known)
        if item.is_primary or not (item.mime.startswith(b"video/") or b"Motion" in item.semantic)
    }
    packet = with_items(packet, still, keep_padding=True) if len(still) < len(known) else packet
    return _without(packet, _MOTION)


def blank_motion(packet: bytes) -> bytes:
    """Do as `without_motion`, and fill the packet up with spaces to its old length."""
    return _filled(without_motion(packet), len(packet))


def without_gain_map(packet: bytes) -> bytes:
    """Remove what says that a gain map belongs to the picture."""
    names = [rb"%b:[\w.-]+" % re.escape(one) for one in _prefixes(packet, _GAIN_MAP, b"hdrgm")]
    packet = _without(packet, b"|".join(names))
    return re.sub(rb"\s+xmlns:[\w.-]+\s*=\s*([\"'])%b\1" % re.escape(_GAIN_MAP), b"", packet)


def items(packet: bytes) -> list[ContainerItem]:
    """Return the container directory of a packet, in its order."""
    found: list[ContainerItem] = []
    for directory in _directories(packet):
        for match in _list_items(packet, *directory):
            semantic = _value(packet, match[0], b"Semantic")
            found.append(
                ContainerItem(
                    semantic,
                    _value(packet, match[0], b"Mime"),
                    _number(packet, match[0], b"Length"),
                    _number(packet, match[0], b"Padding"),
                    semantic == b"Primary" or not (found or semantic),
                    match.start(),
                    match.end(),
                )
            )
    return found


def with_items(packet: bytes, lengths: Mapping[int, int], keep_padding: bool = False) -> bytes:
    """Keep of the directory only the primary picture and these items.

    A directory that would list the picture alone is removed as a whole.

    Args:
        packet: with the directory.
        lengths: in bytes, by index in `items`.
        keep_padding: True to keep the padding between the parts; otherwise there is none.
    """
    known = items(packet)
    if all(one.is_primary for one in known):
        return packet
    if not any(index in lengths and not one.is_primary for index, one in enumerate(known)):
        for start, end in reversed(_directories(packet)):
            packet = packet[:start].rstrip() + packet[end:]
        return packet
    for index, item in reversed(list(enumerate(known))):
        text = packet[item.start : item.end]
        start = item.start
        if item.is_primary or index in lengths:
            if not item.is_primary:
                text = _with_number(packet, text, b"Length", lengths[index])
            if not keep_padding:
                text = _with_number(packet, text, b"Padding", 0)
        else:
            text, start = b"", len(packet[:start].rstrip())
        packet = packet[:start] + text + packet[item.end :]
    return packet


def _directories(packet: bytes) -> list[tuple[int, int]]:
    names = b"|".join(
        re.escape(one) for one in _prefixes(packet, _CONTAINER, b"Container", b"GContainer")
    )
    pattern = rb"<((?:%b):Directory)\b[^>]*>.*?</\1\s*>" % names
    return [match.span() for match in re.finditer(pattern, packet, re.DOTALL)]


def _list_items(packet: bytes, start: int, end: int) -> list[re.Match[bytes]]:
    pattern = re.compile(rb"<rdf:li\b[^>]*/>|<rdf:li\b[^>]*>" + _OWN + rb"</rdf:li\s*>", re.DOTALL)
    return list(pattern.finditer(packet, start, end))


def _property(packet: bytes, name: bytes) -> re.Pattern[bytes]:
    """Return the pattern of a property of an item; its second group is the value."""
    prefixes = _prefixes(packet, _ITEM, b"Item", b"GContainerItem")
    names = b"|".join(re.escape(one) for one in prefixes)
    return re.compile(rb"((?:%b):%b(?:\s*=\s*[\"']|\s*>))\s*([^<\"']*)" % (names, name))


def _value(packet: bytes, text: bytes, name: bytes) -> bytes:
    match = _property(packet, name).search(text)
    return match[2].strip() if match else b""


def _number(packet: bytes, text: bytes, name: bytes) -> int:
    value = _value(packet, text, name)
    return int(value) if value.isdigit() else 0


def _with_number(packet: bytes, text: bytes, name: bytes, value: int) -> bytes:
    return _property(packet, name).sub(rb"\g<1>%d" % value, text, count=1)


def _prefixes(packet: bytes, namespace: bytes, *usual: bytes) -> list[bytes]:
    """Return the prefixes that the packet declares for a namespace, and the usual ones."""
    declared = re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']%b[\"']" % re.escape(namespace), packet)
    return sorted({*declared, *usual})


def _without(packet: bytes, names: bytes) -> bytes:
    """Remove properties with these names (a pattern), written as attributes or as elements."""
    packet = re.sub(
        rb"\s*<(%b)(?:\s[^>]*)?(?:/>|(?<!/)>.*?</\1\s*>)" % names, b"", packet, flags=re.DOTALL
    )
    return re.sub(rb"\s+(?:%b)\s*=\s*(?:\"[^\"]*\"|'[^']*')" % names, b"", packet)
