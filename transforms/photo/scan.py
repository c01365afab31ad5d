"""What the scan learns about a photo: small enough to cross a shuffle and to keep for a wave."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from photoveil.transforms.duplicates import perceptual_hash
from photoveil.transforms.faces.align import crop_face, face_to_crop
from photoveil.transforms.records import (
    AlignedFace,
    Face,
    Failure,
    Leak,
    PhotoRef,
    ReadPhoto,
    ScannedPhoto,
    Status,
    _no_crops,
)


def unreadable(photo: ReadPhoto, copies: tuple[PhotoRef, ...] = ()) -> ScannedPhoto:
    """The scan of a file that gave no pixels."""
    return ScannedPhoto(
        photo.ref,
        photo.sha256,
        photo.format,
        status=photo.status,
        reason=photo.reason,
        retry=photo.retry,
        copies=copies,
    )


def scanned(
    photo: ReadPhoto,
    faces: Sequence[Face],
    min_face: float,
    copies: tuple[PhotoRef, ...] = (),
    inside: tuple[Leak, ...] = (),
) -> ScannedPhoto:
    """The scan of a decoded photo and the faces found in it.

    Args:
        min_face: least size in pixels of a face that is worth cloaking.
        inside: as in `ScannedPhoto`.
    """
    pixels = photo.pixels
    assert pixels is not None
    usable = [face for face in faces if face.size >= min_face and _has_extent(face)]
    crops = [crop_face(pixels, face_to_crop(face.landmarks)) for face in usable]
    height, width = pixels.shape[:2]
    return ScannedPhoto(
        photo.ref,
        photo.sha256,
        photo.format,
        width,
        height,
        tuple(usable),
        np.stack(crops) if crops else _no_crops(),
        tiny_faces=len(faces) - len(usable),
        copies=copies,
        pdq=perceptual_hash.pdq(pixels),
        taken=photo.taken,
        inside=inside,
    )


def failed(photo: ScannedPhoto, failure: Failure) -> ScannedPhoto:
    """The scan of a photo with which something went wrong after it was read."""
    return ScannedPhoto(
        photo.ref,
        photo.sha256,
        photo.format,
        photo.width,
        photo.height,
        status=Status.FAILED,
        reason=failure.reason,
        retry=failure.retry,
        copies=photo.copies,
    )


def spare(photo: ScannedPhoto, wanted: Sequence[bool]) -> ScannedPhoto:
    """The photo with only those of its faces who are wanted, the others being counted."""
    return replace(without_faces(photo, wanted), spared=list(wanted).count(False))


def without_faces(photo: ScannedPhoto, wanted: Sequence[bool]) -> ScannedPhoto:
    """The photo with only the wanted ones of its faces."""
    kept = [index for index, is_wanted in enumerate(wanted) if is_wanted]
    return replace(
        photo,
        faces=tuple(photo.faces[index] for index in kept),
        crops=photo.crops[kept],
        embeddings=photo.embeddings[kept] if len(photo.embeddings) else photo.embeddings,
    )


def face_key(sha256: str | None, index: int) -> str:
    """The name of a face of a photo."""
    return f"{sha256} {index}"


def origin(crop: np.ndarray) -> str:
    """Return what a cloak comes from, as a name: the hash of the pixels of the aligned face.

    It is not of the file, whose tags may change. A photo that is redone, and a copy with other
    tags, get the same cloak.
    """
    return hashlib.sha256(crop.tobytes()).hexdigest()


def aligned_faces(photo: ScannedPhoto) -> list[AlignedFace]:
    """The photo's faces as the optimiser takes them."""
    known = photo.known or (None,) * len(photo.crops)
    return [
        AlignedFace(index, crop, origin(crop), of_person)
        for index, (crop, of_person) in enumerate(zip(photo.crops, known, strict=True))
    ]


def _has_extent(face: Face) -> bool:
    """False for landmarks that fall on one point, which no similarity maps to the template."""
    return float(np.ptp(np.asarray(face.landmarks), axis=0).max()) > 1.0
