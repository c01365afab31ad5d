"""Files that belong to photos and are none: sidecars, and the videos of Live Photos."""

from __future__ import annotations

import json
import os

from photoveil.transforms.codecs import names, xmp
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
    notes = []
    if name.lower().endswith(".json"):
        without, people = names.without_takeout_names(data)
    else:
        data, found = xmp.without_pictures(data)
        notes += ["picture in the sidecar removed"] if found else []
        without, people = names.without_names(data)
    if people and strip_names:
        data = without
    return data, (*notes, *people_notes(people, strip_names))


def people_notes(count: int, strip_names: bool) -> tuple[str, ...]:
    """What the manifest says of people tags; it holds no names itself."""
    if not count:
        return ()
    return (f"{count} people tags {'removed' if strip_names else 'kept (--strip-names)'}",)
