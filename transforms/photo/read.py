"""Read a file once: what it is, its hash, its pixels."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import os
from dataclasses import asdict, replace
from typing import Any

from PIL import ExifTags, Image

from photoveil.transforms import codecs
from photoveil.transforms.codecs.orientation import quarter
from photoveil.transforms.failures import failure, log_reason
from photoveil.transforms.io import storage
from photoveil.transforms.photo import codec_process, extensions, sidecars
from photoveil.transforms.photo.limits import ReadLimits
from photoveil.transforms.reasons import Reason
from photoveil.transforms.records import EmbeddedPicture, FileKind, PhotoRef, ReadPhoto, Status

_MEGA = 1_000_000
_HEAD = 32  # bytes that tell a format; a video is not read to the end to learn that it is one

# First bytes of picture formats that this version does not write, to say so by name. The raw
# formats that are TIFF inside are told by `transforms.codecs.tiff`.
_OTHER_PICTURES = (
    (0, b"IIRO", "camera raw (ORF)"),
    (0, b"IIRS", "camera raw (ORF)"),
    (0, b"MMOR", "camera raw (ORF)"),
    (0, b"IIU\0", "camera raw (RW2)"),
    (0, b"FUJIFILMCCD-RAW", "camera raw (RAF)"),
    (4, b"ftypcrx ", "camera raw (CR3)"),
    (6, b"HEAPCCDR", "camera raw (CRW)"),
    (0, b"\0MRM", "camera raw (MRW)"),
    (0, b"FOVb", "camera raw (X3F)"),
    (0, b"8BPS", "Photoshop document"),
    (0, b"\xff\x0a", "JPEG XL"),
    (4, b"JXL \r\n\x87\n", "JPEG XL"),
    (4, b"jP  \r\n\x87\n", "JPEG 2000"),
)


def fingerprint(ref: PhotoRef, limits: ReadLimits) -> ReadPhoto:
    """Open and hash one file, without decoding it; whatever is wrong becomes status and reason."""
    return _read(ref, limits)[0]


def read_photo(ref: PhotoRef, limits: ReadLimits, look_inside: bool = False) -> ReadPhoto:
    """Open, hash and decode one file; whatever is wrong with it becomes its status and reason.

    Args:
        look_inside: for other pictures than its own, too.
    """
    found, data = _read(ref, limits)
    if found.status:
        return found
    try:
        photo = codec_process.decode(data, int(limits.max_megapixels * _MEGA), limits)
    except codecs.UnsupportedFormat as error:
        retry = isinstance(error, codecs.MissingPackage)
        return replace(
            found, status=Status.UNSUPPORTED, reason=log_reason(ref.source, error), retry=retry
        )
    except codecs.CodecError as error:
        return replace(found, status=Status.FAILED, reason=log_reason(ref.source, error))
    except MemoryError:
        return replace(
            found, status=Status.FAILED, reason=Reason.NO_MEMORY_TO_OPEN.of(), retry=True
        )
    except Exception as error:  # of a library that some file has shaken
        return replace(found, status=Status.FAILED, **asdict(failure("reading", error, ref.source)))
    return replace(
        found,
        pixels=photo.pixels,
        orientation=photo.orientation,
        hidden=_hidden(data, limits) if look_inside else (),
        taken=_taken(data),
        quarters=tuple(sorted({quarter(turn) for turn in photo.turns})),
    )


def _hidden(data: bytes, limits: ReadLimits) -> tuple[EmbeddedPicture, ...]:
    try:
        return tuple(codec_process.hidden(data, limits))
    except Exception:  # what cannot be searched may hold anything
        return (EmbeddedPicture("some byte", None),)


def _read(ref: PhotoRef, limits: ReadLimits) -> tuple[ReadPhoto, bytes]:
    if ref.problem:
        return ReadPhoto(ref, status=Status.FAILED, reason=ref.problem), b""
    if ref.size > limits.max_megabytes * _MEGA:
        reason = Reason.TOO_MANY_BYTES.of(round(ref.size / _MEGA), limits.max_megabytes)
        status = Status.FAILED if _named_as_photo(ref) else Status.UNSUPPORTED
        return ReadPhoto(ref, status=status, reason=reason), b""
    try:
        head = storage.read_bytes(ref.path, _HEAD)
        found = codecs.sniff(head)
        companion = None if found else _companion(ref, head)
        if found is None and companion is None:
            return ReadPhoto(ref, **_not_a_photo(ref, head)), b""
        data = storage.read_bytes(ref.path)
        digest = hashlib.sha256(data).hexdigest()
        if companion is FileKind.SIDECAR and not sidecars.is_sidecar(ref.relative, data):
            return ReadPhoto(ref, **_not_a_photo(ref, head)), b""
    except OSError as error:
        reason = Reason.NOT_READ.of(system=storage.explain(error))
        return ReadPhoto(ref, status=Status.FAILED, reason=reason, retry=True), b""
    except Exception as error:
        return ReadPhoto(
            ref, status=Status.FAILED, **asdict(failure("reading", error, ref.source))
        ), b""
    return ReadPhoto(ref, digest, found, status=companion), data


def _companion(ref: PhotoRef, head: bytes) -> FileKind | None:
    is_other_picture = any(head[at:].startswith(magic) for at, magic, _ in _OTHER_PICTURES)
    if is_other_picture or not head or _named_as_photo(ref):
        return None
    return sidecars.kind(ref.relative, head)


def _taken(data: bytes) -> dt.datetime | None:
    # Real cameras and editors write dates and EXIF of every broken kind, and Pillow raises as
    # many errors: none of them is worth a photo.
    with contextlib.suppress(Exception), Image.open(io.BytesIO(data)) as image:
        text = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal]
        return dt.datetime.strptime(text.strip("\0 "), "%Y:%m:%d %H:%M:%S")
    return None


def _named_as_photo(ref: PhotoRef) -> bool:
    return os.path.splitext(ref.relative)[1].lower() in extensions.PHOTOS


def _not_a_photo(ref: PhotoRef, head: bytes) -> dict[str, Any]:
    for offset, magic, name in _OTHER_PICTURES:
        if head[offset:].startswith(magic):
            return {
                "status": Status.UNSUPPORTED,
                "reason": Reason.NOT_A_FORMAT_WRITTEN.of(format=name),
            }
    if not _named_as_photo(ref):
        return {"status": Status.UNSUPPORTED, "reason": Reason.NO_PHOTO.of()}
    return {"status": Status.FAILED, "reason": (Reason.NO_PICTURE if head else Reason.EMPTY).of()}
