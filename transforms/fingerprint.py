"""Read a file once: what it is, its hash, its pixels."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass as validated

from transforms import codecs, storage
from transforms.discover import PhotoRef

_MEGA = 1_000_000
_HEAD = 32  # bytes that tell a format; a video is not read to the end to learn that it is one
_PHOTO_EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"}

# First bytes of picture formats that this version does not write, to say so by name.
_OTHER_PICTURES = (
    (0, b"GIF8", "GIF"),
    (0, b"BM", "BMP"),
    (0, b"II*\0", "TIFF or a camera's raw format"),
    (0, b"MM\0*", "TIFF or a camera's raw format"),
    (8, b"WEBP", "WebP"),
    (4, b"ftypheic", "HEIC"),
    (4, b"ftypheix", "HEIC"),
    (4, b"ftypmif1", "HEIF"),
    (4, b"ftypavif", "AVIF"),
)


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class ReadLimits:
    """What is too large to open: a guard against image bombs and stray disk images."""

    max_megapixels: Annotated[float, Field(gt=0)] = 250.0
    max_megabytes: Annotated[float, Field(gt=0)] = 500.0


@dataclass(frozen=True)
class ReadPhoto:
    """A file that was read.

    status: None for a sound photo; else "unsupported" (no photo that this version writes) or
        "failed", with the reason.
    sha256: hex, of the file's bytes; None when they could not be read.
    format: by its first bytes. pixels: uint8 (H, W, 3) RGB, upright; None unless decoded.
    """

    ref: PhotoRef
    sha256: str | None = None
    format: str | None = None
    pixels: np.ndarray | None = None
    status: str | None = None
    reason: str | None = None


def fingerprint(ref: PhotoRef, limits: ReadLimits) -> ReadPhoto:
    """Open and hash one file, without decoding it; whatever is wrong becomes status and reason."""
    return _read(ref, limits)[0]


def read_photo(ref: PhotoRef, limits: ReadLimits) -> ReadPhoto:
    """Open, hash and decode one file; whatever is wrong with it becomes its status and reason."""
    found, data = _read(ref, limits)
    if found.status:
        return found
    try:
        photo = codecs.decode(data, int(limits.max_megapixels * _MEGA))
    except codecs.UnsupportedFormat as error:
        return replace(found, status="unsupported", reason=str(error))
    except codecs.CodecError as error:
        return replace(found, status="failed", reason=str(error))
    except MemoryError:
        return replace(found, status="failed", reason="not enough memory to open it")
    return replace(found, pixels=photo.pixels)


def _read(ref: PhotoRef, limits: ReadLimits) -> tuple[ReadPhoto, bytes]:
    if ref.problem:
        return ReadPhoto(ref, status="failed", reason=ref.problem), b""
    if ref.size > limits.max_megabytes * _MEGA:
        reason = (
            f"{ref.size / _MEGA:.0f} MB is more than the limit of {limits.max_megabytes:g} MB "
            "(limits.max_megabytes)"
        )
        status = "failed" if _named_as_photo(ref) else "unsupported"
        return ReadPhoto(ref, status=status, reason=reason), b""
    try:
        head = storage.read_bytes(ref.path, _HEAD)
        found = codecs.sniff(head)
        if found is None:
            return ReadPhoto(ref, **_not_a_photo(ref, head)), b""
        data = storage.read_bytes(ref.path)
    except OSError as error:
        reason = f"cannot be read: {storage.explain(error)}"
        return ReadPhoto(ref, status="failed", reason=reason), b""
    return ReadPhoto(ref, hashlib.sha256(data).hexdigest(), found), data


def _named_as_photo(ref: PhotoRef) -> bool:
    return os.path.splitext(ref.relative)[1].lower() in _PHOTO_EXTENSIONS


def _not_a_photo(ref: PhotoRef, head: bytes) -> dict[str, Any]:
    for offset, magic, name in _OTHER_PICTURES:
        if head[offset:].startswith(magic):
            return {
                "status": "unsupported",
                "reason": f"{name}: this version writes JPEG and PNG only",
            }
    if not _named_as_photo(ref):
        return {"status": "unsupported", "reason": "not a photo"}
    reason = "named as a photo but holds none" if head else "the file is empty"
    return {"status": "failed", "reason": reason}
