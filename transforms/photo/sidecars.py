"""Files that belong to photos and are none: sidecars, and the videos of Live Photos."""

from __future__ import annotations

import json
import os
import re

from photoveil.transforms.codecs import carve, names, xmp
from photoveil.transforms.photo import extensions
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import FileKind

_VIDEO_BEGINNINGS = (
    (4, b"ftyp"),
    (4, b"moov"),
    (4, b"wide"),
    (8, b"AVI "),
    (0, b"\x1aE\xdf\xa3"),
)
_PROPERTY_LISTS = (b"bplist", b"<?xml", b"<!DOCTYPE plist", b"<plist")
# What Google Takeout says of every photo.
_TAKEOUT_KEYS = {"photoTakenTime", "creationTime", "imageViews", "googlePhotosOrigin"}
_JSON_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_DATA_URL = re.compile(rb"data:[\w.+/\\;=-]*,\Z")  # what stands before the base64

HEAD = 32
"""Bytes of a file that tell its kind."""

LEFT_OUT: dict[FileKind, str] = {
    FileKind.SIDECAR: Reason.SIDECAR_LEFT.of(),
    FileKind.VIDEO: Reason.VIDEO_LEFT.of(),
}


def kind(name: str, head: bytes) -> FileKind | None:
    """What a file that is no photo may be, by its name and its first 32 bytes.

    A sidecar is sure only when `is_sidecar` has seen the whole of it.
    """
    extension = os.path.splitext(name)[1].lower()
    if extension in extensions.SIDECARS:
        return FileKind.SIDECAR
    is_video = any(head[at:].startswith(beginning) for at, beginning in _VIDEO_BEGINNINGS)
    return FileKind.VIDEO if is_video or extension in extensions.VIDEOS else None


def is_sidecar(name: str, data: bytes) -> bool:
    """True for an XMP packet, an adjustment of Apple's Photos, or a record of Google Takeout."""
    extension = os.path.splitext(name)[1].lower()
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if extension == ".xmp":
        return start.startswith(b"<") and (b"<x:xmpmeta" in data or b"<rdf:RDF" in data)
    if extension == ".aae":
        return start.startswith(_PROPERTY_LISTS)
    try:
        found = json.loads(data)
    except ValueError:
        return False
    return isinstance(found, dict) and bool(_TAKEOUT_KEYS & found.keys())


def cleaned(name: str, data: bytes, strip_names: bool) -> tuple[bytes, tuple[str, ...]]:
    """A sidecar without the pictures, and where asked for the names, in it; and what was done."""
    if name.lower().endswith(".json"):
        data, found = _without_json_pictures(data)
        without, people = names.without_takeout_names(data)
    else:
        data, found = xmp.without_pictures(data)
        without, people = names.without_names(data)
    if people and strip_names:
        data = without
    notes = ("picture in the sidecar removed",) if found else ()
    return data, (*notes, *people_notes(people, strip_names))


def _without_json_pictures(data: bytes) -> tuple[bytes, bool]:
    """JSON without the pictures that are written in its strings, and whether there was one.

    Every other string, and all that stands between them, keeps its bytes.
    """
    encoding = json.detect_encoding(data)
    text = data.decode(encoding, "surrogatepass")
    # A picture in several strings first: the first string alone would look like a cut one.
    emptied = _without_split_pictures(text)
    emptied = _JSON_STRING.sub(lambda match: _without_picture(match[0]), emptied)
    if emptied == text:
        return data, False
    return emptied.encode(encoding, "surrogatepass"), True


def _without_picture(literal: str) -> str:
    # Searched as it reads without its escapes: "/" may be written as "\/".
    value = json.loads(literal).encode("utf-8", "surrogatepass")
    runs = list(carve.text_pictures(value))
    if not runs:
        return literal
    for run in reversed(runs):
        value = _DATA_URL.sub(b"", value[: run.start]) + value[run.end :]
    return json.dumps(value.decode("utf-8", "surrogatepass"))


def _without_split_pictures(text: str) -> str:
    """JSON without the pictures that are written in its strings as they are, or in several."""
    data = text.encode("utf-8", "surrogatepass")
    for run in reversed(list(carve.text_pictures(data))):
        before = data[: run.start]
        if (len(before) - len(before.rstrip(b"\\"))) % 2:  # it begins within an escape
            before = before[:-1]
        data = _DATA_URL.sub(b"", before) + data[run.end :]
    return data.decode("utf-8", "surrogatepass")


def people_notes(count: int, strip_names: bool) -> tuple[str, ...]:
    """What the manifest says of people tags; it holds no names itself."""
    if not count:
        return ()
    return (f"{count} people tags {'removed' if strip_names else 'kept (--strip-names)'}",)
